package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// The whole state machine: everything that may be done to a subscription, from every state that
// it may be in, and what becomes of it; or the kind by which it is refused, and then nothing of
// it has changed.
func TestSubscriptionMoves(t *testing.T) {
	w := newWorld(t)
	const (
		conflict = string(models.Conflict)
		invalid  = string(models.Invalid)
		nothing  = "" // done, without a change
	)
	root := models.Actor{ID: w.user("root").String(), Via: "api"}
	past := time.Now().Add(-time.Hour)
	states := []string{"active", "suspended", "cancelled", "expired", "inactive", "waiting", "wanted", "denied"}
	all := func(out string) map[string]string {
		m := map[string]string{}
		for _, s := range states {
			m[s] = out
		}
		return m
	}
	but := func(m map[string]string, pairs ...string) map[string]string {
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	rule := models.Ruling{Reason: "because"}
	for _, op := range []struct {
		name string
		do   func(w world, user, id uuid.UUID) error
		want map[string]string
	}{
		{"renew", func(w world, user, _ uuid.UUID) error {
			_, err := w.s.RequestSubscription(t.Context(), store.NewSubscription{UserID: user, ModelID: "open"}, self(user))
			return err
		}, but(all(conflict), "cancelled", "pending", "expired", "pending", "inactive", "pending")},
		{"provision", func(w world, _, id uuid.UUID) error {
			_, err := w.s.ProvisionSubscription(t.Context(), id, fresh, machine)
			return err
		}, but(all(nothing), "wanted", "active")},
		{"refuse", func(w world, _, id uuid.UUID) error {
			_, err := w.s.RefuseSubscription(t.Context(), id, "LiteLLM refuses the user", machine)
			return err
		}, but(all(nothing), "wanted", "inactive")},
		{"approve", func(w world, _, id uuid.UUID) error {
			_, err := w.s.ApproveSubscription(t.Context(), id, rule, root)
			if err == nil {
				w.provision(id)
			}
			return err
		}, but(all(conflict), "waiting", "active")},
		{"deny", func(w world, _, id uuid.UUID) error {
			_, _, err := w.s.DenySubscription(t.Context(), id, rule, root)
			return err
		}, but(all(conflict), "active", "denied", "waiting", "denied", "wanted", "denied")},
		{"revert to active", func(w world, _, id uuid.UUID) error {
			_, _, err := w.s.RevertSubscription(t.Context(), id, models.SubscriptionActive, rule, root)
			if err == nil {
				w.provision(id)
			}
			return err
		}, but(all(conflict), "active", invalid, "denied", "pending active", "waiting", "active")},
		{"revert to denied", func(w world, _, id uuid.UUID) error {
			_, _, err := w.s.RevertSubscription(t.Context(), id, models.SubscriptionDenied, rule, root)
			return err
		}, but(all(conflict), "active", "denied", "denied", invalid, "waiting", "denied", "wanted", "denied")},
		{"revert to pending", func(w world, _, id uuid.UUID) error {
			_, _, err := w.s.RevertSubscription(t.Context(), id, models.SubscriptionPending, rule, root)
			return err
		}, but(all(conflict), "active", "pending", "denied", "pending", "waiting", invalid, "wanted", invalid)},
		{"review", func(w world, user, id uuid.UUID) error {
			_, err := w.s.ReviewSubscription(t.Context(), user, id, self(user))
			return err
		}, but(all(conflict), "denied", "pending", "waiting", nothing, "wanted", nothing)},
		{"cancel", func(w world, user, id uuid.UUID) error {
			_, _, err := w.s.CancelSubscription(t.Context(), user, id, self(user))
			return err
		}, but(all(conflict), "active", "inactive", "suspended", "inactive", "waiting", "inactive", "wanted", "inactive", "denied", "inactive")},
		{"expire", func(w world, _, id uuid.UUID) error {
			w.exec("UPDATE subscriptions SET expires_at = $1 WHERE id = $2", past, id)
			_, _, err := w.s.ExpireSubscriptions(t.Context(), 10, machine)
			return err
		}, but(all(nothing), "active", "expired", "suspended", "expired", "waiting", "expired", "wanted", "expired")},
		{"lapse", func(w world, _, id uuid.UUID) error {
			w.exec("UPDATE subscriptions SET requested_at = $1 WHERE id = $2", past, id)
			_, err := w.s.LapseRequests(t.Context(), time.Minute, 10, machine)
			return err
		}, but(all(nothing), "waiting", "inactive")},
		{"vanish and return", func(w world, _, id uuid.UUID) error { // see TestModelReturns for the way between
			w.exec("UPDATE models SET availability = 'unavailable' WHERE id = 'open'")
			_, err := w.s.CascadeVanished(t.Context(), 10)
			require.NoError(t, err)
			require.NotContains(t, []models.SubscriptionStatus{"active", "suspended"}, w.read(id).Status)
			w.exec("UPDATE models SET availability = 'available' WHERE id = 'open'")
			_, err = w.s.RestoreReturned(t.Context(), 10)
			return err
		}, but(all(nothing), "active", "inactive active", "suspended", "inactive active suspended")},
		{"restrict", func(w world, _, _ uuid.UUID) error {
			_, err := w.s.EditLLM(t.Context(), "open", store.LLMEdit{RestrictedAccess: new(true)}, root)
			w.exec("UPDATE models SET restricted_access = false WHERE id = 'open'")
			return err
		}, but(all(nothing), "active", "pending", "suspended", "pending", "wanted", "pending")},
		{"release", func(w world, _, _ uuid.UUID) error {
			w.exec("UPDATE models SET restricted_access = true WHERE id = 'open'")
			_, err := w.s.EditLLM(t.Context(), "open", store.LLMEdit{RestrictedAccess: new(false)}, root)
			return err
		}, but(all(nothing), "waiting", "active")},
		{"suspend by quota", func(w world, user, _ uuid.UUID) error {
			_, err := w.s.RecordUsage(t.Context(), []models.Usage{{UserID: user, ModelID: "open", Requests: 10, At: time.Now()}}, machine)
			return err
		}, but(all(nothing), "active", "suspended")},
		{"resume at the reset", func(w world, _, id uuid.UUID) error {
			w.exec("UPDATE subscriptions SET reset_at = $1 WHERE id = $2", past, id)
			_, _, err := w.s.ResetQuotas(t.Context(), 10, machine)
			return err
		}, but(all(nothing), "suspended", "active")},
		{"deactivate", func(w world, user, _ uuid.UUID) error {
			_, err := w.s.DeactivateUser(t.Context(), user, models.HoldAdmin, "left", root)
			return err
		}, but(all(nothing), "active", "suspended")},
	} {
		for i, state := range states {
			t.Run(op.name+" from "+state, func(t *testing.T) {
				w := world{t, w.s, w.db}
				user := w.user(fmt.Sprintf("%s %d", op.name, i))
				id := w.in(user, state)
				before := w.read(id)
				err := op.do(w, user, id)
				after := w.read(id)
				want := op.want[state]
				switch want {
				case conflict, invalid:
					refused(t, models.Kind(want), err)
					require.Equal(t, before, after)
					require.Len(t, w.walked(id), 1)
				case nothing:
					require.NoError(t, err)
					require.Equal(t, before.Status, after.Status)
					require.Equal(t, before.StatusChangedAt, after.StatusChangedAt)
					require.Len(t, w.walked(id), 1)
				default:
					require.NoError(t, err)
					path := w.walked(id)[1:]
					require.Equal(t, want, fmt.Sprint(path)[1:len(fmt.Sprint(path))-1], "%v", path)
					require.EqualValues(t, path[len(path)-1], after.Status)
				}
				w.sound()
				w.exec("DELETE FROM subscriptions WHERE id = $1", id)
			})
		}
	}
}

// in is a subscription of a user to the model open, in a state: pending is two of them.
func (w world) in(user uuid.UUID, state string) uuid.UUID {
	w.t.Helper()
	switch state {
	case "waiting":
		return w.sub(user, "open", models.SubscriptionPending)
	case "wanted":
		return w.wanted(user, "open")
	case "denied":
		id := w.sub(user, "open", models.SubscriptionDenied)
		w.exec("UPDATE subscriptions SET denied_at = status_changed_at, denied_by = 'root', denied_reason = 'no' WHERE id = $1", id)
		return id
	case "suspended":
		id := w.sub(user, "open", models.SubscriptionSuspended)
		w.exec("UPDATE subscriptions SET used_requests = quota_requests WHERE id = $1", id)
		return id
	default:
		return w.sub(user, "open", models.SubscriptionStatus(state))
	}
}

// sound requires what must hold at every moment: of every change of a status there is an entry
// in history and log, a status follows from the one before, and no key that LiteLLM lets call
// models has one that its owner has no active subscription to (I1, I5).
func (w world) sound() {
	w.t.Helper()
	for what, query := range map[string]string{
		"a key has a model without an active subscription": `
			SELECT count(*) FROM api_key_models km JOIN api_keys k ON k.id = km.api_key_id
			WHERE k.revoked_at IS NULL AND k.holds = '[]' AND NOT EXISTS (
				SELECT FROM subscriptions s WHERE s.user_id = k.user_id AND s.model_id = km.model_id AND s.status = 'active')`,
		"the history does not end where the subscription is": `
			SELECT count(*) FROM subscriptions s WHERE ROW(s.status, s.status_changed_by) IS DISTINCT FROM (
				SELECT ROW(h.new_status, CASE WHEN h.changed_by = 'test' THEN s.status_changed_by ELSE h.changed_by END)
				FROM subscription_status_history h WHERE h.subscription_id = s.id ORDER BY h.id DESC LIMIT 1)`,
		"the history has a gap": `
			SELECT count(*) FROM (SELECT old_status, lag(new_status) OVER (PARTITION BY subscription_id ORDER BY id) AS before FROM subscription_status_history) h
			WHERE old_status IS DISTINCT FROM before`,
		"a change was not audited": `
			SELECT count(*) FROM subscription_status_history h WHERE h.changed_by <> 'test' AND NOT EXISTS (
				SELECT FROM audit a WHERE a.resource_type = 'SUBSCRIPTION' AND a.resource_id = h.subscription_id::text
				AND a.after ->> 'status' = h.new_status AND a.before ->> 'status' IS NOT DISTINCT FROM h.old_status)`,
		"a cascade counts otherwise": `
			SELECT count(*) FROM cascades c WHERE c.keys <> (SELECT count(DISTINCT api_key_id) FROM cascade_keys WHERE cascade_id = c.id)
			OR c.subscriptions <> (SELECT count(*) FROM cascade_subscriptions WHERE cascade_id = c.id)`,
	} {
		require.Zero(w.t, counted(w.t, w.db, query), what)
	}
}
