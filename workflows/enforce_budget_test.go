package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

var purses *activities.Budgets

// purse is a budget, judged by the real rules at the time of the test, and its only key.
type purse struct {
	models.Budget
	env  *testsuite.TestWorkflowEnvironment
	key  uuid.UUID
	runs []bool // for each write at LiteLLM, whether it holds the key
	away int    // times that LiteLLM does not answer
}

// newPurse is of ten dollars a day, all of which is spent.
func newPurse(env *testsuite.TestWorkflowEnvironment) *purse {
	now := env.Now().UTC()
	p := &purse{env: env, key: uuid.New(), Budget: models.Budget{
		ID: uuid.New(), SubjectType: models.BudgetOfKey, SubjectID: uuid.New(), Amount: new(10 * models.Dollar), Spent: 11 * models.Dollar,
		Period: "daily", TimeZone: "UTC", StartsAt: now, EndsAt: new(now),
	}}
	p.Budget = p.On(now)
	env.OnActivity(purses.JudgeBudget, mock.Anything, activities.BudgetRef{ID: p.ID}).Return(p.judge)
	env.OnActivity(purses.FollowBudget, mock.Anything, activities.BudgetRef{ID: p.ID}).Return(
		func(context.Context, activities.BudgetRef) (activities.FollowBudgetResult, error) {
			p.FollowedGeneration = p.Generation
			return activities.FollowBudgetResult{Generation: p.Generation, Keys: 1}, nil
		}).Maybe()
	settled := int64(0)
	env.OnActivity(purses.BudgetLeft, mock.Anything, mock.Anything).Return(
		func(context.Context, activities.BudgetLeftInput) (activities.BudgetLeftResult, error) {
			if settled == p.FollowedGeneration {
				return activities.BudgetLeftResult{}, nil
			}
			return activities.BudgetLeftResult{Keys: []uuid.UUID{p.key}, Left: 1}, nil
		}).Maybe()
	env.OnActivity(keys.ApplyKeys, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.ApplyKeysInput) (activities.ApplyKeysResult, error) {
			if p.away > 0 {
				p.away--
				return activities.ApplyKeysResult{Silent: true}, nil
			}
			p.runs = append(p.runs, p.Held)
			settled = p.FollowedGeneration
			return activities.ApplyKeysResult{Seen: keyProofs(in.IDs...)}, nil
		}).Maybe()
	env.OnActivity(keys.ObserveKeys, mock.Anything, mock.Anything).Return(activities.ObserveKeysResult{}, nil).Maybe()
	env.OnActivity(purses.ObserveBudget, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.ObserveBudgetInput) error {
		p.ObservedGeneration = in.Generation
		return nil
	}).Maybe()
	return p
}

func (p *purse) input() workflows.EnforceBudgetInput {
	return workflows.EnforceBudgetInput{BudgetRun: activities.BudgetRun{ID: p.ID, SubjectType: p.SubjectType, SubjectID: p.SubjectID, StartsAt: p.StartsAt}}
}

// judge is what the store does, in memory.
func (p *purse) judge(context.Context, activities.BudgetRef) (activities.BudgetState, error) {
	now := p.env.Now().UTC()
	p.Budget = p.On(now)
	v := p.Judge(now, models.DefaultThresholds())
	if v.Held != p.Held {
		p.Generation++
	}
	p.Held, p.HoldDueAt = v.Held, v.HoldDueAt
	s := activities.BudgetState{
		StartsAt: p.StartsAt, EndsAt: p.EndsAt, Spent: p.Spent, Limit: p.Limit(), Held: p.Held, HoldDueAt: p.HoldDueAt, Behind: p.ObservedGeneration < p.Generation,
	}
	if v.WakeAt != nil {
		s.WakeIn = new(v.WakeAt.Sub(now))
	}
	return s, nil
}

// What is held is held at LiteLLM, until the moment in which the period ends; meanwhile a person
// sees until when.
func TestEnforceBudgetUntilTheReset(t *testing.T) {
	env := environment(t)
	env.SetStartTime(time.Date(2026, 3, 5, 20, 0, 0, 0, time.UTC))
	p := newPurse(env)
	p.away = 3
	env.RegisterDelayedCallback(func() {
		require.Equal(t, []bool{true}, p.runs)
		require.Equal(t, p.Generation, p.ObservedGeneration)
		require.Contains(t, details(t, env), "**Blocked until 2026-03-06T00:00:00Z**, spent 11 of 10 USD.")
	}, time.Hour)
	env.RegisterDelayedCallback(func() { require.True(t, p.Held) }, 4*time.Hour-time.Second)

	env.ExecuteWorkflow(workflows.EnforceBudget, p.input())

	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []bool{true, false}, p.runs)
	require.WithinDuration(t, time.Date(2026, 3, 6, 0, 0, 0, 0, time.UTC), env.Now(), time.Second)
	require.Zero(t, p.Spent)
}

func details(t *testing.T, env *testsuite.TestWorkflowEnvironment) string {
	t.Helper()
	v, err := env.QueryWorkflow("__temporal_workflow_metadata")
	require.NoError(t, err)
	var shown sdk.WorkflowMetadata
	require.NoError(t, v.Get(&shown))
	return shown.CurrentDetails
}

// Nobody was there when the period ended: it is released as soon as somebody is.
func TestEnforceBudgetAfterAnOutage(t *testing.T) {
	env := environment(t)
	env.SetStartTime(time.Date(2026, 3, 5, 20, 0, 0, 0, time.UTC))
	p := newPurse(env)
	in := p.input()
	p.Held, p.Generation, p.ObservedGeneration = true, 1, 1
	p.StartsAt, p.EndsAt = p.StartsAt.AddDate(0, 0, -9), new(p.StartsAt.AddDate(0, 0, -8))
	in.StartsAt = p.StartsAt
	env.ExecuteWorkflow(workflows.EnforceBudget, in)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []bool{false}, p.runs)
	require.WithinDuration(t, time.Date(2026, 3, 5, 20, 0, 0, 0, time.UTC), env.Now(), time.Second)
}

// A raise releases at once, and when it ends the budget is held again, by the same run or another.
func TestEnforceBudgetRaised(t *testing.T) {
	env := environment(t)
	env.SetStartTime(time.Date(2026, 3, 5, 20, 0, 0, 0, time.UTC))
	p := newPurse(env)
	env.RegisterDelayedCallback(func() {
		p.Raised = 5 * models.Dollar
		env.SignalWorkflow(workflows.RowChanged, nil)
	}, time.Minute)
	env.ExecuteWorkflow(workflows.EnforceBudget, p.input())
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []bool{true, false}, p.runs)
	require.WithinDuration(t, time.Date(2026, 3, 5, 20, 1, 0, 0, time.UTC), env.Now(), time.Second)
}

// While LiteLLM is away, a change of the row is heard all the same.
func TestEnforceBudgetRaisedInAnOutage(t *testing.T) {
	env := environment(t)
	env.SetStartTime(time.Date(2026, 3, 5, 20, 0, 0, 0, time.UTC))
	p := newPurse(env)
	p.away = 1000
	env.RegisterDelayedCallback(func() {
		p.Raised, p.away = 5*models.Dollar, 0
		env.SignalWorkflow(workflows.RowChanged, nil)
	}, 10*time.Minute)
	env.ExecuteWorkflow(workflows.EnforceBudget, p.input())
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []bool{false}, p.runs)
}

// A person may prevent a hold until it begins, and not later.
func TestEnforceBudgetPrevented(t *testing.T) {
	for _, tc := range []struct {
		after time.Duration
		held  []bool
	}{{30 * time.Minute, nil}, {90 * time.Minute, []bool{true, false}}} {
		env := environment(t)
		env.SetStartTime(time.Date(2026, 3, 5, 20, 0, 0, 0, time.UTC))
		p := newPurse(env)
		p.HoldAfter = time.Hour
		env.RegisterDelayedCallback(func() {
			require.Contains(t, details(t, env), "**Will be blocked at 2026-03-05T21:00:00Z**")
			if tc.held == nil {
				p.Pardoned = true
				env.SignalWorkflow(workflows.RowChanged, nil)
			}
		}, 30*time.Minute)
		env.ExecuteWorkflow(workflows.EnforceBudget, p.input())
		require.NoError(t, env.GetWorkflowError())
		require.Equal(t, tc.held, p.runs)
	}
}

// A budget of nothing is held in each period, by a run for each.
func TestEnforceBudgetOfNothing(t *testing.T) {
	env := environment(t)
	env.SetStartTime(time.Date(2026, 3, 5, 20, 0, 0, 0, time.UTC))
	p := newPurse(env)
	p.Amount = new(models.USD(0))
	next := p.input()
	next.StartsAt = *p.EndsAt
	var runs []string
	env.SetOnChildWorkflowStartedListener(func(info *workflow.Info, _ workflow.Context, _ converter.EncodedValues) {
		runs = append(runs, info.WorkflowExecution.ID)
		p.Amount = nil
	})
	env.ExecuteWorkflow(workflows.EnforceBudget, p.input())
	require.NoError(t, env.GetWorkflowError())
	require.True(t, p.runs[0])
	require.Equal(t, []string{next.WorkflowID()}, runs)
}

// A budget that is gone is no failure; a run that has grown long goes on as a new one.
func TestEnforceBudgetEnds(t *testing.T) {
	env := environment(t)
	in := workflows.EnforceBudgetInput{BudgetRun: activities.BudgetRun{ID: uuid.New(), SubjectType: models.BudgetOfTeam, StartsAt: env.Now().UTC()}}
	env.OnActivity(purses.JudgeBudget, mock.Anything, mock.Anything).Return(activities.BudgetState{Gone: true}, nil).Once()
	env.ExecuteWorkflow(workflows.EnforceBudget, in)
	require.NoError(t, env.GetWorkflowError())

	env = environment(t)
	env.SetCurrentHistoryLength(2000)
	env.OnActivity(purses.JudgeBudget, mock.Anything, mock.Anything).
		Return(activities.BudgetState{Held: true, WakeIn: new(time.Minute), StartsAt: in.StartsAt}, nil).Once()
	env.ExecuteWorkflow(workflows.EnforceBudget, in)
	require.ErrorAs(t, env.GetWorkflowError(), new(*workflow.ContinueAsNewError))
}

// All of what a budget concerns is followed: its user, its subscription's cascade.
func TestEnforceBudgetOfAUser(t *testing.T) {
	env := environment(t)
	in := workflows.EnforceBudgetInput{BudgetRun: activities.BudgetRun{ID: uuid.New(), SubjectType: models.BudgetOfUser, SubjectID: uuid.New(), StartsAt: env.Now().UTC()}}
	ref := activities.CascadeRef{ID: uuid.New(), Generation: 1}
	env.OnActivity(purses.JudgeBudget, mock.Anything, mock.Anything).Return(activities.BudgetState{Behind: true, StartsAt: in.StartsAt}, nil).Once()
	env.OnActivity(purses.FollowBudget, mock.Anything, mock.Anything).Return(activities.FollowBudgetResult{Generation: 4}, nil).Once()
	env.OnActivity(purses.BudgetLeft, mock.Anything, mock.Anything).Return(activities.BudgetLeftResult{User: true, Cascades: []activities.CascadeRef{ref}}, nil).Once()
	env.OnActivity(purses.BudgetLeft, mock.Anything, mock.Anything).Return(activities.BudgetLeftResult{}, nil).Once()
	env.OnWorkflow(workflows.ReconcileUser, mock.Anything, workflows.ReconcileUserInput{UserID: in.SubjectID}).Return(workflows.ReconcileUserResult{}, nil).Once()
	env.OnWorkflow(workflows.EndSubscription, mock.Anything, workflows.EndSubscriptionInput{CascadeID: ref.ID}).Return(workflows.EndSubscriptionResult{}, nil).Once()
	env.OnActivity(purses.ObserveBudget, mock.Anything, activities.ObserveBudgetInput{ID: in.ID, Generation: 4}).Return(nil).Once()
	env.ExecuteWorkflow(workflows.EnforceBudget, in)
	require.NoError(t, env.GetWorkflowError())
}
