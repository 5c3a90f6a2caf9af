package activities_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// What is due to keys is done once, however often it is asked for, and the answer to the second
// asking is as good as that to the first, should it be lost.
func TestClockOfKeys(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	overdue, soon := r.held(t), r.held(t)
	old := storetest.Key(t, r.Store, r.owner.ID, nil, "a")
	_, err := r.apply(t, activities.ApplyKeyInput{ID: old.ID, New: true})
	require.NoError(t, err)
	_, err = r.ObserveKey(t.Context(), models.KeyProof{ID: old.ID, Generation: 1})
	require.NoError(t, err)
	r.wish(t, overdue, "revoked_at = now() - interval '5 minutes'")
	late := storetest.Key(t, r.Store, r.owner.ID, nil, "a")
	r.wish(t, soon, "expires_at = now() + interval '1 day', created_at = now() - interval '30 days'")
	db := storetest.SQL(t, r.url)
	_, err = db.Exec("UPDATE api_keys SET rotate_every = interval '1 day', created_at = now() - interval '2 days' WHERE id = $1", old.ID)
	require.NoError(t, err)

	for _, want := range []int{1, 0} {
		alarmed, err := r.AlarmRevocations(t.Context(), activities.DueInput{})
		require.NoError(t, err)
		require.Equal(t, want, alarmed.Keys)
		noticed, err := r.NoticeKeys(t.Context(), activities.DueInput{})
		require.NoError(t, err)
		require.Equal(t, want, noticed.Keys)
		rotated, err := r.RotateDueKeys(t.Context(), activities.DueInput{})
		require.NoError(t, err)
		require.Equal(t, activities.RotateDueKeysResult{Rotated: want, IDs: []uuid.UUID{old.ID}}, rotated)
	}
	var heirs int
	require.NoError(t, db.QueryRow("SELECT count(*) FROM api_keys WHERE predecessor = $1", old.ID).Scan(&heirs))
	require.Equal(t, 1, heirs)

	ended, err := r.EndDueKeys(t.Context(), activities.EndDueKeysInput{Limit: 10, Ahead: 25 * time.Hour})
	require.NoError(t, err)
	require.Empty(t, ended.IDs)
	require.InDelta(t, 24*time.Hour, *ended.Next, float64(time.Minute))
	r.wish(t, soon, "expires_at = now()")
	for _, want := range [][]uuid.UUID{{soon.ID}, nil} {
		ended, err = r.EndDueKeys(t.Context(), activities.EndDueKeysInput{Limit: 10, Ahead: time.Minute})
		require.NoError(t, err)
		require.Equal(t, want, ended.IDs)
		require.Nil(t, ended.Next)
	}
	r.wish(t, late, "revoked_at = now() - interval '2 minutes'")
	for _, want := range []int{1, 0} {
		ended, err = r.EndDueKeys(t.Context(), activities.EndDueKeysInput{Limit: 10, Ahead: time.Minute})
		require.NoError(t, err)
		require.Equal(t, activities.EndDueKeysResult{Alarmed: want}, ended)
	}
}

// LiteLLM's word on the use of a key counts; that it is away, or does not know the key, is no use,
// and the first of them is told.
func TestLookAtKeyUse(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	k := r.held(t)
	look := func() error { return r.LookAtKeyUse(t.Context(), activities.KeyRef{ID: k.ID}) }
	require.NoError(t, look())
	require.Nil(t, r.row(t, k).LastUsedAt)
	back := r.proxy.Inject(litellmtest.Fault{Path: "/key/info", Kind: litellmtest.FaultStatus, Status: http.StatusServiceUnavailable})
	require.Equal(t, models.Unavailable, models.KindOf(look()))
	back()
	r.proxy.Use(k.Hash)
	for range 2 {
		require.NoError(t, look())
		require.WithinDuration(t, time.Now(), *r.row(t, k).LastUsedAt, time.Minute)
	}
	require.NoError(t, r.Proxy.DeleteKey(t.Context(), k.Hash))
	require.NoError(t, look())
}

// A rotation that was overtaken is not given up, nor ended twice.
func TestRotationActivitiesAreRepeated(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	k := r.held(t)
	ref := activities.KeyRef{ID: k.ID}
	hasten := activities.HastenRetirementInput{ID: k.ID, Actor: models.System("test")}
	abandon := activities.AbandonRotationInput{ID: k.ID, Why: "no"}
	require.NoError(t, r.HastenRetirement(t.Context(), hasten), "it is not being rotated")
	require.NoError(t, r.AbandonRotation(t.Context(), abandon))
	_, err := storetest.SQL(t, r.url).Exec("UPDATE api_keys SET rotate_every = interval '1 day', created_at = now() - interval '2 days', observed_generation = 1, expires_at = NULL")
	require.NoError(t, err)
	for range 2 {
		rotated, err := r.RotateDueKeys(t.Context(), activities.DueInput{})
		require.NoError(t, err)
		require.Equal(t, 1, rotated.Rotated)
		for range 2 {
			require.NoError(t, r.AbandonRotation(t.Context(), abandon))
		}
		require.Nil(t, r.row(t, k).RetiresAt)
	}
	_, err = r.RotateDueKeys(t.Context(), activities.DueInput{})
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, r.HastenRetirement(t.Context(), hasten))
	}
	gone, err := r.RetireKey(t.Context(), ref)
	require.NoError(t, err)
	require.False(t, gone.Gone, "LiteLLM does not hold the successor")
	rotation, err := r.LookAtRotation(t.Context(), ref)
	require.NoError(t, err)
	require.Zero(t, rotation.Wait())
	_, err = r.ObserveKey(t.Context(), models.KeyProof{ID: rotation.Heir, Generation: 1})
	require.NoError(t, err)
	for range 2 {
		gone, err = r.RetireKey(t.Context(), ref)
		require.NoError(t, err)
		require.True(t, gone.Gone)
	}
	require.NoError(t, r.AbandonRotation(t.Context(), abandon), "it is too late")
	require.Equal(t, models.KeyRevoking, r.row(t, k).Status())
}
