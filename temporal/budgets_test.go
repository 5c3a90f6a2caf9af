package temporal_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/workflows"
)

// enforce has the budgets judged that are due, and waits for it.
func (s system) enforce(t *testing.T) {
	t.Helper()
	run, err := workflows.Nudge(t.Context(), s.client, workflows.EnforceBudgets, workflows.EnforceBudgetsInput{})
	require.NoError(t, err)
	_, err = run.Wait(t.Context(), time.Minute)
	require.NoError(t, err)
}

// blocked waits until LiteLLM blocks a key, or does not any more.
func (s system) blocked(t *testing.T, k models.Key, want bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		seen, err := s.litellm.Key(t.Context(), k.Hash)
		return err == nil && seen.Blocked == want
	}, 30*time.Second, 20*time.Millisecond)
}

// A key whose budget is used up is blocked at LiteLLM, released by a raise, blocked again when that
// ends, and released with the period; with what LiteLLM counted, too.
func TestHistoriesOfBudgets(t *testing.T) {
	s := start(t)
	k := storetest.Key(t, s.store, s.subscriber(t, "ada", "a").ID, func(k *models.Key) {
		k.Limits.MaxBudget, k.Limits.BudgetDuration, k.Spend = new(5*models.Dollar), "daily", 6*models.Dollar
	}, "a")
	s.followKey(t, k, true)
	s.enforce(t)
	s.record(t, "enforce_budgets", workflows.EnforceBudgetsInput{}.WorkflowID(), "")
	s.blocked(t, k, true)
	b, err := s.store.BudgetOf(t.Context(), models.BudgetOfKey, k.ID, "")
	require.NoError(t, err)
	in := workflows.EnforceBudgetInput{BudgetRun: activities.BudgetRun{ID: b.ID, SubjectType: b.SubjectType, SubjectID: b.SubjectID, StartsAt: b.StartsAt}}
	settled := func() bool {
		b, err = s.store.Budget(t.Context(), b.ID)
		return err == nil && b.ObservedGeneration == b.Generation
	}
	require.Eventually(t, settled, 10*time.Second, 20*time.Millisecond)

	until := time.Now().Add(3 * time.Second)
	r, err := s.store.RequestRaise(t.Context(), models.BudgetRaise{BudgetID: b.ID, Amount: 4 * models.Dollar, Reason: "a demo", UntilAt: until}, false, root)
	require.NoError(t, err)
	raise := workflows.RaiseBudgetInput{RaiseID: r.ID}
	run, err := workflows.Start(t.Context(), s.client, workflows.RaiseBudget, raise)
	require.NoError(t, err)
	s.blocked(t, k, false)
	seen, err := s.litellm.Key(t.Context(), k.Hash)
	require.NoError(t, err)
	require.Equal(t, 9*models.Dollar, *seen.MaxBudget)
	require.True(t, time.Now().Before(until), "it was released while the raise was active")
	require.Eventually(t, settled, 10*time.Second, 20*time.Millisecond)
	require.NoError(t, s.client.GetWorkflow(t.Context(), in.WorkflowID(), "").Get(t.Context(), nil), "nothing is left to look after")
	s.record(t, "enforce_budget", in.WorkflowID(), "")
	_, err = run.Wait(t.Context(), time.Minute)
	require.NoError(t, err)
	s.record(t, "raise_budget", raise.WorkflowID(), "")
	s.blocked(t, k, true)
	require.Eventually(t, settled, 10*time.Second, 20*time.Millisecond)

	_, err = s.db.Exec("UPDATE budgets SET starts_at = now() - interval '9 days', ends_at = now() - interval '8 days' WHERE id = $1", b.ID)
	require.NoError(t, err)
	s.enforce(t)
	s.blocked(t, k, false)
	require.Eventually(t, settled, 10*time.Second, 20*time.Millisecond)
	seen, err = s.litellm.Key(t.Context(), k.Hash)
	require.NoError(t, err)
	require.Zero(t, seen.Spend)
	s.requireKey(t, k)
}
