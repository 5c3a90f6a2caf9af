package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// state is what a cascade may change, to compare: subscriptions without when and why, and which
// models each key may call.
func (w world) state() string {
	w.t.Helper()
	var out string
	require.NoError(w.t, w.db.QueryRowContext(w.t.Context(), `
		SELECT md5(coalesce((SELECT string_agg(concat_ws(' ', id, status, wanted, holds, denied_at, quota_requests, used_requests, used_tokens, reset_at, expires_at), '|' ORDER BY id) FROM subscriptions), ''))
		    || md5(coalesce((SELECT string_agg(api_key_id || ' ' || model_id, '|' ORDER BY api_key_id, model_id) FROM api_key_models), ''))
		    || md5(coalesce((SELECT string_agg(id || ' ' || holds, '|' ORDER BY id) FROM api_keys), ''))`).Scan(&out))
	return out
}

// crowd subscribes n users to the model open, each with a key for it and one for another model
// too.
func (w world) crowd(n int) {
	w.t.Helper()
	w.model("other")
	w.exec(`INSERT INTO users (id, username, oauth_provider, oauth_id, observed_generation) SELECT gen_random_uuid(), 'user ' || i, 'oidc', 'user ' || i, 1 FROM generate_series(1, $1) i`, n)
	w.exec(`INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, reset_at)
		SELECT gen_random_uuid(), u.id, m.id, 'active', 'test', now() + interval '9 days' FROM users u, models m WHERE u.username LIKE 'user %' AND m.id IN ('open', 'other')`)
	w.exec("INSERT INTO subscription_status_history (subscription_id, new_status, reason, changed_by) SELECT id, status, '', 'test' FROM subscriptions")
	w.exec(`INSERT INTO api_keys (id, user_id, name, alias, hash, prefix, sealed, observed_generation)
		SELECT gen_random_uuid(), u.id, 'k', gen_random_uuid(), encode(sha256(convert_to(u.id || k, 'UTF8')), 'hex'), 'sk-', '', 1
		FROM users u, unnest(ARRAY['one', 'two']) k WHERE u.username LIKE 'user %'`)
	w.exec(`INSERT INTO api_key_models (api_key_id, model_id) SELECT id, 'open' FROM api_keys
		UNION ALL SELECT id, 'other' FROM api_keys WHERE id IN (SELECT DISTINCT ON (user_id) id FROM api_keys ORDER BY user_id, id)`)
}

// A model with a thousand subscribers is restricted and released: what was moved and taken is
// moved and given back, exactly, each time in one go.
func TestRestrictAndRelease(t *testing.T) {
	w := newWorld(t)
	w.crowd(1000)
	root := models.Actor{ID: "root", Via: "api", Origin: from}
	before := w.state()
	for range 2 {
		c, err := w.s.EditLLM(t.Context(), "open", store.LLMEdit{RestrictedAccess: new(true)}, root)
		require.NoError(t, err)
		require.Equal(t, models.CauseRestricted, c.Cause)
		require.Equal(t, "open", *c.ModelID)
		require.Equal(t, []int{1000, 2000}, []int{c.Subscriptions, c.Keys})
		require.Equal(t, 1000, counted(t, w.db, "SELECT count(*) FROM subscriptions WHERE model_id = 'open' AND status = 'pending' AND wanted = '' AND status_reason = $1 AND status_changed_by = 'root'", models.ReasonRestricted))
		require.Equal(t, 1000, counted(t, w.db, "SELECT count(*) FROM api_key_models WHERE model_id = 'other'"))
		require.Zero(t, counted(t, w.db, "SELECT count(*) FROM api_key_models WHERE model_id = 'open'"))
		require.Zero(t, counted(t, w.db, "SELECT count(*) FROM api_keys WHERE observed_generation = generation"))
		_, left, err := w.s.CascadeKeys(t.Context(), c.ID, 200)
		require.NoError(t, err)
		require.Equal(t, 2000, left)
		w.sound()
		w.follow(c)
		require.Zero(t, counted(t, w.db, "SELECT count(*) FROM api_keys WHERE observed_generation < generation"))

		back, err := w.s.EditLLM(t.Context(), "open", store.LLMEdit{RestrictedAccess: new(false)}, root)
		require.NoError(t, err)
		require.Equal(t, c.ID, back.ID)
		require.EqualValues(t, 2, back.Generation)
		require.NotNil(t, back.LiftedAt)
		require.Equal(t, before, w.state())
		require.Equal(t, 1000, counted(t, w.db, "SELECT count(*) FROM subscriptions WHERE model_id = 'open' AND status_reason = $1 AND status_changed_by = 'system'", models.ReasonReleased))
		w.sound()
		w.follow(back)
		nothing, err := w.s.EditLLM(t.Context(), "open", store.LLMEdit{RestrictedAccess: new(false)}, root)
		require.NoError(t, err)
		require.True(t, nothing.Settled())
	}
	require.Equal(t, 4, counted(t, w.db, "SELECT count(*) FROM audit WHERE action = $1 AND ip = $2", string(models.AuditModelRestriction), from.IP))
	_, err := w.s.EditLLM(t.Context(), "none", store.LLMEdit{}, root)
	refused(t, models.NotFound, err)
}

// A model with a thousand subscribers vanishes and returns: afterwards all is as before, save
// what somebody did meanwhile.
func TestModelReturns(t *testing.T) {
	w := newWorld(t)
	w.crowd(1000)
	ada := w.user("ada")
	own := w.ask(ada, "open")
	kept, revoked := w.key(ada, "open"), w.key(ada, "open")
	bob := w.user("bob")
	gaveUp := w.ask(bob, "open")
	bobs := w.key(bob, "open")
	held := w.in(w.user("carl"), "suspended")
	before := w.state()
	vanish := func() models.Cascade {
		w.exec("UPDATE models SET availability = 'unavailable' WHERE id = 'open'")
		cs, err := w.s.CascadeVanished(t.Context(), 10)
		require.NoError(t, err)
		require.Len(t, cs, 1)
		again, err := w.s.CascadeVanished(t.Context(), 10)
		require.NoError(t, err)
		require.Empty(t, again)
		none, err := w.s.RestoreReturned(t.Context(), 10)
		require.NoError(t, err)
		require.Empty(t, none, "it is not back")
		return cs[0]
	}
	back := func() []models.Cascade {
		w.exec("UPDATE models SET availability = 'available' WHERE id = 'open'")
		cs, err := w.s.RestoreReturned(t.Context(), 10)
		require.NoError(t, err)
		return cs
	}
	c := vanish()
	require.Equal(t, models.CauseUnavailable, c.Cause)
	require.Equal(t, []int{1003, 2003}, []int{c.Subscriptions, c.Keys})
	require.Equal(t, 1003, counted(t, w.db, "SELECT count(*) FROM subscriptions WHERE model_id = 'open' AND status = 'inactive'"))
	w.sound()
	w.follow(c)
	require.Len(t, back(), 1)
	require.Equal(t, before, w.state())
	require.Equal(t, []string{"suspended", "inactive", "active", "suspended"}, w.walked(held))
	c, err := w.s.Cascade(t.Context(), c.ID)
	require.NoError(t, err)
	require.Nil(t, c.LiftedAt, "one is still held")
	w.follow(c)
	_, _, err = w.s.ResetUserQuotas(t.Context(), nil, machine)
	require.NoError(t, err)
	c, err = w.s.Cascade(t.Context(), c.ID)
	require.NoError(t, err)
	require.NotNil(t, c.LiftedAt)

	c = vanish()
	w.exec("UPDATE api_keys SET revoked_at = now() WHERE id = $1", revoked)
	w.exec("UPDATE models SET availability = 'available' WHERE id = 'open'")
	_, err = w.s.RequestSubscription(t.Context(), store.NewSubscription{UserID: bob, ModelID: "open"}, self(bob))
	require.NoError(t, err)
	_, _, err = w.s.CancelSubscription(t.Context(), bob, gaveUp.ID, self(bob))
	require.NoError(t, err)
	w.exec("UPDATE models SET restricted_access = true WHERE id = 'open'")
	require.Empty(t, back(), "an admin has to decide first")
	require.True(t, w.read(own.ID).Waiting())
	require.Equal(t, models.ReasonRestricted, w.read(own.ID).StatusReason)
	_, err = w.s.EditLLM(t.Context(), "open", store.LLMEdit{RestrictedAccess: new(false)}, machine)
	require.NoError(t, err)
	require.Equal(t, models.SubscriptionActive, w.read(own.ID).Status)
	w.holds(kept, false, "open")
	w.holds(revoked, false)
	require.Equal(t, models.SubscriptionInactive, w.read(gaveUp.ID).Status)
	_, err = w.s.RequestSubscription(t.Context(), store.NewSubscription{UserID: bob, ModelID: "open"}, self(bob))
	require.NoError(t, err)
	require.Equal(t, models.SubscriptionActive, w.provision(gaveUp.ID).Status)
	w.holds(bobs, false)
	c, err = w.s.Cascade(t.Context(), c.ID)
	require.NoError(t, err)
	require.EqualValues(t, 2, c.Generation)
	require.NotNil(t, c.LiftedAt)
	w.sound()
}

// What waits through a restriction may have other reasons to wait, or not to become active: each
// counts.
func TestReleaseWithOtherReasons(t *testing.T) {
	w := newWorld(t)
	restrict := func(on bool) models.Cascade {
		c, err := w.s.EditLLM(t.Context(), "open", store.LLMEdit{RestrictedAccess: &on}, machine)
		require.NoError(t, err)
		return c
	}
	denied, unsettled, off, over, asked := w.user("denied"), w.user("unsettled"), w.user("off"), w.user("over"), w.user("asked")
	subs, keys := map[uuid.UUID]models.Subscription{}, map[uuid.UUID]uuid.UUID{}
	for _, u := range []uuid.UUID{denied, unsettled, off, over} {
		subs[u], keys[u] = w.ask(u, "open"), w.key(u, "open")
	}
	c := restrict(true)
	require.Equal(t, 4, c.Keys)
	w.follow(c)
	subs[asked] = w.ask(asked, "open")
	_, _, err := w.s.DenySubscription(t.Context(), subs[denied].ID, models.Ruling{Reason: "no"}, machine)
	require.NoError(t, err)
	_, err = w.s.ReviewSubscription(t.Context(), denied, subs[denied].ID, self(denied))
	require.NoError(t, err)
	w.exec("UPDATE users SET generation = 2 WHERE id = $1", unsettled)
	_, err = w.s.DeactivateUser(t.Context(), off, models.HoldAdmin, "left", machine)
	require.NoError(t, err)
	w.exec("UPDATE users SET observed_generation = generation WHERE id = $1", off)
	w.exec("UPDATE subscriptions SET used_requests = quota_requests WHERE id = $1", subs[over].ID)

	require.True(t, restrict(false).Settled(), "nobody is given anything back yet")
	for u, want := range map[uuid.UUID]models.SubscriptionStatus{
		denied: models.SubscriptionPending, unsettled: models.SubscriptionPending, off: models.SubscriptionSuspended,
		over: models.SubscriptionSuspended, asked: models.SubscriptionActive,
	} {
		require.Equal(t, want, w.read(subs[u].ID).Status)
	}
	require.True(t, w.read(subs[denied].ID).Waiting())
	require.Equal(t, models.SubscriptionActive, w.read(subs[unsettled].ID).Wanted)
	require.False(t, w.read(subs[unsettled].ID).Approved())
	require.Equal(t, []models.Hold{models.HoldOffboarded}, w.read(subs[off].ID).Holds)
	require.Equal(t, []models.Hold{models.HoldQuota}, w.read(subs[over].ID).Holds)
	w.sound()

	w.exec("UPDATE users SET observed_generation = generation")
	require.Equal(t, models.SubscriptionActive, w.provision(subs[unsettled].ID).Status)
	_, err = w.s.ReinstateUser(t.Context(), off, models.HoldAdmin, "back", machine)
	require.NoError(t, err)
	_, _, err = w.s.ResetUserQuotas(t.Context(), &over, machine)
	require.NoError(t, err)
	_, err = w.s.ApproveSubscription(t.Context(), subs[denied].ID, models.Ruling{}, machine2)
	require.NoError(t, err)
	w.provision(subs[denied].ID)
	for _, u := range []uuid.UUID{denied, unsettled, off, over} {
		require.Equal(t, models.SubscriptionActive, w.read(subs[u].ID).Status)
		llms, _ := w.holding(keys[u])
		require.Equal(t, []string{"open"}, llms)
	}
	c, err = w.s.Cascade(t.Context(), c.ID)
	require.NoError(t, err)
	require.NotNil(t, c.LiftedAt, "now everything is given back")
	w.sound()
}

// machine2 is an admin's key.
var machine2 = models.Actor{ID: "ops-key", Via: "api"}

// Cancelled is cancelled: what it took is not given back, whatever comes back; nor what another
// cause had taken before.
func TestCancelledStaysTaken(t *testing.T) {
	w := newWorld(t)
	u := w.user("ada")
	sub := w.ask(u, "open")
	key := w.key(u, "open")
	_, err := w.s.RecordUsage(t.Context(), []models.Usage{{UserID: u, ModelID: "open", Requests: models.DefaultQuotaRequests, At: time.Now()}}, machine)
	require.NoError(t, err)
	w.holds(key, false)
	_, c, err := w.s.CancelSubscription(t.Context(), u, sub.ID, self(u))
	require.NoError(t, err)
	require.True(t, c.Settled())
	_, _, err = w.s.ResetUserQuotas(t.Context(), nil, machine)
	require.NoError(t, err)
	require.Equal(t, models.SubscriptionActive, w.ask(u, "open").Status)
	w.holds(key, false)

	w.exec("INSERT INTO api_key_models VALUES ($1, 'open')", key)
	_, c, err = w.s.CancelSubscription(t.Context(), u, sub.ID, self(u))
	require.NoError(t, err)
	require.Equal(t, 1, c.Keys)
	require.Equal(t, models.SubscriptionActive, w.ask(u, "open").Status)
	w.holds(key, false)
	w.sound()
}

// The wish and the proof of a cascade: an older look proves nothing, and Sweep finds what waits.
func TestCascadeWishAndProof(t *testing.T) {
	w := newWorld(t)
	u := w.user("ada")
	sub := w.ask(u, "open")
	key := w.key(u, "open")
	_, c, err := w.s.DenySubscription(t.Context(), sub.ID, models.Ruling{Reason: "no"}, machine)
	require.NoError(t, err)
	for _, find := range []func() ([]models.Cascade, error){
		func() ([]models.Cascade, error) { return w.s.UnsettledCascades(t.Context(), 0, 10) },
		func() ([]models.Cascade, error) { return w.s.UserCascades(t.Context(), u) },
	} {
		found, err := find()
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.Equal(t, c.ID, found[0].ID)
	}
	young, err := w.s.UnsettledCascades(t.Context(), time.Hour, 10)
	require.NoError(t, err)
	require.Empty(t, young)
	w.exec("UPDATE api_keys SET failed_generation = generation WHERE id = $1", key)
	keys, left, err := w.s.CascadeKeys(t.Context(), c.ID, 10)
	require.NoError(t, err)
	require.Empty(t, keys, "LiteLLM refuses it")
	require.Zero(t, left)
	for _, step := range []struct {
		generation int64
		settled    bool
	}{{2, false}, {0, false}, {1, true}, {0, true}} {
		c, err = w.s.ObserveCascade(t.Context(), c.ID, step.generation)
		require.NoError(t, err)
		require.Equal(t, step.settled, c.Settled())
	}
	_, err = w.s.Cascade(t.Context(), uuid.New())
	refused(t, models.NotFound, err)
}

// Many who are approved at once after a restriction are each given back their own.
func TestApprovedAtOnceAfterRestriction(t *testing.T) {
	w := newWorld(t)
	w.crowd(30)
	before := w.state()
	c, err := w.s.EditLLM(t.Context(), "open", store.LLMEdit{RestrictedAccess: new(true)}, machine)
	require.NoError(t, err)
	page, _, err := w.s.AdminSubscriptions(t.Context(), store.AdminSubscriptionQuery{Page: 1, Limit: 100, Statuses: []models.SubscriptionStatus{"pending"}})
	require.NoError(t, err)
	require.Len(t, page, 30)
	for _, err := range atOnce(30, func(i int) error {
		if _, err := w.s.ApproveSubscription(t.Context(), page[i].ID, models.Ruling{}, machine2); err != nil {
			return err
		}
		_, err := w.s.ProvisionSubscription(t.Context(), page[i].ID, fresh, machine)
		return err
	}) {
		require.NoError(t, err)
	}
	require.Equal(t, before, w.state())
	c, err = w.s.Cascade(t.Context(), c.ID)
	require.NoError(t, err)
	require.EqualValues(t, 31, c.Generation)
	require.NotNil(t, c.LiftedAt)
	w.sound()
}
