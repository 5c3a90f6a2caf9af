package activities_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
)

// crowd is that many more users, each with an active subscription to a.
func (d desk) crowd(t *testing.T, n int) {
	t.Helper()
	d.set(t, `INSERT INTO users (id, username, email, oauth_provider, oauth_id, observed_generation)
		SELECT gen_random_uuid(), 'user-' || i, 'user-' || i || '@example.com', 'oidc', 'crowd-' || i, 1 FROM generate_series(1, $1) i`, n)
	d.set(t, `INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, reset_at)
		SELECT gen_random_uuid(), id, 'a', 'active', 'test', $1 FROM users WHERE oauth_id LIKE 'crowd-%'`, models.QuotaReset(time.Now()))
}

func (d desk) found(t *testing.T, step any) activities.FoundCascades {
	t.Helper()
	return act[activities.FoundCascades](t, d, step, activities.DueInput{})
}

func (d desk) done(t *testing.T, step any) int {
	t.Helper()
	return act[activities.DueResult](t, d, step, activities.DueInput{}).Subscriptions
}

// Whose time is over ends, on as many pages as it takes, and once.
func TestExpireSubscriptions(t *testing.T) {
	d := newDesk(t)
	d.crowd(t, 500)
	sub, lasting := d.subscribed(t, "a"), d.subscribed(t, "b")
	d.keyed(t, "a", "b")
	d.set(t, "UPDATE subscriptions SET expires_at = now() + CASE WHEN model_id = 'a' THEN interval '-1 second' ELSE interval '1 hour' END")
	found := d.found(t, d.subs.ExpireSubscriptions)
	require.Equal(t, 501, found.Subscriptions)
	require.False(t, found.More)
	require.Len(t, found.Cascades, 1, "one key of all")
	require.Equal(t, activities.FoundCascades{}, d.found(t, d.subs.ExpireSubscriptions))
	d.follow(t, found.Cascades[0])
	require.Equal(t, models.SubscriptionExpired, d.sub(t, sub.ID).Status)
	require.Equal(t, models.SubscriptionActive, d.sub(t, lasting.ID).Status)
	require.Zero(t, d.count(t, "SELECT count(*) FROM api_key_models WHERE model_id = 'a'"))
}

// A quota that was used up holds a subscription until the month is over; then its keys have it again.
func TestResetQuotas(t *testing.T) {
	d := newDesk(t)
	sub := d.subscribed(t, "a")
	k := d.keyed(t, "a")
	held, err := d.Store.RecordUsage(t.Context(), []models.Usage{{UserID: d.owner.ID, ModelID: "a", Requests: *sub.QuotaRequests, At: time.Now()}}, models.System("test"))
	require.NoError(t, err)
	require.Len(t, held, 1)
	d.follow(t, activities.CascadeRef{ID: held[0].ID, Generation: 1})
	require.Equal(t, models.SubscriptionSuspended, d.sub(t, sub.ID).Status)
	require.Equal(t, activities.FoundCascades{}, d.found(t, d.subs.ResetQuotas), "not before its time")

	d.set(t, "UPDATE subscriptions SET reset_at = now() - interval '1 second'")
	found := d.found(t, d.subs.ResetQuotas)
	require.Equal(t, 1, found.Subscriptions)
	require.Equal(t, []activities.CascadeRef{{ID: held[0].ID, Generation: 2}}, found.Cascades)
	require.Equal(t, activities.FoundCascades{}, d.found(t, d.subs.ResetQuotas))
	d.follow(t, found.Cascades[0])
	require.Equal(t, models.SubscriptionActive, d.sub(t, sub.ID).Status)
	require.Equal(t, []string{"a"}, d.row(t, k).Models)
	d.requireHeld(t, d.row(t, k))
}

// Approvers are reminded of a request once, and it lapses, when the settings say so.
func TestRemindAndLapse(t *testing.T) {
	d := newDesk(t)
	_, err := d.db.Exec("UPDATE models SET restricted_access = true WHERE id = 'a'")
	require.NoError(t, err)
	sub := d.request(t, "a")
	for _, step := range []struct {
		waited          string
		reminded, ended int
	}{{"59 minutes", 0, 0}, {"61 minutes", 1, 0}, {"2 hours", 0, 0}, {"25 hours", 0, 1}} {
		d.set(t, "UPDATE subscriptions SET requested_at = now() - CAST($1 AS interval)", step.waited)
		require.Equal(t, step.reminded, d.done(t, d.subs.RemindApprovers), step.waited)
		require.Zero(t, d.done(t, d.subs.RemindApprovers), "once")
		require.Equal(t, step.ended, d.done(t, d.subs.LapseRequests), step.waited)
		require.Zero(t, d.done(t, d.subs.LapseRequests), "once")
	}
	require.Equal(t, models.SubscriptionInactive, d.sub(t, sub.ID).Status)
	require.Equal(t, 1, d.count(t, "SELECT count(*) FROM outbox WHERE type = 'subscription.reminder'"))
}

// Owners are told 30, 7 and 1 days before, each time once.
func TestNoticeExpiry(t *testing.T) {
	d := newDesk(t)
	d.subscribed(t, "a")
	for _, step := range []struct {
		left string
		told int
	}{{"31 days", 0}, {"30 days", 1}, {"8 days", 0}, {"6 days", 1}, {"12 hours", 1}} {
		d.set(t, "UPDATE subscriptions SET expires_at = now() + CAST($1 AS interval)", step.left)
		require.Equal(t, step.told, d.done(t, d.subs.NoticeExpiry), step.left)
		require.Zero(t, d.done(t, d.subs.NoticeExpiry), "once")
	}
	require.Equal(t, 3, d.count(t, "SELECT count(*) FROM outbox WHERE type = 'subscription.expiring'"))
}
