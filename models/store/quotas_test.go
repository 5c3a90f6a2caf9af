package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Thirty-two who count at once, each in batches over the same subscriptions in another order,
// lose nothing and double nothing; what is used up is suspended once.
func TestRecordUsageAtOnce(t *testing.T) {
	w := newWorld(t)
	const callers, records = 32, 200
	users, ids := []uuid.UUID{}, []uuid.UUID{}
	for i := range 5 {
		u := w.user("user " + string(rune('a'+i)))
		users, ids = append(users, u), append(ids, w.ask(u, "open").ID)
		w.key(u, "open")
	}
	w.exec("UPDATE subscriptions SET quota_requests = 100, quota_tokens = NULL WHERE id = $1", ids[0])
	for _, err := range atOnce(callers, func(i int) error {
		var batch []models.Usage
		for n := range records {
			u := users[(i+n*(1+i%3))%len(users)]
			batch = append(batch, models.Usage{UserID: u, ModelID: "open", Requests: 1, Tokens: int64(n), At: time.Now()})
		}
		for part := range 4 {
			if _, err := w.s.RecordUsage(t.Context(), batch[part*records/4:(part+1)*records/4], machine); err != nil {
				return err
			}
		}
		return nil
	}) {
		require.NoError(t, err)
	}
	require.Equal(t, callers*records, counted(t, w.db, "SELECT sum(used_requests) FROM subscriptions"))
	require.Equal(t, callers*records*(records-1)/2, counted(t, w.db, "SELECT sum(used_tokens) FROM subscriptions"))
	require.Equal(t, []string{"pending", "active", "suspended"}, w.walked(ids[0]))
	require.Equal(t, []string{models.SubscriptionActivated, models.SubscriptionHeld}, w.announced(ids[0]))
	require.Equal(t, 1, counted(t, w.db, "SELECT count(*) FROM cascades WHERE cause = 'quota' AND subscriptions = 1 AND keys = 1"))
	require.Equal(t, 4, counted(t, w.db, "SELECT count(*) FROM subscriptions WHERE status = 'active'"))
	w.sound()
}

// Use counts in the month in which it was, of what somebody is subscribed to, in whatever state.
func TestRecordUsage(t *testing.T) {
	w := newWorld(t)
	u := w.user("ada")
	id := w.in(u, "active")
	key := w.key(u, "open")
	record := func(requests, tokens int64, at time.Time) []models.Cascade {
		cs, err := w.s.RecordUsage(t.Context(), []models.Usage{
			{UserID: u, ModelID: "open", Requests: requests, Tokens: tokens, At: at}, {UserID: u, ModelID: "none", Requests: 1, At: at},
		}, machine)
		require.NoError(t, err)
		return cs
	}
	now := time.Now()
	lastMonth := time.Date(now.UTC().Year(), now.UTC().Month(), 1, 0, 0, 0, 0, time.UTC).Add(-time.Microsecond)
	require.Empty(t, record(9, 999, now))
	require.Empty(t, record(1000, 1000, lastMonth), "it was in a month that is over")
	require.EqualValues(t, 9, w.read(id).UsedRequests)
	require.Empty(t, record(0, 0, lastMonth.Add(time.Microsecond)))
	cs := record(0, 1, now)
	require.Len(t, cs, 1)
	require.Equal(t, models.CauseQuota, cs[0].Cause)
	require.Equal(t, models.SubscriptionSuspended, w.read(id).Status)
	w.holds(key, false)
	require.Empty(t, record(5, 5, now), "it is suspended already")
	require.EqualValues(t, 14, w.read(id).UsedRequests)
	w.follow(cs[0])

	w.exec("UPDATE subscriptions SET reset_at = reset_at - interval '3 months' WHERE id = $1", id)
	cs = record(2, 3, now)
	require.Len(t, cs, 1, "the month is over, whoever notices it first")
	sub := w.read(id)
	require.Equal(t, models.SubscriptionActive, sub.Status)
	require.Equal(t, []int64{2, 3}, []int64{sub.UsedRequests, sub.UsedTokens})
	require.Equal(t, models.QuotaReset(now), sub.ResetAt.UTC())
	w.holds(key, false, "open")
	none, err := w.s.RecordUsage(t.Context(), nil, machine)
	require.NoError(t, err)
	require.Empty(t, none)
	w.sound()
}

// Quotas count from zero at the moment when the month is over, not before, and also when nobody
// looked for months; what was suspended for them is active again, with all its keys had.
func TestResetQuotas(t *testing.T) {
	w := newWorld(t)
	users, ids, keys := []uuid.UUID{}, []uuid.UUID{}, []uuid.UUID{}
	for i := range 4 {
		u := w.user("user " + string(rune('a'+i)))
		users, ids = append(users, u), append(ids, w.ask(u, "open").ID)
		keys = append(keys, w.key(u, "open"))
		cs, err := w.s.RecordUsage(t.Context(), []models.Usage{{UserID: u, ModelID: "open", Requests: models.DefaultQuotaRequests, At: time.Now()}}, machine)
		require.NoError(t, err)
		require.Len(t, cs, 1)
		w.follow(cs[0])
	}
	_, err := w.s.DeactivateUser(t.Context(), users[2], models.HoldAdmin, "left", machine)
	require.NoError(t, err)
	n, _, err := w.s.ResetQuotas(t.Context(), 10, machine)
	require.NoError(t, err)
	require.Zero(t, n, "the month is not over")
	w.exec("UPDATE subscriptions SET reset_at = now() + interval '300 milliseconds' WHERE id = $1", ids[0])
	n, _, err = w.s.ResetQuotas(t.Context(), 10, machine)
	require.NoError(t, err)
	require.Zero(t, n)
	time.Sleep(300 * time.Millisecond)
	w.exec("UPDATE subscriptions SET reset_at = reset_at - interval '7 months' WHERE id IN ($1, $2)", ids[1], ids[2])
	for _, want := range []int{2, 1, 0} {
		n, cs, err := w.s.ResetQuotas(t.Context(), 2, machine)
		require.NoError(t, err)
		require.Equal(t, want, n)
		for _, c := range cs {
			require.EqualValues(t, 2, c.Generation)
			require.NotNil(t, c.LiftedAt)
		}
	}
	for _, i := range []int{0, 1} {
		sub := w.read(ids[i])
		require.Equal(t, models.SubscriptionActive, sub.Status)
		require.Zero(t, sub.UsedRequests)
		require.Equal(t, models.QuotaReset(time.Now()), sub.ResetAt.UTC())
		w.holds(keys[i], false, "open")
	}
	require.Equal(t, []models.Hold{models.HoldOffboarded}, w.read(ids[2]).Holds)
	w.holds(keys[2], false)
	require.Equal(t, models.SubscriptionSuspended, w.read(ids[3]).Status)

	_, err = w.s.ReinstateUser(t.Context(), users[2], models.HoldAdmin, "back", machine)
	require.NoError(t, err)
	require.Equal(t, models.SubscriptionActive, w.read(ids[2]).Status)
	w.holds(keys[2], false, "open")
	stranger := uuid.New()
	_, _, err = w.s.ResetUserQuotas(t.Context(), &stranger, machine2)
	refused(t, models.NotFound, err)
	n, cs, err := w.s.ResetUserQuotas(t.Context(), nil, machine2)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Len(t, cs, 1)
	require.Equal(t, models.SubscriptionActive, w.read(ids[3]).Status)
	rows, _, err := w.s.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 1, Action: models.AuditQuotasReset})
	require.NoError(t, err)
	require.Equal(t, "ops-key", rows[0].Actor)
	w.sound()
}

// An owner keeps within his bounds, and cannot raise what he has used up; an admin can, and it
// counts at once.
func TestEditSubscription(t *testing.T) {
	w := newWorld(t)
	u := w.user("ada")
	sub := w.ask(u, "open")
	key := w.key(u, "open")
	_, err := w.s.RecordUsage(t.Context(), []models.Usage{{UserID: u, ModelID: "open", Requests: 50, Tokens: 70, At: time.Now()}}, machine)
	require.NoError(t, err)
	edit := func(e store.SubscriptionEdit) (models.Subscription, models.Cascade, error) {
		by, owner := self(u), u
		if e.Admin {
			by, owner = machine2, uuid.Nil
		}
		return w.s.EditSubscription(t.Context(), owner, sub.ID, e, by)
	}
	n := func(i int64) *int64 { return &i }
	past := new(time.Now().Add(-time.Hour))
	for name, tc := range map[string]struct {
		e     store.SubscriptionEdit
		field string
	}{
		"nothing":             {store.SubscriptionEdit{QuotaRequests: n(0)}, "quotaRequests"},
		"less than nothing":   {store.SubscriptionEdit{QuotaTokens: n(-5)}, "quotaTokens"},
		"beyond his bounds":   {store.SubscriptionEdit{QuotaRequests: n(models.MaxQuotaRequests + 1)}, "quotaRequests"},
		"an end in the past":  {store.SubscriptionEdit{ExpiresAt: &past}, "expiresAt"},
		"an admin below zero": {store.SubscriptionEdit{QuotaTokens: n(-1), Admin: true}, "quotaTokens"},
	} {
		_, _, err := edit(tc.e)
		refused(t, models.Invalid, err)
		var e *models.Error
		require.ErrorAs(t, err, &e, name)
		require.Equal(t, tc.field, e.Field, name)
	}
	same, c, err := edit(store.SubscriptionEdit{QuotaRequests: n(models.DefaultQuotaRequests)})
	require.NoError(t, err)
	require.True(t, c.Settled())
	require.EqualValues(t, models.DefaultQuotaRequests, *same.QuotaRequests)
	require.NotContains(t, audited(t, w.s, sub.ID.String()), models.AuditSubscriptionUpdate, "nothing has changed")

	at := new(time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond))
	w.exec("UPDATE subscriptions SET noticed_days = 7 WHERE id = $1", sub.ID)
	now, _, err := edit(store.SubscriptionEdit{ExpiresAt: &at})
	require.NoError(t, err)
	require.Equal(t, *at, now.ExpiresAt.UTC())
	require.Equal(t, 1, counted(t, w.db, "SELECT count(*) FROM subscriptions WHERE noticed_days IS NULL"))
	now, c, err = edit(store.SubscriptionEdit{QuotaRequests: n(50)})
	require.NoError(t, err)
	require.Equal(t, models.SubscriptionSuspended, now.Status, "it is used up by that")
	require.Equal(t, models.CauseQuota, c.Cause)
	w.holds(key, false)
	_, _, err = edit(store.SubscriptionEdit{QuotaRequests: n(51)})
	refused(t, models.Forbidden, err)
	now, _, err = edit(store.SubscriptionEdit{QuotaTokens: n(71)})
	require.NoError(t, err, "that is less")
	require.Equal(t, models.SubscriptionSuspended, now.Status)
	now, c, err = edit(store.SubscriptionEdit{QuotaRequests: n(2 * models.MaxQuotaRequests), Admin: true})
	require.NoError(t, err)
	require.Equal(t, models.SubscriptionActive, now.Status)
	require.EqualValues(t, 2, c.Generation)
	w.holds(key, false, "open")
	never := (*time.Time)(nil)
	now, _, err = edit(store.SubscriptionEdit{QuotaRequests: n(0), QuotaTokens: n(0), ExpiresAt: &never, Admin: true})
	require.NoError(t, err)
	require.Nil(t, now.QuotaRequests)
	require.Nil(t, now.QuotaTokens)
	require.Nil(t, now.ExpiresAt)

	_, _, err = w.s.CancelSubscription(t.Context(), u, sub.ID, self(u))
	require.NoError(t, err)
	_, _, err = edit(store.SubscriptionEdit{QuotaRequests: n(5)})
	refused(t, models.Conflict, err)
	w.sound()
}
