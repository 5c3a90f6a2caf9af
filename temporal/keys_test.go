package temporal_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/workflows"
)

// subscriber is a user who may put some models on his keys.
func (s system) subscriber(t *testing.T, name string, llms ...string) models.User {
	t.Helper()
	u := s.signIn(t, name)
	storetest.LLMs(t, s.store, llms...)
	_, err := s.db.Exec(`
		INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, reset_at)
		SELECT gen_random_uuid(), $1, model, 'active', 'test', now() + interval '1 month' FROM unnest($2::text[]) model`, u.ID, llms)
	require.NoError(t, err)
	return u
}

// followKey has LiteLLM follow the key's row, and waits until it does.
func (s system) followKey(t *testing.T, k models.Key, isNew bool) {
	t.Helper()
	run, err := workflows.Nudge(t.Context(), s.client, workflows.ReconcileKey, workflows.ReconcileKeyInput{KeyID: k.ID, New: isNew})
	require.NoError(t, err)
	_, err = run.Wait(t.Context(), time.Minute)
	require.NoError(t, err)
	s.requireKey(t, k)
}

// requireKey looks at both sides.
func (s system) requireKey(t *testing.T, k models.Key) models.Key {
	t.Helper()
	k, err := s.store.Key(t.Context(), k.ID)
	require.NoError(t, err)
	require.True(t, k.Settled(), k.Failure)
	seen, err := s.litellm.Key(t.Context(), k.Hash)
	if models.KindOf(err) == models.NotFound {
		require.Equal(t, models.KeySettled, k.Next(nil))
		return k
	}
	require.NoError(t, err)
	require.Equal(t, models.KeySettled, k.Next(&seen), "%v", k.Differences(seen))
	return k
}

// wish changes what a key's row wishes for, a minute ago if nobody shall be thought to be at it.
func (s system) wish(t *testing.T, k models.Key, set string) {
	t.Helper()
	_, err := s.db.Exec("UPDATE api_keys SET "+set+", generation = generation + 1 WHERE id = $1", k.ID)
	require.NoError(t, err)
}

// keysSettled waits until no key is unsettled.
func (s system) keysSettled(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		due, err := s.store.UnsettledKeys(t.Context(), 0, 1)
		return err == nil && len(due) == 0
	}, time.Minute, 50*time.Millisecond)
}

// A key that is made while LiteLLM is down is there when it is back, by the run that waited for
// it; of many wishes the last one wins.
func TestReconcileKeyOutlastsAnOutage(t *testing.T) {
	s := start(t)
	k := storetest.Key(t, s.store, s.subscriber(t, "ada", "a").ID, nil, "a")
	back := s.proxy.Inject(litellmtest.Fault{Times: 2, Kind: litellmtest.FaultStatus, Status: http.StatusServiceUnavailable})
	s.followKey(t, k, true)
	require.Equal(t, 2, s.proxy.Calls("/key/generate"), "once in vain, then after a look")
	back()
	for range 5 {
		for _, set := range []string{`holds = '["admin"]'`, "holds = '[]'"} {
			s.wish(t, k, set)
			_, err := workflows.Nudge(t.Context(), s.client, workflows.ReconcileKey, workflows.ReconcileKeyInput{KeyID: k.ID})
			require.NoError(t, err)
		}
	}
	s.followKey(t, k, false)
	require.Equal(t, models.KeyActive, s.requireKey(t, k).Status())
	require.Len(t, s.proxy.Keys(), 1)
	s.wish(t, k, "revoked_at = now()")
	s.followKey(t, k, false)
	require.Equal(t, models.KeyRevoked, s.requireKey(t, k).Status())
	require.Empty(t, s.proxy.Keys())
}

// A full sync finds the key that LiteLLM has lost, the one that somebody raised there, and the one
// whose owner is not subscribed to its model any more; the stranger's is left alone.
func TestFullSyncSettlesKeys(t *testing.T) {
	s := start(t)
	u := s.subscriber(t, "ada", "a", "b")
	lost, raised := storetest.Key(t, s.store, u.ID, nil, "a"), storetest.Key(t, s.store, u.ID, nil, "a")
	unsubscribed := storetest.Key(t, s.store, u.ID, nil, "b")
	for _, k := range []models.Key{lost, raised, unsubscribed} {
		s.followKey(t, k, true)
	}
	require.NoError(t, s.litellm.DeleteKey(t.Context(), lost.Hash))
	require.NoError(t, s.litellm.UpdateKey(t.Context(), raised.Hash, litellm.KeyLimits{Models: []string{"a", "b"}, Alias: raised.Alias}))
	require.NoError(t, s.litellm.GenerateKey(t.Context(), litellm.NewKey{
		KeyLimits: litellm.KeyLimits{Models: []string{"a"}}, Secret: models.SecretOf("sk-of-a-stranger-1"), UserID: "stranger",
	}))
	_, err := s.db.Exec("UPDATE subscriptions SET status = 'inactive' WHERE model_id = 'b'")
	require.NoError(t, err)
	want := models.KeyCounts{Listed: 3, Missing: 1, Different: 2, Unknown: 1}
	require.Equal(t, want, s.sync(t, models.SyncOptions{DryRun: true, KeepMissing: true}).Keys)
	require.Equal(t, want, s.sync(t, models.SyncOptions{KeepMissing: true}).Keys)
	s.keysSettled(t)
	for _, k := range []models.Key{lost, raised} {
		require.Equal(t, []string{"a"}, s.requireKey(t, k).Models)
	}
	require.Equal(t, models.KeyBlocked, s.requireKey(t, unsubscribed).Status())
	require.Len(t, s.proxy.Keys(), 3)
	require.Equal(t, models.KeyCounts{Listed: 3, Unknown: 1}, s.sync(t, models.SyncOptions{KeepMissing: true}).Keys)
}

// A key that was overlooked is found by the sweep, when LiteLLM answers.
func TestSweepFindsOverlookedKeys(t *testing.T) {
	s := start(t)
	u := s.subscriber(t, "ada", "a")
	for range 3 {
		storetest.Key(t, s.store, u.ID, nil, "a")
	}
	require.False(t, run(t, s, workflows.Sweep, workflows.SweepInput{}).Keys, "somebody is at it")
	_, err := s.db.Exec("UPDATE api_keys SET updated_at = now() - interval '31 seconds'")
	require.NoError(t, err)
	down := s.proxy.Inject(litellmtest.Fault{Kind: litellmtest.FaultCut})
	require.False(t, run(t, s, workflows.Sweep, workflows.SweepInput{}).Keys, "LiteLLM is down")
	down()
	require.True(t, run(t, s, workflows.Sweep, workflows.SweepInput{}).Keys)
	s.keysSettled(t)
	require.Len(t, s.proxy.Keys(), 3)
}

// counting is a Temporal server that counts the runs that are started on it.
type counting struct {
	client.Client
	started atomic.Int64
}

func (c *counting) ExecuteWorkflow(ctx context.Context, o client.StartWorkflowOptions, wf any, args ...any) (client.WorkflowRun, error) {
	c.started.Add(1)
	return c.Client.ExecuteWorkflow(ctx, o, wf, args...)
}

// Many new keys share a few runs, and LiteLLM hears of each once; the one that it refuses fails
// alone.
func TestKeyBatches(t *testing.T) {
	s := start(t)
	u := s.subscriber(t, "ada", "a")
	keys := make([]models.Key, 64)
	for i := range keys {
		keys[i] = storetest.Key(t, s.store, u.ID, nil, "a")
	}
	const refused = 40
	require.NoError(t, s.litellm.GenerateKey(t.Context(), litellm.NewKey{
		KeyLimits: litellm.KeyLimits{Models: []string{"a"}, Alias: keys[refused].Alias}, Secret: models.SecretOf("sk-of-a-stranger-1"),
	}))
	generated := s.proxy.Calls("/key/generate")
	c := &counting{Client: s.client}
	b := workflows.NewKeyBatches(c)
	errs := make([]error, len(keys))
	var wg sync.WaitGroup
	for i, k := range keys {
		wg.Go(func() { errs[i] = b.Settle(t.Context(), k.ID, time.Minute) })
	}
	wg.Wait()
	for i, err := range errs {
		k, lost := s.store.Key(t.Context(), keys[i].ID)
		require.NoError(t, lost)
		if i == refused {
			require.Equal(t, models.Conflict, models.KindOf(err))
			require.Equal(t, models.KeyFailed, k.Status())
			continue
		}
		require.NoError(t, err)
		require.Equal(t, models.KeyActive, s.requireKey(t, k).Status())
	}
	require.LessOrEqual(t, c.started.Load(), int64(len(keys)/4))
	require.LessOrEqual(t, s.proxy.Calls("/key/generate")-generated, len(keys)+3, "one call for each, but for the one that is refused")
	require.Len(t, s.proxy.Keys(), len(keys))
}
