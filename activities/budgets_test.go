package activities_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// Each step of a budget may be repeated: it does the rest, or nothing, and its second answer is as
// good as the first.
func TestBudgetActivities(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	db := storetest.SQL(t, r.url)
	a := &activities.Budgets{Store: r.Store, House: []models.BudgetThreshold{{Percent: 70, Actions: []models.BudgetAction{models.BudgetHold}}}}
	k := r.held(t)
	b, err := a.Store.BudgetOf(t.Context(), models.BudgetOfKey, k.ID, "")
	require.NoError(t, err)
	ref := activities.BudgetRef{ID: b.ID}
	_, err = db.Exec("UPDATE budgets SET amount = 10, spent = 7, period = '', ends_at = NULL, due = true WHERE id = $1", b.ID)
	require.NoError(t, err)

	wait, err := a.BudgetsWait(t.Context(), activities.BudgetsWaitInput{})
	require.NoError(t, err)
	require.True(t, wait.Wait)
	for i, want := range []activities.JudgeBudgetsResult{{Judged: 1, Held: 1, Runs: []activities.BudgetRun{{
		ID: b.ID, SubjectType: models.BudgetOfKey, SubjectID: k.ID, StartsAt: b.StartsAt.UTC(),
	}}}, {}} {
		page, err := a.JudgeBudgets(t.Context(), activities.JudgeBudgetsInput{Limit: 10})
		require.NoError(t, err)
		require.Equal(t, want, page, "%d", i)
	}
	for range 2 {
		s, err := a.JudgeBudget(t.Context(), ref)
		require.NoError(t, err)
		require.True(t, s.Held && s.Behind && s.Waits())
		require.Nil(t, s.WakeIn, "its period never ends")
	}
	for _, keys := range []int{1, 0} {
		f, err := a.FollowBudget(t.Context(), ref)
		require.NoError(t, err)
		require.Equal(t, activities.FollowBudgetResult{Generation: 1, Keys: keys}, f)
	}
	left, err := a.BudgetLeft(t.Context(), activities.BudgetLeftInput{ID: b.ID, Limit: 10})
	require.NoError(t, err)
	require.Equal(t, activities.BudgetLeftResult{Keys: []uuid.UUID{k.ID}, Left: 1}, left)
	_, err = db.Exec("UPDATE budgets SET updated_at = now() - interval '1 hour'")
	require.NoError(t, err)
	lost, err := a.UnsettledBudgets(t.Context(), activities.UnsettledBudgetsInput{Limit: 10})
	require.NoError(t, err)
	require.Len(t, lost.Runs, 1)
	_, err = db.Exec("UPDATE api_keys SET observed_generation = generation")
	require.NoError(t, err)
	for range 2 {
		left, err = a.BudgetLeft(t.Context(), activities.BudgetLeftInput{ID: b.ID, Limit: 10})
		require.NoError(t, err)
		require.True(t, left.None())
		require.NoError(t, a.ObserveBudget(t.Context(), activities.ObserveBudgetInput{ID: b.ID, Generation: 1}))
		s, err := a.JudgeBudget(t.Context(), ref)
		require.NoError(t, err)
		require.False(t, s.Behind)
	}

	raise, err := a.Store.RequestRaise(t.Context(), models.BudgetRaise{BudgetID: b.ID, Amount: 5, UntilAt: time.Now().Add(time.Hour)}, false, models.System("test"))
	require.NoError(t, err)
	stands, err := a.LookAtRaise(t.Context(), activities.RaiseRef{ID: raise.ID})
	require.NoError(t, err)
	require.False(t, stands.Over())
	require.InDelta(t, time.Hour, stands.Left, float64(time.Minute))
	stands, err = a.EndRaise(t.Context(), activities.RaiseRef{ID: raise.ID})
	require.NoError(t, err)
	require.Equal(t, models.RaiseActive, stands.Status)
	_, err = db.Exec("UPDATE budget_raises SET until_at = now()")
	require.NoError(t, err)
	for range 2 {
		stands, err = a.EndRaise(t.Context(), activities.RaiseRef{ID: raise.ID})
		require.NoError(t, err)
		require.Equal(t, models.RaiseEnded, stands.Status)
		require.True(t, stands.Over())
	}

	_, err = db.Exec("DELETE FROM api_keys")
	require.NoError(t, err)
	s, err := a.JudgeBudget(t.Context(), ref)
	require.NoError(t, err)
	require.True(t, s.Gone)
	_, err = a.FollowBudget(t.Context(), ref)
	require.NoError(t, err)
	left, err = a.BudgetLeft(t.Context(), activities.BudgetLeftInput{ID: b.ID})
	require.NoError(t, err)
	require.True(t, left.None())
	stands, err = a.LookAtRaise(t.Context(), activities.RaiseRef{ID: raise.ID})
	require.NoError(t, err)
	require.True(t, stands.Over())
}

// spends has LiteLLM say that a user has spent so many dollars.
func (p people) spends(t *testing.T, u models.User, dollars int) {
	t.Helper()
	body := fmt.Sprintf(`{"user_id": "%s", "spend": %d}`, u.ID, dollars)
	r := httptest.NewRequest(http.MethodPost, "/user/update", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+litellmtest.MasterKey)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	p.proxy.ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
}

// What a user has spent at LiteLLM counts from zero there, once, when his period has been reset.
func TestApplyUserResetsHisSpend(t *testing.T) {
	p := newPeople(t, litellmtest.Options{})
	url := storetest.URL(t)
	opened, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(url), MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(opened.Close)
	p.Store = opened
	u := p.signIn(t, "ada")
	_, err = p.apply(t, u)
	require.NoError(t, err)
	_, err = p.Store.ObserveUser(t.Context(), u.ID, 1)
	require.NoError(t, err)
	p.spends(t, u, 3)
	require.Equal(t, 3*models.Dollar, p.held(t, u).Spend)
	_, err = storetest.SQL(t, url).Exec("UPDATE users SET generation = 2, reset_generation = 2 WHERE id = $1", u.ID)
	require.NoError(t, err)
	for _, did := range [][]models.UserStep{{models.UserResetSpend}, nil} {
		res, err := p.apply(t, u)
		require.NoError(t, err)
		require.Equal(t, activities.ApplyUserResult{Generation: 2, Did: did}, res)
		require.Zero(t, p.held(t, u).Spend)
	}
	_, err = p.Store.ObserveUser(t.Context(), u.ID, 2)
	require.NoError(t, err)
	p.spends(t, u, 3)
	res, err := p.apply(t, u)
	require.NoError(t, err)
	require.Empty(t, res.Did)
}
