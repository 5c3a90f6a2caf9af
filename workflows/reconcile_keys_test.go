package workflows_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

// keyPage is line.page for keys.
func (l line) keyPage(ctx context.Context, in activities.UnsettledKeysInput) (activities.UnsettledKeysResult, error) {
	page, err := l.page(ctx, activities.UnsettledUsersInput{After: in.After})
	return activities.UnsettledKeysResult(page), err
}

// keyProofs are those of keys at their first generation.
func keyProofs(ids ...uuid.UUID) []models.KeyProof {
	var out []models.KeyProof
	for _, id := range ids {
		out = append(out, models.KeyProof{ID: id, Generation: 1})
	}
	return out
}

// All that wait are settled, batch by batch; what cannot be gets a run of its own.
func TestReconcileKeys(t *testing.T) {
	env := environment(t)
	l := newLine(5)
	env.OnActivity(keys.UnsettledKeys, mock.Anything, mock.Anything).Return(l.keyPage)
	env.OnActivity(keys.ApplyKeys, mock.Anything, activities.ApplyKeysInput{IDs: l.ids[:2]}).
		Return(activities.ApplyKeysResult{Seen: keyProofs(l.ids[0]), Left: l.ids[1:2]}, nil).Once()
	env.OnActivity(keys.ApplyKeys, mock.Anything, activities.ApplyKeysInput{IDs: l.ids[2:4]}).
		Return(activities.ApplyKeysResult{Seen: keyProofs(l.ids[2:4]...)}, nil).Once()
	env.OnActivity(keys.ApplyKeys, mock.Anything, activities.ApplyKeysInput{IDs: l.ids[4:]}).
		Return(activities.ApplyKeysResult{Seen: keyProofs(l.ids[4])}, nil).Once()
	env.OnActivity(keys.ObserveKeys, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.ObserveKeysInput) (activities.ObserveKeysResult, error) {
		var res activities.ObserveKeysResult
		for _, p := range in.Seen {
			if p.ID == l.ids[3] { // it changed meanwhile
				res.Behind = append(res.Behind, p.ID)
			}
		}
		return res, nil
	}).Times(3)
	for _, id := range []uuid.UUID{l.ids[1], l.ids[3]} {
		env.OnWorkflow(workflows.ReconcileKey, mock.Anything, workflows.ReconcileKeyInput{KeyID: id}).Return(workflows.ReconcileKeyResult{}, nil).Once()
	}

	env.ExecuteWorkflow(workflows.ReconcileKeys, workflows.ReconcileKeysInput{Fresh: true})

	require.NoError(t, env.GetWorkflowError())
	var res workflows.ReconcileKeysResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, workflows.ReconcileKeysResult{Settled: 3, Left: 2}, res)
}

// When LiteLLM goes away the walk ends: no run is made for each, the sweep takes it up again.
func TestReconcileKeysStopsWhenLiteLLMIsAway(t *testing.T) {
	env := environment(t)
	l := newLine(5)
	env.OnActivity(keys.UnsettledKeys, mock.Anything, mock.Anything).Return(l.keyPage)
	env.OnActivity(keys.ApplyKeys, mock.Anything, mock.Anything).Return(activities.ApplyKeysResult{Left: l.ids[:2], Silent: true}, nil).Once()

	env.ExecuteWorkflow(workflows.ReconcileKeys, workflows.ReconcileKeysInput{})

	require.NoError(t, env.GetWorkflowError())
	var res workflows.ReconcileKeysResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, workflows.ReconcileKeysResult{Silent: true}, res)
}

// A long walk goes on as a new run from where it is, with what it has done.
func TestReconcileKeysGoesOnAsANewRun(t *testing.T) {
	env := environment(t)
	l := newLine(5)
	env.SetCurrentHistoryLength(1001)
	env.OnActivity(keys.UnsettledKeys, mock.Anything, mock.Anything).Return(l.keyPage)
	env.OnActivity(keys.ApplyKeys, mock.Anything, mock.Anything).Return(activities.ApplyKeysResult{Seen: keyProofs(l.ids[:2]...)}, nil).Once()
	env.OnActivity(keys.ObserveKeys, mock.Anything, mock.Anything).Return(activities.ObserveKeysResult{}, nil).Once()

	env.ExecuteWorkflow(workflows.ReconcileKeys, workflows.ReconcileKeysInput{Fresh: true})

	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, env.GetWorkflowError(), &next)
	var in workflows.ReconcileKeysInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
	require.Equal(t, workflows.ReconcileKeysInput{
		Fresh: true, After: models.Place{ID: l.ids[1]}, Done: workflows.ReconcileKeysResult{Settled: 2},
	}, in)
}
