package activities_test

import (
	"database/sql"
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

// desk is what the activities of subscriptions are tried on: a ring whose owner LiteLLM holds.
type desk struct {
	ring
	db       *sql.DB
	subs     *activities.Subscriptions
	cascades *activities.Cascades
}

func newDesk(t *testing.T) desk {
	t.Helper()
	r := newRing(t, litellmtest.Options{})
	d := desk{ring: r, db: storetest.SQL(t, r.url), cascades: &activities.Cascades{Store: r.Store}}
	d.subs = &activities.Subscriptions{Store: r.Store, CatalogueMaxAge: time.Minute, RemindAfter: time.Hour, LapseAfter: 24 * time.Hour}
	d.env.RegisterActivity(d.subs)
	d.env.RegisterActivity(d.cascades)
	_, err := r.Store.ObserveUser(t.Context(), r.owner.ID, r.owner.Generation)
	require.NoError(t, err)
	return d
}

// act runs an activity as Temporal does.
func act[Out any](t *testing.T, d desk, activity, in any) (out Out) {
	t.Helper()
	val, err := d.env.ExecuteActivity(activity, in)
	require.NoError(t, err)
	require.NoError(t, val.Get(&out))
	return out
}

// lost runs an activity whose answer gets lost, and returns what the second attempt answers.
func lost[Out any](t *testing.T, d desk, activity, in any) Out {
	t.Helper()
	act[Out](t, d, activity, in)
	return act[Out](t, d, activity, in)
}

// request asks for a subscription.
func (d desk) request(t *testing.T, llm string) models.Subscription {
	t.Helper()
	sub, err := d.Store.RequestSubscription(t.Context(), store.NewSubscription{UserID: d.owner.ID, ModelID: llm}, models.Actor{ID: d.owner.ID.String(), Via: "test"})
	require.NoError(t, err)
	return sub
}

// subscribed is an active subscription.
func (d desk) subscribed(t *testing.T, llm string) models.Subscription {
	t.Helper()
	sub := d.request(t, llm)
	p := act[models.Provision](t, d, d.subs.ProvisionSubscription, activities.ProvisionSubscriptionInput{ID: sub.ID, Actor: models.System("test")})
	require.Equal(t, models.SubscriptionActive, p.Status)
	return d.sub(t, sub.ID)
}

func (d desk) sub(t *testing.T, id uuid.UUID) models.Subscription {
	t.Helper()
	sub, err := d.Store.Subscription(t.Context(), id)
	require.NoError(t, err)
	return sub
}

// set changes rows behind the store's back, as time does.
func (d desk) set(t *testing.T, query string, args ...any) {
	t.Helper()
	_, err := d.db.ExecContext(t.Context(), query, args...)
	require.NoError(t, err)
}

func (d desk) count(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, d.db.QueryRowContext(t.Context(), query, args...).Scan(&n))
	return n
}

// What is lacking is said until it is there; then the subscription is active, once, also when the
// answer gets lost.
func TestProvisionSubscription(t *testing.T) {
	d := newDesk(t)
	sub := d.request(t, "a")
	in := activities.ProvisionSubscriptionInput{ID: sub.ID, Actor: models.System("test")}
	d.set(t, "UPDATE sync_runs SET finished_at = now() - interval '2 minutes'")
	d.set(t, "UPDATE users SET generation = generation + 1 WHERE id = $1", d.owner.ID)
	p := lost[models.Provision](t, d, d.subs.ProvisionSubscription, in)
	require.True(t, p.StaleModel)
	require.Equal(t, "a", p.ModelID)

	storetest.LLMs(t, d.Store, "a")
	p = lost[models.Provision](t, d, d.subs.ProvisionSubscription, in)
	require.False(t, p.StaleModel)
	require.True(t, p.UnsettledUser)
	require.Equal(t, d.owner.ID, p.UserID)

	_, err := d.Store.ObserveUser(t.Context(), d.owner.ID, d.owner.Generation+1)
	require.NoError(t, err)
	p = lost[models.Provision](t, d, d.subs.ProvisionSubscription, in)
	require.True(t, p.Done())
	require.Equal(t, models.SubscriptionActive, p.Status)
	require.Equal(t, models.SubscriptionActive, d.sub(t, sub.ID).Status)
	history, err := d.Store.SubscriptionHistory(t.Context(), sub.ID)
	require.NoError(t, err)
	require.Len(t, history, 2, "made, active")
}

// A refusal ends the wish, once; it takes nothing from who has it by then.
func TestRefuseSubscription(t *testing.T) {
	d := newDesk(t)
	sub, has := d.request(t, "a"), d.subscribed(t, "b")
	res := lost[activities.RefuseSubscriptionResult](t, d, d.subs.RefuseSubscription, activities.RefuseSubscriptionInput{ID: sub.ID, Why: "LiteLLM refuses it: no", Actor: models.System("test")})
	require.Equal(t, models.SubscriptionInactive, res.Status)
	require.Equal(t, "LiteLLM refuses it: no", d.sub(t, sub.ID).StatusReason)
	require.Equal(t, 1, d.count(t, "SELECT count(*) FROM audit WHERE action = 'SUBSCRIPTION_REFUSED'"))
	res = act[activities.RefuseSubscriptionResult](t, d, d.subs.RefuseSubscription, activities.RefuseSubscriptionInput{ID: has.ID, Why: "no", Actor: models.System("test")})
	require.Equal(t, models.SubscriptionActive, res.Status)
}

// Only what has been wanted for a while is nobody's concern.
func TestUnprovisionedSubscriptions(t *testing.T) {
	d := newDesk(t)
	sub := d.request(t, "a")
	d.subscribed(t, "b")
	find := func() []uuid.UUID {
		return act[activities.UnprovisionedSubscriptionsResult](t, d, d.subs.UnprovisionedSubscriptions, activities.UnprovisionedSubscriptionsInput{Limit: 10}).IDs
	}
	require.Empty(t, find())
	d.set(t, "UPDATE subscriptions SET wanted_at = now() - interval '31 seconds' WHERE wanted <> ''")
	require.Equal(t, []uuid.UUID{sub.ID}, find())
}
