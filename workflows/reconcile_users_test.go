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

// line is some users who wait, in pages of two.
type line struct{ ids []uuid.UUID }

func newLine(n int) line {
	var l line
	for range n {
		l.ids = append(l.ids, uuid.New())
	}
	return l
}

func (l line) page(_ context.Context, in activities.UnsettledUsersInput) (activities.UnsettledUsersResult, error) {
	from := 0
	for i, id := range l.ids {
		if id == in.After.ID {
			from = i + 1
		}
	}
	to := min(from+2, len(l.ids))
	res := activities.UnsettledUsersResult{IDs: l.ids[from:to], Last: in.After}
	if to > from {
		res.Last.ID = l.ids[to-1]
	}
	return res, nil
}

// proofs are those of users at their first generation.
func proofs(ids ...uuid.UUID) []models.UserProof {
	var out []models.UserProof
	for _, id := range ids {
		out = append(out, models.UserProof{ID: id, Generation: 1})
	}
	return out
}

// All who wait are settled, batch by batch; who cannot be gets a run of his own.
func TestReconcileUsers(t *testing.T) {
	env := environment(t)
	l := newLine(5)
	env.OnActivity(people.UnsettledUsers, mock.Anything, mock.Anything).Return(l.page)
	env.OnActivity(people.ApplyUsers, mock.Anything, activities.ApplyUsersInput{IDs: l.ids[:2]}).
		Return(activities.ApplyUsersResult{Seen: proofs(l.ids[0]), Left: l.ids[1:2]}, nil).Once()
	env.OnActivity(people.ApplyUsers, mock.Anything, activities.ApplyUsersInput{IDs: l.ids[2:4]}).
		Return(activities.ApplyUsersResult{Seen: proofs(l.ids[2:4]...)}, nil).Once()
	env.OnActivity(people.ApplyUsers, mock.Anything, activities.ApplyUsersInput{IDs: l.ids[4:]}).
		Return(activities.ApplyUsersResult{Seen: proofs(l.ids[4])}, nil).Once()
	env.OnActivity(people.ObserveUsers, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.ObserveUsersInput) (activities.ObserveUsersResult, error) {
		var res activities.ObserveUsersResult
		for _, p := range in.Seen {
			if p.ID == l.ids[3] { // he changed meanwhile
				res.Behind = append(res.Behind, p.ID)
			}
		}
		return res, nil
	}).Times(3)
	for _, id := range []uuid.UUID{l.ids[1], l.ids[3]} {
		env.OnWorkflow(workflows.ReconcileUser, mock.Anything, workflows.ReconcileUserInput{UserID: id}).Return(workflows.ReconcileUserResult{}, nil).Once()
	}

	env.ExecuteWorkflow(workflows.ReconcileUsers, workflows.ReconcileUsersInput{Fresh: true})

	require.NoError(t, env.GetWorkflowError())
	var res workflows.ReconcileUsersResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, workflows.ReconcileUsersResult{Settled: 3, Left: 2}, res)
}

// When LiteLLM goes away the walk ends: no run is made for each, the sweep takes it up again.
func TestReconcileUsersStopsWhenLiteLLMIsAway(t *testing.T) {
	env := environment(t)
	l := newLine(5)
	env.OnActivity(people.UnsettledUsers, mock.Anything, mock.Anything).Return(l.page)
	env.OnActivity(people.ApplyUsers, mock.Anything, mock.Anything).Return(activities.ApplyUsersResult{Left: l.ids[:2], Silent: true}, nil).Once()

	env.ExecuteWorkflow(workflows.ReconcileUsers, workflows.ReconcileUsersInput{})

	require.NoError(t, env.GetWorkflowError())
	var res workflows.ReconcileUsersResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, workflows.ReconcileUsersResult{Silent: true}, res)
}

// A long walk goes on as a new run from where it is, with what it has done.
func TestReconcileUsersGoesOnAsANewRun(t *testing.T) {
	env := environment(t)
	l := newLine(5)
	env.SetCurrentHistoryLength(1001)
	env.OnActivity(people.UnsettledUsers, mock.Anything, mock.Anything).Return(l.page)
	env.OnActivity(people.ApplyUsers, mock.Anything, mock.Anything).Return(activities.ApplyUsersResult{Seen: proofs(l.ids[:2]...)}, nil).Once()
	env.OnActivity(people.ObserveUsers, mock.Anything, mock.Anything).Return(activities.ObserveUsersResult{}, nil).Once()

	env.ExecuteWorkflow(workflows.ReconcileUsers, workflows.ReconcileUsersInput{Fresh: true})

	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, env.GetWorkflowError(), &next)
	var in workflows.ReconcileUsersInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
	require.Equal(t, workflows.ReconcileUsersInput{
		Fresh: true, After: models.Place{ID: l.ids[1]}, Done: workflows.ReconcileUsersResult{Settled: 2},
	}, in)
}
