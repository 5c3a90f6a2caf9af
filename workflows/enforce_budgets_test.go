package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

// Pages of budgets are judged until none is left, and each that has to be looked after has a run of
// its own; so have those that nobody looks after any more. Who makes more of them due meanwhile has
// them judged too.
func TestEnforceBudgets(t *testing.T) {
	env := environment(t)
	held, lost := activities.BudgetRun{ID: uuid.New(), SubjectType: models.BudgetOfKey}, activities.BudgetRun{ID: uuid.New(), SubjectType: models.BudgetOfTeam}
	env.OnActivity(purses.JudgeBudgets, mock.Anything, mock.Anything).
		Return(activities.JudgeBudgetsResult{Judged: 200, Held: 1, Rolled: 2, Runs: []activities.BudgetRun{held}, More: true}, nil).Once()
	env.OnActivity(purses.JudgeBudgets, mock.Anything, mock.Anything).Return(activities.JudgeBudgetsResult{Judged: 3, Released: 1}, nil).Once()
	env.OnActivity(purses.UnsettledBudgets, mock.Anything, mock.Anything).Return(
		func(context.Context, activities.UnsettledBudgetsInput) (activities.UnsettledBudgetsResult, error) {
			env.SignalWorkflow(workflows.RowChanged, nil)
			return activities.UnsettledBudgetsResult{Runs: []activities.BudgetRun{lost}}, nil
		}).Once()
	env.OnActivity(purses.JudgeBudgets, mock.Anything, mock.Anything).Return(activities.JudgeBudgetsResult{Judged: 1}, nil).Once()
	env.OnActivity(purses.UnsettledBudgets, mock.Anything, mock.Anything).Return(activities.UnsettledBudgetsResult{}, nil).Once()
	for _, b := range []activities.BudgetRun{held, lost} {
		env.OnWorkflow(workflows.EnforceBudget, mock.Anything, workflows.EnforceBudgetInput{BudgetRun: b}).Return(workflows.EnforceBudgetResult{}, nil).Once()
	}
	env.ExecuteWorkflow(workflows.EnforceBudgets, workflows.EnforceBudgetsInput{})
	require.NoError(t, env.GetWorkflowError())
	var res workflows.EnforceBudgetsResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, workflows.EnforceBudgetsResult{Judged: 204, Held: 1, Released: 1, Rolled: 2}, res)
}

func TestEnforceBudgetsGoesOn(t *testing.T) {
	env := environment(t)
	env.SetCurrentHistoryLength(2000)
	env.OnActivity(purses.JudgeBudgets, mock.Anything, mock.Anything).Return(activities.JudgeBudgetsResult{Judged: 200, More: true}, nil).Once()
	env.ExecuteWorkflow(workflows.EnforceBudgets, workflows.EnforceBudgetsInput{})
	require.ErrorAs(t, env.GetWorkflowError(), new(*workflow.ContinueAsNewError))
}

// A raise is ended in its moment, or as soon as somebody is there; each change has budgets judged.
func TestRaiseBudget(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status models.RaiseStatus
		left   time.Duration
		change models.RaiseStatus // after half an hour
		end    models.RaiseStatus // at its end
		judged int
		lasted time.Duration
	}{
		{name: "active", status: models.RaiseActive, left: time.Hour, end: models.RaiseEnded, judged: 2, lasted: time.Hour},
		{name: "overdue", status: models.RaiseActive, left: -time.Hour, end: models.RaiseEnded, judged: 1},
		{name: "withdrawn", status: models.RaiseActive, left: time.Hour, change: models.RaiseWithdrawn, judged: 2, lasted: 30 * time.Minute},
		{name: "approved", status: models.RaisePending, left: time.Hour, change: models.RaiseActive, end: models.RaiseEnded, judged: 2, lasted: time.Hour},
		{name: "denied", status: models.RaisePending, left: time.Hour, change: models.RaiseDenied, judged: 1, lasted: 30 * time.Minute},
		{name: "nobody decided", status: models.RaisePending, left: time.Hour, end: models.RaiseDenied, judged: 1, lasted: time.Hour},
		{name: "gone"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			env := environment(t)
			began, id, status := env.Now(), uuid.New(), tc.status
			state := func() activities.RaiseState {
				until := began.Add(tc.left)
				return activities.RaiseState{Status: status, Amount: models.Dollar, UntilAt: until, Left: until.Sub(env.Now())}
			}
			env.OnActivity(purses.LookAtRaise, mock.Anything, activities.RaiseRef{ID: id}).Return(
				func(context.Context, activities.RaiseRef) (activities.RaiseState, error) { return state(), nil })
			env.OnActivity(purses.EndRaise, mock.Anything, activities.RaiseRef{ID: id}).Return(
				func(context.Context, activities.RaiseRef) (activities.RaiseState, error) {
					status = tc.end
					return state(), nil
				}).Maybe()
			judged := 0
			env.OnWorkflow(workflows.EnforceBudgets, mock.Anything, mock.Anything).Return(
				func(workflow.Context, workflows.EnforceBudgetsInput) (workflows.EnforceBudgetsResult, error) {
					judged++
					return workflows.EnforceBudgetsResult{}, nil
				}).Maybe()
			if tc.change != "" {
				env.RegisterDelayedCallback(func() {
					status = tc.change
					env.SignalWorkflow(workflows.RowChanged, nil)
				}, 30*time.Minute)
			}
			env.ExecuteWorkflow(workflows.RaiseBudget, workflows.RaiseBudgetInput{RaiseID: id})
			require.NoError(t, env.GetWorkflowError())
			require.Equal(t, tc.judged, judged)
			require.InDelta(t, tc.lasted, env.Now().Sub(began), float64(time.Second))
			var res workflows.RaiseBudgetResult
			require.NoError(t, env.GetWorkflowResult(&res))
			require.Equal(t, status, res.Status)
		})
	}
}
