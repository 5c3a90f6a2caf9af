package temporal_test

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/workflows"
)

// rotate gives a key a successor.
func (s system) rotate(t *testing.T, k models.Key, how models.HowToRotate) (old, made models.Key) {
	t.Helper()
	secret, err := models.NewSecret(rand.Reader)
	require.NoError(t, err)
	heir, err := models.NewHeir(k, secret, storetest.Sealer{})
	require.NoError(t, err)
	old, made, err = s.store.RotateKey(t.Context(), k.ID, heir, how, root)
	require.NoError(t, err)
	return old, made
}

// takes is whether LiteLLM takes a key.
func (s system) takes(t *testing.T, k models.Key) bool {
	t.Helper()
	refused, err := s.litellm.ProbeKey(t.Context(), "", storetest.Secret(t, k))
	require.NoError(t, err)
	return !refused
}

// held is a key that LiteLLM holds.
func (s system) held(t *testing.T, u models.User, edit func(*models.Key)) models.Key {
	t.Helper()
	k := storetest.Key(t, s.store, u.ID, edit, "a")
	s.followKey(t, k, true)
	return k
}

// A key is refused in the second of its end, without anybody asking; one that was missed at once.
func TestKeysExpireToTheSecond(t *testing.T) {
	s := start(t)
	u := s.subscriber(t, "ada", "a")
	k, missed := s.held(t, u, nil), s.held(t, u, nil)
	s.exec(t, "UPDATE api_keys SET expires_at = now() - interval '1 hour' WHERE id = $1", missed.ID)
	s.exec(t, "UPDATE api_keys SET expires_at = now() + interval '4 seconds' WHERE id = $1", k.ID)
	end := *s.row(t, k).ExpiresAt
	res := run(t, s, workflows.ExpireKeys, workflows.ExpireKeysInput{})
	require.Equal(t, workflows.ExpireKeysResult{Ended: 2, Settled: 2}, res)
	require.WithinRange(t, *s.row(t, k).RevokedAt, end, end.Add(3*time.Second), "of which a busy machine needs two")
	require.True(t, s.row(t, missed).RevokedAt.Before(end))
	for _, k := range []models.Key{k, missed} {
		require.Equal(t, models.KeyExpired, s.row(t, k).Status())
		require.False(t, s.takes(t, k))
	}
}

// row is the key as it is stored now.
func (s system) row(t *testing.T, k models.Key) models.Key {
	t.Helper()
	k, err := s.store.Key(t.Context(), k.ID)
	require.NoError(t, err)
	return k
}

// A revoked key is said to be revoked when the last address of LiteLLM refuses it, and the alarm is
// raised once where that takes too long, in its second.
func TestRevokedKeyWaitsForEveryAddress(t *testing.T) {
	s := start(t)
	k := s.held(t, s.subscriber(t, "ada", "a"), nil)
	replica := s.proxy.Replicate(t)
	s.keys.Addresses = []string{"", replica.URL}
	s.wish(t, k, "revoked_at = now() - interval '115 seconds'")
	nudged, err := workflows.Nudge(t.Context(), s.client, workflows.ReconcileKey, workflows.ReconcileKeyInput{KeyID: k.ID})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return replica.Calls() > 0 }, 10*time.Second, 20*time.Millisecond)
	require.Empty(t, s.proxy.Keys())
	require.Equal(t, models.KeyRevoking, s.row(t, k).Status())
	for _, want := range []int{1, 0} {
		require.Equal(t, want, run(t, s, workflows.ExpireKeys, workflows.ExpireKeysInput{}).Alarmed)
	}
	var after float64
	require.NoError(t, s.db.QueryRowContext(t.Context(), "SELECT extract(epoch FROM alarmed_at - revoked_at) FROM api_keys").Scan(&after))
	require.InDelta(t, 121, after, 1.5, "of which a busy machine needs two")
	replica.Look()
	_, err = nudged.Wait(t.Context(), time.Minute)
	require.NoError(t, err)
	require.Equal(t, models.KeyRevoked, s.row(t, k).Status())
}

// A rotation outlasts an outage of LiteLLM: the key works until its successor does, even past its
// grace. By policy it goes without anybody asking.
func TestRotateKeyOutlastsAnOutage(t *testing.T) {
	s := start(t)
	k := s.held(t, s.subscriber(t, "ada", "a"), nil)
	s.exec(t, "UPDATE api_keys SET rotate_every = interval '30 days', created_at = now() - interval '31 days'")
	back := s.proxy.Inject(litellmtest.Fault{Path: "/key/generate", Kind: litellmtest.FaultStatus, Status: http.StatusServiceUnavailable})
	require.Equal(t, 1, run(t, s, workflows.Expire, workflows.ExpireInput{}).Keys.Rotated)
	k = s.row(t, k)
	require.NotNil(t, k.RetiresAt)
	require.NoError(t, s.client.SignalWorkflow(t.Context(), workflows.RotateKeyInput{KeyID: k.ID}.WorkflowID(), "", workflows.RetireNow, nil))
	require.Eventually(t, func() bool { return s.proxy.Calls("/key/generate") > 2 }, 20*time.Second, 20*time.Millisecond)
	require.True(t, s.takes(t, k))
	back()
	require.Eventually(t, func() bool { return s.row(t, k).Status() == models.KeyRevoked }, 20*time.Second, 50*time.Millisecond)
	require.False(t, s.takes(t, k))
	require.Len(t, s.proxy.Keys(), 1)
	require.Zero(t, run(t, s, workflows.Expire, workflows.ExpireInput{}).Keys.Rotated)
}

// woken has a run of ExpireKeys that sleeps until a key ends be told that it ends sooner, and keeps
// what Temporal recorded of it.
func (s system) woken(t *testing.T, k models.Key) string {
	t.Helper()
	in, end := workflows.ExpireKeysInput{}, "UPDATE api_keys SET expires_at = now() + make_interval(secs => $2) WHERE id = $1"
	s.exec(t, end, k.ID, 60)
	first, err := workflows.Start(t.Context(), s.client, workflows.ExpireKeys, in)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return slices.ContainsFunc(historyOf(t, s.client, in.WorkflowID(), "").Events, func(e *history.HistoryEvent) bool {
			return e.EventType == enums.EVENT_TYPE_TIMER_STARTED
		})
	}, 10*time.Second, 20*time.Millisecond)
	s.exec(t, end, k.ID, 1)
	nudged, err := workflows.Nudge(t.Context(), s.client, workflows.ExpireKeys, in)
	require.NoError(t, err)
	require.Equal(t, first.ID(), nudged.ID(), "the same run")
	res, err := nudged.Wait(t.Context(), 30*time.Second)
	require.NoError(t, err)
	require.Equal(t, workflows.ExpireKeysResult{Ended: 1, Settled: 1}, res)
	return s.record(t, "expire_keys_v2", in.WorkflowID(), "")
}

// Histories of how keys end hold no secret.
func TestHistoriesOfKeyLives(t *testing.T) {
	s := start(t)
	u := s.subscriber(t, "ada", "a")
	k := s.held(t, u, nil)
	old, made := s.rotate(t, k, models.HowToRotate{Silent: new(time.Hour)})
	in := workflows.RotateKeyInput{KeyID: old.ID, Actor: root}
	require.Equal(t, workflows.RotateKeyResult{Heir: made.ID, Retired: true}, run(t, s, workflows.RotateKey, in))
	kept := []string{s.record(t, "rotate_key", in.WorkflowID(), "")}
	kept = append(kept, s.woken(t, made))

	third := s.held(t, u, nil)
	in.KeyID = third.ID
	_, made = s.rotate(t, third, models.HowToRotate{Grace: time.Hour})
	rotation, err := workflows.Start(t.Context(), s.client, workflows.RotateKey, in)
	require.NoError(t, err)
	s.keysSettled(t)
	_, _, err = s.store.UndoRotation(t.Context(), third.ID, "", root)
	require.NoError(t, err)
	_, err = workflows.Nudge(t.Context(), s.client, workflows.RotateKey, in)
	require.NoError(t, err)
	res, err := rotation.Wait(t.Context(), time.Minute)
	require.NoError(t, err)
	require.False(t, res.Retired)
	kept = append(kept, s.record(t, "rotate_key_undone", in.WorkflowID(), ""))

	run(t, s, workflows.Expire, workflows.ExpireInput{})
	kept = append(kept, s.record(t, "expire_v3", workflows.ExpireInput{}.WorkflowID(), ""))
	for _, k := range []models.Key{k, third, made} {
		require.NotContains(t, strings.Join(kept, ""), storetest.Secret(t, k).Reveal())
	}
}
