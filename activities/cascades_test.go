package activities_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// follow does what EndSubscription does, each step twice, as if its answer had been lost. It
// returns how many batches it took.
func (d desk) follow(t *testing.T, ref activities.CascadeRef) (batches int) {
	t.Helper()
	for {
		page := lost[activities.CascadeKeysResult](t, d, d.cascades.CascadeKeys, activities.CascadeKeysInput{ID: ref.ID, Limit: 1})
		if page.Left == 0 {
			seen := lost[activities.ObserveCascadeResult](t, d, d.cascades.ObserveCascade, activities.CascadeRef{ID: ref.ID, Generation: page.Generation})
			require.True(t, seen.Settled)
			return batches
		}
		require.Len(t, page.Unsettled, 1)
		applied := lost[activities.ApplyKeysResult](t, d, d.ApplyKeys, activities.ApplyKeysInput{IDs: page.Unsettled})
		lost[activities.ObserveKeysResult](t, d, d.ObserveKeys, activities.ObserveKeysInput{Seen: applied.Seen})
		batches++
		require.Less(t, batches, 10)
	}
}

// keyed is a key that LiteLLM holds.
func (d desk) keyed(t *testing.T, llms ...string) models.Key {
	t.Helper()
	k := storetest.Key(t, d.Store, d.owner.ID, nil, llms...)
	applied := act[activities.ApplyKeyResult](t, d, d.ApplyKey, activities.ApplyKeyInput{ID: k.ID})
	_, err := d.Store.ObserveKey(t.Context(), models.KeyProof{ID: k.ID, Generation: applied.Generation})
	require.NoError(t, err)
	return d.row(t, k)
}

func (d desk) restrict(t *testing.T, llm string, restricted bool) models.Cascade {
	t.Helper()
	c, err := d.Store.EditLLM(t.Context(), llm, store.LLMEdit{RestrictedAccess: &restricted}, models.Actor{ID: "root", Via: "test"})
	require.NoError(t, err)
	require.False(t, c.Settled())
	return c
}

// A restriction is followed on every key, and so is its end, though LiteLLM's answers get lost on
// the way: then everything is as it was. Until the last key was seen, the cascade is not settled.
func TestFollowACascade(t *testing.T) {
	d := newDesk(t)
	sub := d.subscribed(t, "a")
	d.subscribed(t, "b")
	single, both, other := d.keyed(t, "a"), d.keyed(t, "a", "b"), d.keyed(t, "b")
	for _, path := range []string{"/key/update", "/key/delete", "/key/generate"} {
		d.proxy.Inject(litellmtest.Fault{Path: path, Times: 1, Kind: litellmtest.FaultStatus, Status: http.StatusInternalServerError, Done: true})
	}

	taken := d.restrict(t, "a", true)
	page := act[activities.CascadeKeysResult](t, d, d.cascades.CascadeKeys, activities.CascadeKeysInput{ID: taken.ID, Limit: 10})
	require.Equal(t, activities.CascadeKeysResult{
		Cause: models.CauseRestricted, Subscriptions: 1, Keys: 2, Generation: 1, Unsettled: page.Unsettled, Left: 2,
	}, page)
	require.True(t, d.sub(t, sub.ID).Ending)
	require.Equal(t, 2, d.follow(t, activities.CascadeRef{ID: taken.ID, Generation: 1}))
	require.False(t, d.sub(t, sub.ID).Ending)
	require.Empty(t, d.row(t, single).Models)
	for _, k := range []models.Key{single, both, other} {
		d.requireHeld(t, d.row(t, k))
	}
	require.Equal(t, []string{both.Hash, other.Hash}, d.proxy.Keys(), "without a model LiteLLM must not have it")

	given := d.restrict(t, "a", false)
	require.Equal(t, taken.ID, given.ID)
	require.Equal(t, 2, d.follow(t, activities.CascadeRef{ID: given.ID, Generation: given.Generation}))
	require.Equal(t, models.SubscriptionActive, d.sub(t, sub.ID).Status)
	for _, k := range []models.Key{single, both, other} {
		require.Equal(t, k.Models, d.row(t, k).Models)
		d.requireHeld(t, d.row(t, k))
	}
}

// Somebody who observes a cascade that gave something back meanwhile is told to go on.
func TestObserveCascadeThatMovedOn(t *testing.T) {
	d := newDesk(t)
	d.subscribed(t, "a")
	d.keyed(t, "a")
	taken := d.restrict(t, "a", true)
	d.restrict(t, "a", false)
	seen := act[activities.ObserveCascadeResult](t, d, d.cascades.ObserveCascade, activities.CascadeRef{ID: taken.ID, Generation: 1})
	require.False(t, seen.Settled)
}

// Models that are gone take their subscriptions along, once; those that are back give them back,
// once. What is settled already nobody has to follow.
func TestCascadeModels(t *testing.T) {
	d := newDesk(t)
	a, b := d.subscribed(t, "a"), d.subscribed(t, "b")
	d.keyed(t, "a", "c")
	none := act[activities.FoundCascades](t, d, d.cascades.CascadeVanished, activities.CascadeModelsInput{})
	require.Equal(t, activities.FoundCascades{}, none)

	d.set(t, "UPDATE models SET availability = 'unavailable' WHERE id IN ('a', 'b')")
	gone := act[activities.FoundCascades](t, d, d.cascades.CascadeVanished, activities.CascadeModelsInput{})
	require.Equal(t, 2, gone.Subscriptions)
	require.Len(t, gone.Cascades, 1, "no key had b")
	require.Equal(t, int64(1), gone.Cascades[0].Generation)
	require.Equal(t, none, act[activities.FoundCascades](t, d, d.cascades.CascadeVanished, activities.CascadeModelsInput{}))
	require.Equal(t, none, act[activities.FoundCascades](t, d, d.cascades.RestoreReturned, activities.CascadeModelsInput{}))
	d.follow(t, gone.Cascades[0])
	require.Equal(t, models.SubscriptionInactive, d.sub(t, a.ID).Status)

	d.set(t, "UPDATE models SET availability = 'available'")
	back := act[activities.FoundCascades](t, d, d.cascades.RestoreReturned, activities.CascadeModelsInput{})
	require.Len(t, back.Cascades, 1)
	require.Equal(t, gone.Cascades[0].ID, back.Cascades[0].ID)
	require.Equal(t, int64(2), back.Cascades[0].Generation)
	require.Equal(t, none, act[activities.FoundCascades](t, d, d.cascades.RestoreReturned, activities.CascadeModelsInput{}))
	d.follow(t, back.Cascades[0])
	for _, sub := range []models.Subscription{a, b} {
		require.Equal(t, models.SubscriptionActive, d.sub(t, sub.ID).Status)
	}
}

// What is unsettled is found by its user at once, by the sweep when nobody has seen to it for a
// while; when it is settled, by neither.
func TestUnsettledCascades(t *testing.T) {
	d := newDesk(t)
	sub := d.subscribed(t, "a")
	d.keyed(t, "a")
	_, c, err := d.Store.CancelSubscription(t.Context(), d.owner.ID, sub.ID, models.System("test"))
	require.NoError(t, err)
	want := []activities.CascadeRef{{ID: c.ID, Generation: 1}}
	ofUser := func() []activities.CascadeRef {
		return act[activities.FoundCascades](t, d, d.cascades.UserCascades, activities.UserRef{ID: d.owner.ID}).Cascades
	}
	overlooked := func() []activities.CascadeRef {
		return act[activities.FoundCascades](t, d, d.cascades.UnsettledCascades, activities.UnsettledCascadesInput{Limit: 10}).Cascades
	}
	require.Equal(t, want, ofUser())
	require.Empty(t, overlooked())
	d.set(t, "UPDATE cascades SET updated_at = $1", time.Now().Add(-31*time.Second))
	require.Equal(t, want, overlooked())
	d.follow(t, want[0])
	require.Empty(t, ofUser())
	require.Empty(t, overlooked())
}
