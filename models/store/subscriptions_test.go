package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// A user's list is his own, without what he gave up unless he asks for it, and says all that the
// single one says.
func TestSubscriptions(t *testing.T) {
	w := newWorld(t)
	u, other := w.user("ada"), w.user("bob")
	w.ask(other, "open")
	for _, m := range []string{"a", "b", "c"} {
		w.model(m)
	}
	open, a, b, c := w.ask(u, "open"), w.ask(u, "a"), w.ask(u, "b"), w.ask(u, "c")
	_, _, err := w.s.CancelSubscription(t.Context(), u, b.ID, self(u))
	require.NoError(t, err)
	_, err = w.s.RecordUsage(t.Context(), []models.Usage{{UserID: u, ModelID: "c", Requests: models.DefaultQuotaRequests, Tokens: 3, At: time.Now()}}, machine)
	require.NoError(t, err)
	list := func(q store.SubscriptionQuery) ([]uuid.UUID, int, []store.SubscriptionView) {
		q.UserID = u
		if q.Page == 0 {
			q.Page, q.Limit = 1, 10
		}
		page, n, err := w.s.Subscriptions(t.Context(), q)
		require.NoError(t, err)
		ids := []uuid.UUID{}
		for _, v := range page {
			ids = append(ids, v.ID)
		}
		return ids, n, page
	}
	ids, n, page := list(store.SubscriptionQuery{})
	require.Equal(t, []uuid.UUID{c.ID, a.ID, open.ID}, ids)
	require.Equal(t, 3, n)
	ids, n, _ = list(store.SubscriptionQuery{Status: models.SubscriptionInactive})
	require.Equal(t, []uuid.UUID{b.ID}, ids)
	require.Equal(t, 1, n)
	ids, n, _ = list(store.SubscriptionQuery{ModelID: "a"})
	require.Equal(t, []uuid.UUID{a.ID}, ids)
	require.Equal(t, 1, n)
	ids, n, _ = list(store.SubscriptionQuery{Page: 2, Limit: 2})
	require.Equal(t, []uuid.UUID{open.ID}, ids)
	require.Equal(t, 3, n)
	ids, n, _ = list(store.SubscriptionQuery{Page: 3, Limit: 2})
	require.Empty(t, ids)
	require.Equal(t, 3, n)

	held := w.read(c.ID)
	require.Equal(t, []models.Hold{models.HoldQuota}, held.Holds)
	want, err := w.s.SubscriptionView(t.Context(), c.ID)
	require.NoError(t, err)
	want.Username, want.Email = "", ""
	require.Equal(t, want, page[0])
	require.JSONEq(t, string(held.Metadata), string(page[0].Metadata))
	got := page[0].Subscription
	for _, at := range []*time.Time{&held.StatusChangedAt, &held.RequestedAt, &held.ResetAt, &held.CreatedAt, &held.UpdatedAt, &got.StatusChangedAt, &got.RequestedAt, &got.ResetAt, &got.CreatedAt, &got.UpdatedAt} {
		*at = at.UTC()
	}
	require.Equal(t, held, got)
	require.Equal(t, "0.0000025", page[0].Model.InputCost.String())
	require.Equal(t, []string{"chat"}, page[0].Model.Features)
	require.EqualValues(t, 128000, *page[0].Model.ContextLength)

	stats, err := w.s.SubscriptionStats(t.Context(), u)
	require.NoError(t, err)
	require.Equal(t, store.SubscriptionStats{
		Total: 4, ByStatus: map[string]int{"active": 2, "suspended": 1, "inactive": 1}, ByProvider: map[string]int{"openai": 4},
		Quota: store.QuotaTotals{
			UsedRequests: models.DefaultQuotaRequests, LimitRequests: 3 * models.DefaultQuotaRequests,
			UsedTokens: 3, LimitTokens: 3 * models.DefaultQuotaTokens,
		},
	}, stats)
	none, err := w.s.SubscriptionStats(t.Context(), uuid.New())
	require.NoError(t, err)
	require.Zero(t, none.Total)
}

// In a month of which nothing was counted yet, nothing was used.
func TestSubscriptionShowsThisMonth(t *testing.T) {
	w := newWorld(t)
	id := w.in(w.user("ada"), "active")
	w.exec("UPDATE subscriptions SET used_requests = 3, reset_at = now() - interval '2 months' WHERE id = $1", id)
	v, err := w.s.SubscriptionView(t.Context(), id)
	require.NoError(t, err)
	for _, sub := range []models.Subscription{w.read(id), v.Subscription} {
		require.Zero(t, sub.UsedRequests)
		require.Equal(t, models.QuotaReset(time.Now()), sub.ResetAt)
	}
}

// What the schema refuses has the kind of its cause.
func TestSubscriptionConstraints(t *testing.T) {
	w := newWorld(t)
	id := w.in(w.user("ada"), "active")
	for name, sql := range map[string]string{
		"a second one for user and model":  "INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, reset_at) SELECT gen_random_uuid(), user_id, model_id, 'active', '', now() FROM subscriptions",
		"an unknown status":                "UPDATE subscriptions SET status = 'paused'",
		"suspended without a hold":         "UPDATE subscriptions SET status = 'suspended'",
		"held, but not suspended":          `UPDATE subscriptions SET holds = '["quota"]'`,
		"a wish for what is no wish":       "UPDATE subscriptions SET wanted = 'active'",
		"a quota of nothing":               "UPDATE subscriptions SET quota_tokens = 0",
		"of a model that there is not":     "UPDATE subscriptions SET model_id = 'none'",
		"to take away a model that is had": "DELETE FROM models WHERE id = 'open'",
	} {
		_, err := w.db.ExecContext(t.Context(), sql)
		require.Error(t, err, name)
	}
	w.exec("DELETE FROM users WHERE id = (SELECT user_id FROM subscriptions)")
	_, err := w.s.Subscription(t.Context(), id)
	refused(t, models.NotFound, err)
}
