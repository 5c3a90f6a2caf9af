package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Each thing that a subscription needs is asked for, one after the other, and what cannot be is
// refused with a reason.
func TestProvisionSubscription(t *testing.T) {
	w := newWorld(t)
	u := w.user("ada")
	id := w.wanted(u, "open")
	provision := func() models.Provision {
		t.Helper()
		p, err := w.s.ProvisionSubscription(t.Context(), id, fresh, machine)
		require.NoError(t, err)
		require.Equal(t, u, p.UserID)
		return p
	}
	w.exec("UPDATE sync_runs SET finished_at = now() - interval '6 minutes'")
	require.True(t, provision().StaleModel)
	w.exec("UPDATE sync_runs SET finished_at = now() - interval '1 minute', dry_run = true")
	require.True(t, provision().StaleModel, "a dry run writes nothing")
	one := `INSERT INTO sync_runs (id, workflow_id, kind, trigger, actor, dry_run, force, keep_missing, status, finished_at, subject)
		VALUES (gen_random_uuid(), 'm', 'model', 'manual', 'ada', $3, $3, $3, $1, now(), $2)`
	w.exec(one, "completed", "closed", false)
	w.exec(one, "failed", "open", false)
	require.True(t, provision().StaleModel, "another model, and a failure")
	w.exec(one, "completed", "open", false)
	require.False(t, provision().StaleModel)
	require.Equal(t, models.SubscriptionActive, w.read(id).Status)

	u = w.user("bob")
	id = w.wanted(u, "open")
	w.exec("UPDATE users SET generation = 2 WHERE id = $1", u)
	require.True(t, provision().UnsettledUser)
	w.exec(`UPDATE users SET observed_generation = 2, holds = '["admin"]' WHERE id = $1`, u)
	p := provision()
	require.True(t, p.Done())
	require.Equal(t, models.SubscriptionPending, p.Status, "it waits for its owner")
	ids, err := w.s.UnprovisionedSubscriptions(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Empty(t, ids)
	w.exec("UPDATE users SET holds = '[]' WHERE id = $1", u)
	ids, err = w.s.UnprovisionedSubscriptions(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{id}, ids)
	ids, err = w.s.UnprovisionedSubscriptions(t.Context(), time.Hour, 10)
	require.NoError(t, err)
	require.Empty(t, ids)

	w.exec("UPDATE models SET availability = 'unavailable' WHERE id = 'open'")
	w.exec("UPDATE users SET generation = 3 WHERE id = $1", u)
	p = provision()
	require.True(t, p.Done(), "no user is needed for that")
	require.Equal(t, models.SubscriptionInactive, p.Status)
	require.Equal(t, "The model is not available", p.Reason)
	require.Equal(t, []string{models.SubscriptionRefused}, w.announced(id))
	require.Equal(t, p, provision(), "and so it stays")

	_, err = w.s.ProvisionSubscription(t.Context(), uuid.New(), fresh, machine)
	refused(t, models.NotFound, err)
	w.sound()
}

// A model that was restricted meanwhile needs an approval; the wish for an approved one does not
// end.
func TestProvisionRestricted(t *testing.T) {
	w := newWorld(t)
	id := w.wanted(w.user("ada"), "closed")
	p, err := w.s.ProvisionSubscription(t.Context(), id, fresh, machine)
	require.NoError(t, err)
	require.True(t, p.Done())
	require.Equal(t, models.SubscriptionPending, p.Status)
	sub := w.read(id)
	require.True(t, sub.Waiting())
	require.Equal(t, models.ReasonRestricted, sub.StatusReason)
	require.Equal(t, []string{models.SubscriptionRequested}, w.announced(id))
	_, err = w.s.ApproveSubscription(t.Context(), id, models.Ruling{}, models.Actor{ID: "root"})
	require.NoError(t, err)
	require.Equal(t, models.SubscriptionActive, w.provision(id).Status)

	id = w.wanted(w.user("bob"), "open")
	approved := w.sub(w.user("carl"), "open", models.SubscriptionPending)
	_, err = w.s.ApproveSubscription(t.Context(), approved, models.Ruling{}, models.Actor{ID: "root"})
	require.NoError(t, err)
	_, err = w.s.EditLLM(t.Context(), "open", store.LLMEdit{RestrictedAccess: new(true)}, machine)
	require.NoError(t, err)
	require.True(t, w.read(id).Waiting())
	require.Equal(t, models.SubscriptionActive, w.provision(approved).Status)
	w.sound()
}

// Whether a model is restricted, or gone, just before or just after a subscription becomes
// active: afterwards it is not.
func TestProvisionRaces(t *testing.T) {
	for name, change := range map[string]func(w world) error{
		"restricted": func(w world) error {
			_, err := w.s.EditLLM(t.Context(), "open", store.LLMEdit{RestrictedAccess: new(true)}, machine)
			return err
		},
		"gone": func(w world) error {
			w.exec("UPDATE models SET availability = 'unavailable' WHERE id = 'open'")
			_, err := w.s.CascadeVanished(t.Context(), 10)
			return err
		},
		"its owner is gone": func(w world) error {
			ids := w.words("SELECT string_agg(id::text, ' ') FROM users WHERE username LIKE 'u%'")
			for _, id := range ids {
				if _, err := w.s.DeactivateUser(t.Context(), uuid.MustParse(id), models.HoldAdmin, "", machine); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for round := range 10 {
				w.exec("UPDATE models SET restricted_access = false, availability = 'available' WHERE id = 'open'")
				w.exec("UPDATE users SET holds = '[]'")
				var ids []uuid.UUID
				for i := range 6 {
					ids = append(ids, w.wanted(w.user("u"+string(rune('a'+round))+string(rune('a'+i))), "open"))
				}
				for _, err := range atOnce(7, func(i int) error {
					if i == 3 {
						return change(w)
					}
					_, err := w.s.ProvisionSubscription(t.Context(), ids[i%6], fresh, machine)
					return err
				}) {
					require.NoError(t, err)
				}
				require.Zero(t, counted(t, w.db, `SELECT count(*) FROM subscriptions s JOIN models m ON m.id = s.model_id JOIN users u ON u.id = s.user_id
					WHERE s.status = 'active' AND (m.restricted_access OR m.availability <> 'available' OR NOT u.is_active)`))
				w.sound()
			}
		})
	}
}
