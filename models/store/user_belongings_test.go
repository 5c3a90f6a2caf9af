package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// heldBy are the holds of a key.
func (w world) heldBy(key uuid.UUID) string {
	w.t.Helper()
	var out string
	require.NoError(w.t, w.db.QueryRowContext(w.t.Context(), "SELECT holds FROM api_keys WHERE id = $1", key).Scan(&out))
	return out
}

// Who is held back has his subscriptions suspended and his keys held, with their models; with the
// last reason gone, all is as before.
func TestBelongingsAreHeld(t *testing.T) {
	w := newWorld(t)
	w.model("other")
	u := w.user("ada")
	open, waits := w.ask(u, "open"), w.ask(u, "closed")
	w.ask(u, "other")
	wanted := w.user("bob")
	w.wanted(wanted, "open")
	keys := []uuid.UUID{w.key(u, "open", "other"), w.key(u, "open"), w.key(u, "open")}
	w.exec(`UPDATE api_keys SET holds = '["budget"]' WHERE id = $1`, keys[1])
	w.exec("UPDATE api_keys SET revoked_at = now() WHERE id = $1", keys[2])
	before := w.state()
	for _, hold := range []models.Hold{models.HoldAdmin, models.HoldOffboarded} {
		_, err := w.s.DeactivateUser(t.Context(), u, hold, "left", machine)
		require.NoError(t, err)
		require.Equal(t, models.SubscriptionSuspended, w.read(open.ID).Status)
		require.Equal(t, []models.Hold{models.HoldOffboarded}, w.read(open.ID).Holds)
		require.Equal(t, models.SubscriptionPending, w.read(waits.ID).Status)
		require.Equal(t, []string{`["offboarded"]`, `["budget", "offboarded"]`, `[]`}, []string{w.heldBy(keys[0]), w.heldBy(keys[1]), w.heldBy(keys[2])})
		w.holds(keys[0], hold != models.HoldAdmin, "open", "other")
		cs, err := w.s.UserCascades(t.Context(), u)
		require.NoError(t, err)
		if hold == models.HoldOffboarded {
			require.Empty(t, cs, "nothing more was taken")
			continue
		}
		require.Len(t, cs, 1)
		require.Equal(t, models.CauseOffboarded, cs[0].Cause)
		require.Equal(t, []int{2, 2}, []int{cs[0].Subscriptions, cs[0].Keys})
		require.True(t, w.read(open.ID).Ending)
		w.follow(cs[0])
		require.False(t, w.read(open.ID).Ending)
	}
	w.sound()

	_, err := w.s.ReinstateUser(t.Context(), u, models.HoldAdmin, "back", machine)
	require.NoError(t, err)
	require.Equal(t, models.SubscriptionSuspended, w.read(open.ID).Status, "there is another reason")
	_, err = w.s.ReinstateUser(t.Context(), u, models.HoldOffboarded, "back", machine)
	require.NoError(t, err)
	require.Equal(t, before, w.state())
	require.True(t, w.read(open.ID).Ending)
	cs, err := w.s.UserCascades(t.Context(), u)
	require.NoError(t, err)
	require.Len(t, cs, 1)
	require.NotNil(t, cs[0].LiftedAt)
	require.EqualValues(t, 2, cs[0].Generation)
	w.follow(cs[0])
	w.sound()
}

// What happens to the belongings of a user meanwhile still holds when he is back.
func TestReinstateAfterChanges(t *testing.T) {
	w := newWorld(t)
	for _, m := range []string{"expires", "vanishes", "exceeds"} {
		w.model(m)
	}
	u := w.user("ada")
	subs := map[string]uuid.UUID{}
	for _, m := range []string{"open", "expires", "vanishes", "exceeds"} {
		subs[m] = w.ask(u, m).ID
	}
	key := w.key(u, "open", "expires", "vanishes", "exceeds")
	_, err := w.s.RecordUsage(t.Context(), []models.Usage{{UserID: u, ModelID: "exceeds", Requests: 1, At: time.Now()}}, machine)
	require.NoError(t, err)
	_, err = w.s.DeactivateUser(t.Context(), u, models.HoldAdmin, "left", machine)
	require.NoError(t, err)
	w.exec("UPDATE subscriptions SET expires_at = now() WHERE id = $1", subs["expires"])
	_, _, err = w.s.ExpireSubscriptions(t.Context(), 10, machine)
	require.NoError(t, err)
	w.exec("UPDATE models SET availability = 'unavailable' WHERE id = 'vanishes'")
	_, err = w.s.CascadeVanished(t.Context(), 10)
	require.NoError(t, err)
	_, err = w.s.RecordUsage(t.Context(), []models.Usage{{UserID: u, ModelID: "exceeds", Requests: models.DefaultQuotaRequests, At: time.Now()}}, machine)
	require.NoError(t, err)
	w.holds(key, false, "exceeds", "open")
	_, err = w.s.ReinstateUser(t.Context(), u, models.HoldAdmin, "back", machine)
	require.NoError(t, err)
	for m, want := range map[string]models.SubscriptionStatus{"open": "active", "expires": "expired", "vanishes": "inactive", "exceeds": "suspended"} {
		require.Equal(t, want, w.read(subs[m]).Status, m)
	}
	require.Equal(t, []models.Hold{models.HoldQuota}, w.read(subs["exceeds"]).Holds)
	w.holds(key, false, "open")
	require.Equal(t, "[]", w.heldBy(key))

	_, err = w.s.DeactivateUser(t.Context(), u, models.HoldAdmin, "left", machine)
	require.NoError(t, err)
	require.Equal(t, []models.Hold{models.HoldQuota, models.HoldOffboarded}, w.read(subs["exceeds"]).Holds)
	w.exec("UPDATE models SET availability = 'available' WHERE id = 'vanishes'")
	_, err = w.s.RestoreReturned(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, []models.Hold{models.HoldOffboarded}, w.read(subs["vanishes"]).Holds)
	_, err = w.s.ReinstateUser(t.Context(), u, models.HoldAdmin, "back", machine)
	require.NoError(t, err)
	require.Equal(t, models.SubscriptionActive, w.read(subs["vanishes"]).Status)
	w.holds(key, false, "open", "vanishes")
	_, _, err = w.s.ResetUserQuotas(t.Context(), &u, machine)
	require.NoError(t, err)
	w.holds(key, false, "exceeds", "open", "vanishes")
	w.sound()
}
