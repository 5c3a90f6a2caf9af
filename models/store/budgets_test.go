package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// limited gives a subject a budget, which was judged once.
func (w world) limited(of models.BudgetSubject, id uuid.UUID, amount models.USD) models.Budget {
	w.t.Helper()
	b := w.budget(of, id, "")
	w.exec("UPDATE budgets SET amount = $2, hold_at = $2 WHERE id = $1", b.ID, int64(amount))
	return w.budget(of, id, "")
}

func (w world) budget(of models.BudgetSubject, id uuid.UUID, model string) models.Budget {
	w.t.Helper()
	b, err := w.s.BudgetOf(w.t.Context(), of, id, model)
	require.NoError(w.t, err)
	return b
}

// spend charges what somebody spent just now.
func (w world) spend(cost models.USD, e store.Spending) bool {
	w.t.Helper()
	if e.At.IsZero() {
		e.At = time.Now()
	}
	e.Cost = int64(cost)
	due, err := w.s.Charge(w.t.Context(), e)
	require.NoError(w.t, err)
	return due
}

// judge judges all that is due.
func (w world) judge() []store.JudgedBudget {
	w.t.Helper()
	judged, err := w.s.JudgeBudgets(w.t.Context(), 1000, nil, machine)
	require.NoError(w.t, err)
	return judged
}

// news are what people were told of a budget, in order.
func (w world) news(b models.Budget) string {
	w.t.Helper()
	return strings.Join(w.words(`SELECT coalesce(string_agg(replace(type, 'budget.', '') || coalesce(':' || (data ->> 'percent'), ''), ' ' ORDER BY id), '')
		FROM outbox WHERE subject_type = 'budget' AND subject_id = $1`, b.ID.String()), " ")
}

// Each threshold is told of once, however often and by however many it is judged, and whatever is
// told of late; and listeners hear at once when a budget is used up.
func TestBudgetThresholds(t *testing.T) {
	w := newWorld(t)
	u := w.user("ada")
	b := w.limited(models.BudgetOfUser, u, 10*models.Dollar)
	told := ears(t, w.s)
	require.True(t, w.spend(models.Dollar, store.Spending{UserID: u}), "the first use")
	require.Len(t, w.judge(), 1)
	require.False(t, w.spend(models.Dollar, store.Spending{UserID: u}), "less than half")
	require.Empty(t, w.judge())
	for _, step := range []struct {
		cost models.USD
		news string
	}{
		{3 * models.Dollar, "threshold:50"},
		{2 * models.Dollar, "threshold:50"},
		{2 * models.Dollar, "threshold:50 threshold:80 threshold:90"},
		{1*models.Dollar - 1, "threshold:50 threshold:80 threshold:90"},
		{1, "threshold:50 threshold:80 threshold:90 threshold:100 held"},
		{5 * models.Dollar, "threshold:50 threshold:80 threshold:90 threshold:100 held"},
	} {
		w.spend(step.cost, store.Spending{UserID: u})
		for _, err := range atOnce(4, func(int) error {
			_, err := w.s.JudgeBudgets(t.Context(), 10, nil, machine)
			return err
		}) {
			require.NoError(t, err)
		}
		require.Equal(t, step.news, w.news(b))
	}
	_, err := w.s.JudgeBudget(t.Context(), b.ID, nil, machine)
	require.NoError(t, err)
	b = w.budget(models.BudgetOfUser, u, "")
	require.True(t, b.Held)
	require.Equal(t, 15*models.Dollar, b.Spent)
	require.True(t, b.Refused(time.Now()))
	require.EqualValues(t, 1, b.Generation)
	require.Equal(t, []models.AuditAction{models.AuditBudgetHold}, audited(t, w.s, b.ID.String()))
	require.Eventually(t, func() bool { return told("owner:" + u.String()) }, 5*time.Second, 10*time.Millisecond)
	var data string
	require.NoError(t, w.db.QueryRow("SELECT data || jsonb_build_object('user', user_id) FROM outbox WHERE type = 'budget.threshold' ORDER BY id LIMIT 1").Scan(&data))
	require.JSONEq(t, `{"user": "`+u.String()+`", "budgetId": "`+b.ID.String()+`", "subjectType": "user", "subjectId": "`+u.String()+`", "percent": 50, "spent": 5, "limit": 10,
		"startsAt": "`+b.StartsAt.Format(time.RFC3339Nano)+`", "endsAt": `+jsonTime(b.EndsAt)+`}`, data)
}

func jsonTime(at *time.Time) string {
	if at == nil {
		return "null"
	}
	return `"` + at.Format(time.RFC3339Nano) + `"`
}

// ears listens, and says whether something was told.
func ears(t *testing.T, s *store.Store) func(string) bool {
	t.Helper()
	heard, ready := make(chan string, 10_000), make(chan struct{}, 100)
	go func() {
		_ = s.Listen(t.Context(), func(n store.Notice) {
			switch n.Kind {
			case store.NoticeLost:
				ready <- struct{}{}
			case store.NoticeAPIKey:
				heard <- "key:" + n.Hash
			case store.NoticeOwner:
				heard <- "owner:" + n.ID.String()
			default:
				heard <- string(n.Kind)
			}
		})
	}()
	<-ready
	all := map[string]bool{}
	return func(what string) bool {
		for len(heard) > 0 {
			all[<-heard] = true
		}
		return all[what]
	}
}

// Spending counts against each budget that it concerns, in the period in which it was, once it
// begins to count.
func TestChargeBudgets(t *testing.T) {
	w := newWorld(t)
	u, team := w.user("ada"), uuid.New()
	w.exec("INSERT INTO teams (id, name, litellm_alias) VALUES ($1, 'red', 'red')", team)
	sub := w.sub(u, "open", models.SubscriptionActive)
	key := w.key(u, "open", "closed")
	w.exec(`UPDATE api_keys SET team_id = $2, max_budget = 5, model_max_budget = '{"open": {"budgetLimit": 1, "timePeriod": "daily"}}' WHERE id = $1`, key, team)
	spent := func() string {
		return strings.Join(w.words("SELECT string_agg(subject_type || model_id || '=' || spent, ' ' ORDER BY subject_type) FROM budgets WHERE subject_id IN ($1, $2, $3, $4)", u, team, sub, key), " ")
	}
	all := func(cost int64, model string, at time.Time) store.Spending {
		e := store.Spending{At: at, UserID: u, TeamID: team, KeyID: key, ModelID: model, Cost: cost}
		if model == "open" {
			e.SubscriptionID = sub
		}
		return e
	}
	w.exec("UPDATE budgets SET counts_from = now() WHERE counts_from = 'epoch'") // as after a reset: what a new subject spends counts, whenever it was
	now := time.Now()
	due, err := w.s.Charge(t.Context(), all(1, "open", now), all(10, "closed", now), all(100, "open", now.Add(-time.Hour)), all(1000, "open", now.Add(time.Hour)),
		store.Spending{At: now, ModelID: "open", Cost: 7})
	require.NoError(t, err)
	require.True(t, due)
	require.Equal(t, "key=1011 key_modelopen=1001 subscription=1001 team=1011 user=1011", spent(), "what was before they began to count does not, what is in the future is now")
	due, err = w.s.Charge(t.Context(), all(5, "open", now.Add(-time.Hour)))
	require.NoError(t, err)
	require.False(t, due, "nothing counts")
	w.exec("UPDATE budgets SET due = false, next_at = NULL")
	due, err = w.s.Charge(t.Context(), all(-11, "open", now), all(-1, "closed", now))
	require.NoError(t, err)
	require.False(t, due)
	require.Equal(t, "key=999 key_modelopen=990 subscription=990 team=999 user=999", spent())
	w.exec("UPDATE budgets SET held = true WHERE subject_id = $1", team)
	due, err = w.s.Charge(t.Context(), all(-1, "closed", now))
	require.NoError(t, err)
	require.True(t, due, "a correction may release")
	due, err = w.s.Charge(t.Context())
	require.NoError(t, err)
	require.False(t, due)

	w.exec("DELETE FROM api_keys WHERE id = $1", key)
	w.exec("DELETE FROM users WHERE id = $1", u)
	require.Equal(t, "team=998", spent(), "budgets go with their subjects")
}

// A period that is over is rolled at the next use, also when many were over; or by the clock. What
// was spent of it is kept, and what was held is released.
func TestBudgetRolls(t *testing.T) {
	w := newWorld(t)
	u := w.user("ada")
	w.exec("UPDATE users SET max_budget = $2, budget_duration = 'monthly' WHERE id = $1", u, int64(10*models.Dollar))
	w.judge()
	w.spend(12*models.Dollar, store.Spending{UserID: u})
	w.judge()
	b := w.budget(models.BudgetOfUser, u, "")
	start, end := b.Window(time.Now())
	require.WithinDuration(t, start, b.StartsAt, 0)
	require.WithinDuration(t, *end, *b.EndsAt, 0)
	require.True(t, b.Held)

	long := func() {
		w.exec("UPDATE budgets SET starts_at = '2025-01-01', counts_from = '2025-01-01', ends_at = '2025-02-01' WHERE id = $1", b.ID)
	}
	long()
	require.Zero(t, w.budget(models.BudgetOfUser, u, "").On(time.Now()).Spent)
	judged := w.judge()
	require.Len(t, judged, 1)
	require.Equal(t, []any{true, true, false, models.USD(0)}, []any{judged[0].Rolled, judged[0].Released, judged[0].Budget.Held, judged[0].Spent})
	b = w.budget(models.BudgetOfUser, u, "")
	require.WithinDuration(t, start, b.CountsFrom, 0)
	require.Equal(t, []any{int64(2), int64(2), 0, false}, []any{b.Generation, b.ResetGeneration, b.Reached, b.Held})
	require.Equal(t, "threshold:50 threshold:80 threshold:90 threshold:100 held released", w.news(b))
	require.Equal(t, 1, counted(t, w.db, "SELECT count(*) FROM budget_periods WHERE spent = $1 AND reached = 100 AND held AND ends_at = '2025-02-01'", int64(12*models.Dollar)))
	require.Empty(t, w.judge())

	w.spend(10*models.Dollar, store.Spending{UserID: u})
	w.judge()
	long()
	w.exec("DELETE FROM budget_periods")
	require.True(t, w.spend(models.Dollar, store.Spending{UserID: u}))
	b = w.budget(models.BudgetOfUser, u, "")
	require.Equal(t, []any{models.Dollar, true, 0}, []any{b.Spent, b.Held, b.Reached})
	judged = w.judge()
	require.Len(t, judged, 1)
	require.True(t, judged[0].Released)
	require.EqualValues(t, 4, w.budget(models.BudgetOfUser, u, "").ResetGeneration)
	require.Equal(t, "threshold:50 threshold:80 threshold:90 threshold:100 held released threshold:50 threshold:80 threshold:90 threshold:100 held released", w.news(b))
}

// Where a period is changed in its middle, what counts in the new one is added up from the ledger.
func TestBudgetOfAnotherPeriod(t *testing.T) {
	w := newWorld(t)
	u := w.user("ada")
	w.exec("UPDATE users SET max_budget = 100, budget_duration = 'yearly' WHERE id = $1", u)
	w.exec("UPDATE budgets SET time_zone = 'Asia/Kolkata', created_at = '2020-01-01' WHERE subject_id = $1", u)
	w.spend(50, store.Spending{UserID: u})
	w.judge()
	b := w.budget(models.BudgetOfUser, u, "")
	w.exec("UPDATE budgets SET counts_from = starts_at WHERE id = $1", b.ID)
	daily := b
	daily.Period = "daily"
	today, _ := daily.Window(time.Now())
	w.exec("SELECT make_usage_partitions(current_date - 3, current_date + 1)")
	for at, cost := range map[time.Time]int{
		today.Add(-time.Minute): 1, today: 2, today.Add(29 * time.Minute): 4, today.Add(30 * time.Minute): 8, today.Add(-2 * time.Hour): 16,
	} {
		w.exec(`INSERT INTO usage_events SELECT gen_random_uuid(), $2, NULL, 'push', 'x', '', '', $1, $4, $4, $4, 'open', '', 1, 0, 0, 0, $3, 'reported', 0`,
			u, at, cost, models.UnknownUserID)
	}
	w.exec(`INSERT INTO usage_hours SELECT date_trunc('hour', at), user_id, team_id, api_key_id, subscription_id, model_id, provider, count(*), 0, 0, 0, sum(cost), 0
		FROM usage_events GROUP BY 1, 2, 3, 4, 5, 6, 7`)
	w.exec("UPDATE users SET budget_duration = 'daily' WHERE id = $1", u)
	require.Len(t, w.judge(), 1)
	b = w.budget(models.BudgetOfUser, u, "")
	require.WithinDuration(t, today, b.StartsAt, 0)
	require.EqualValues(t, 14, b.Spent)

	w.exec("UPDATE users SET budget_duration = '' WHERE id = $1", u)
	require.Len(t, w.judge(), 1)
	b = w.budget(models.BudgetOfUser, u, "")
	require.Nil(t, b.EndsAt)
	require.EqualValues(t, 14, b.Spent)
}

// A hold that can be prevented begins when its time comes, and not if somebody prevented it.
func TestBudgetHoldAfter(t *testing.T) {
	w := newWorld(t)
	for _, pardoned := range []bool{false, true} {
		u := w.user(map[bool]string{false: "ada", true: "bob"}[pardoned])
		b := w.limited(models.BudgetOfUser, u, 10)
		w.exec("UPDATE budgets SET hold_after = interval '1 hour' WHERE id = $1", b.ID)
		w.spend(10, store.Spending{UserID: u})
		judged := w.judge()
		require.Len(t, judged, 1)
		require.False(t, judged[0].Budget.Held)
		require.WithinDuration(t, time.Now().Add(time.Hour), *judged[0].HoldDueAt, time.Minute)
		require.Equal(t, judged[0].HoldDueAt, judged[0].WakeAt)
		require.False(t, w.budget(models.BudgetOfUser, u, "").Refused(time.Now()))
		require.Empty(t, w.judge())
		w.exec("UPDATE budgets SET hold_due_at = now(), pardoned = $2 WHERE id = $1", b.ID, pardoned)
		judged = w.judge()
		require.Len(t, judged, 1)
		require.Equal(t, !pardoned, judged[0].Held)
		require.Equal(t, !pardoned, w.budget(models.BudgetOfUser, u, "").Refused(time.Now()))
		require.Empty(t, w.judge())
	}
}

// Where nothing is due, nothing is read: each look goes by an index that is empty then.
func TestNothingDueIsNoScan(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO budgets (subject_type, subject_id, amount, next_at, ends_at) SELECT 'user', gen_random_uuid(), 5, 5, now() + interval '1 day' FROM generate_series(1, 20000)`)
	w.exec("VACUUM ANALYZE budgets")
	rows, err := w.db.Query("EXPLAIN (ANALYZE, BUFFERS) " + strings.ReplaceAll(store.DueBudgetsSQL, "@limit", "200"))
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	var plan strings.Builder
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		plan.WriteString(line + "\n")
	}
	require.NoError(t, rows.Err())
	require.NotContains(t, plan.String(), "Seq Scan")
	for _, index := range []string{"budgets_due", "budgets_over", "budgets_holding"} {
		require.Contains(t, plan.String(), index)
	}
	wait, err := w.s.BudgetsWait(t.Context(), time.Minute)
	require.NoError(t, err)
	require.False(t, wait)
	require.Empty(t, w.judge())
}
