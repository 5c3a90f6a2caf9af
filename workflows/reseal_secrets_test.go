package workflows_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

var vault *activities.SealedValues

// sealedHere says how much another key sealed of the first of two places, each time it is asked.
func sealedHere(env *testsuite.TestWorkflowEnvironment, foreign ...int) {
	for _, n := range foreign {
		env.OnActivity(vault.CountSealed, mock.Anything, activities.CountSealedInput{Key: "7"}).
			Return(activities.CountSealedResult{Places: []activities.SealedPlace{{Place: "a.x", Total: 900, Foreign: n}, {Place: "b.y", Total: 3}}}, nil).Once()
	}
}

// page is what a page of a place is asked for by.
func page(place, after string) activities.ResealPageInput {
	return activities.ResealPageInput{Key: "7", Place: place, After: after, Limit: 500}
}

// Every page of every place where there is something is gone through, and again as long as
// something is left; what is lost is counted as the last walk found it.
func TestResealSecrets(t *testing.T) {
	env := environment(t)
	sealedHere(env, 702, 2, 1)
	reply := func(in activities.ResealPageInput, out activities.ResealPageResult) {
		env.OnActivity(vault.ResealPage, mock.Anything, in).Return(out, nil).Once()
	}
	reply(page("a.x", ""), activities.ResealPageResult{Last: "k5", More: true, Resealed: 498, Changed: 1, Lost: 1, Rows: []string{"k1"}})
	reply(page("a.x", "k5"), activities.ResealPageResult{Last: "k7", Resealed: 202})
	reply(page("a.x", ""), activities.ResealPageResult{Last: "k2", Resealed: 1, Lost: 1, Rows: []string{"k1"}})
	want := workflows.ResealSecretsResult{Key: "7", Walks: 2, Places: []activities.ResealedPlace{
		{Place: "a.x", Total: 900, Resealed: 701, Left: 1, Lost: 1, Rows: []string{"k1"}}, {Place: "b.y", Total: 3},
	}}
	ada := models.Actor{ID: "ada"}
	env.OnActivity(vault.AuditReseal, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.AuditResealInput) error {
		require.Equal(t, ada, in.Actor)
		require.Empty(t, in.Failure)
		require.NotEmpty(t, in.Run)
		return nil
	}).Once()

	env.ExecuteWorkflow(workflows.ResealSecrets, workflows.ResealSecretsInput{Key: "7", Actor: ada})

	require.NoError(t, env.GetWorkflowError())
	var res workflows.ResealSecretsResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, want, res)
	left, lost := res.Left()
	require.Equal(t, []int{0, 1}, []int{left, lost})
}

// Where nothing is left to do nothing is done, which is audited too.
func TestResealSecretsAgain(t *testing.T) {
	env := environment(t)
	sealedHere(env, 0)
	env.OnActivity(vault.AuditReseal, mock.Anything, mock.Anything).Return(nil).Once()
	env.ExecuteWorkflow(workflows.ResealSecrets, workflows.ResealSecretsInput{Key: "7"})
	var res workflows.ResealSecretsResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Zero(t, res.Walks)
}

// A replica that seals by another key keeps no run going for ever: what is left is said.
func TestResealSecretsEnds(t *testing.T) {
	env := environment(t)
	sealedHere(env, 9, 4, 4, 4, 4, 4)
	env.OnActivity(vault.ResealPage, mock.Anything, page("a.x", "")).Return(activities.ResealPageResult{Last: "k", Resealed: 4}, nil).Times(5)
	env.OnActivity(vault.AuditReseal, mock.Anything, mock.Anything).Return(nil).Once()
	env.ExecuteWorkflow(workflows.ResealSecrets, workflows.ResealSecretsInput{Key: "7"})
	var res workflows.ResealSecretsResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, 5, res.Walks)
	left, lost := res.Left()
	require.Equal(t, []int{4, 0}, []int{left, lost})
}

// A worker with another keyset ends the run, which is audited with what was done before.
func TestResealSecretsWithAnotherKeyset(t *testing.T) {
	env := environment(t)
	env.OnActivity(vault.CountSealed, mock.Anything, mock.Anything).
		Return(activities.CountSealedResult{Places: []activities.SealedPlace{{Place: "a.x", Total: 9, Foreign: 9}}}, nil).Once()
	env.OnActivity(vault.ResealPage, mock.Anything, page("a.x", "")).Return(activities.ResealPageResult{Last: "k5", More: true, Resealed: 5}, nil).Once()
	env.OnActivity(vault.ResealPage, mock.Anything, page("a.x", "k5")).
		Return(activities.ResealPageResult{}, temporal.NewNonRetryableApplicationError("the worker seals by key 3, not by 7", string(models.Conflict), nil)).Once()
	env.OnActivity(vault.AuditReseal, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.AuditResealInput) error {
		require.Equal(t, "the worker seals by key 3, not by 7", in.Failure)
		require.Equal(t, 5, in.Places[0].Resealed)
		return nil
	}).Once()
	env.ExecuteWorkflow(workflows.ResealSecrets, workflows.ResealSecretsInput{Key: "7"})
	require.ErrorContains(t, env.GetWorkflowError(), "the worker seals by key 3, not by 7")
}

// A long walk goes on as a new run, from where it is; that is neither its end nor audited.
func TestResealSecretsGoesOn(t *testing.T) {
	env := environment(t)
	env.OnActivity(vault.CountSealed, mock.Anything, mock.Anything).
		Return(activities.CountSealedResult{Places: []activities.SealedPlace{{Place: "a.x", Total: 9000, Foreign: 9000}}}, nil).Once()
	env.OnActivity(vault.ResealPage, mock.Anything, mock.Anything).Return(activities.ResealPageResult{Last: "k5", More: true, Resealed: 500, Lost: 1, Rows: []string{"k1"}}, nil).Once()
	env.SetCurrentHistoryLength(301)
	env.ExecuteWorkflow(workflows.ResealSecrets, workflows.ResealSecretsInput{Key: "7", Actor: models.Actor{ID: "ada"}})
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, env.GetWorkflowError(), &next)
	var in workflows.ResealSecretsInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
	require.Equal(t, workflows.ResealSecretsInput{
		Key: "7", Actor: models.Actor{ID: "ada"}, At: workflows.ResealPlace{After: "k5"},
		Done: workflows.ResealSecretsResult{Key: "7", Places: []activities.ResealedPlace{
			{Place: "a.x", Total: 9000, Resealed: 500, Left: 9000, Lost: 1, Rows: []string{"k1"}},
		}},
	}, in)

	env = environment(t)
	sealedHere(env, 400, 1)
	env.OnActivity(vault.ResealPage, mock.Anything, page("a.x", "k5")).Return(activities.ResealPageResult{Last: "k9", Resealed: 400}, nil).Once()
	env.OnActivity(vault.AuditReseal, mock.Anything, mock.Anything).Return(nil).Once()
	env.ExecuteWorkflow(workflows.ResealSecrets, in)
	var res workflows.ResealSecretsResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, 900, res.Places[0].Resealed)
	require.Equal(t, 1, res.Places[0].Lost)
}
