package activities_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// syncRuns are the activities of syncs beside those of the keys.
func (r ring) syncRuns(t *testing.T) bench {
	t.Helper()
	b := bench{SyncRuns: &activities.SyncRuns{Store: r.Store, Proxy: r.Proxy, Retention: time.Hour}, proxy: r.proxy, env: r.env}
	b.env.RegisterActivity(b.SyncRuns)
	return b
}

// settledKey is a key for some models, as LiteLLM holds it since before the next sync.
func (r ring) settledKey(t *testing.T, llms ...string) models.Key {
	t.Helper()
	k := storetest.Key(t, r.Store, r.owner.ID, nil, llms...)
	_, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID, New: true})
	require.NoError(t, err)
	_, err = r.Store.ObserveKey(t.Context(), models.KeyProof{ID: k.ID, Generation: k.Generation})
	require.NoError(t, err)
	_, err = storetest.SQL(t, r.url).Exec("UPDATE api_keys SET updated_at = now() - interval '1 second' WHERE id = $1", k.ID)
	require.NoError(t, err)
	return k
}

// subscribe gives the owner active subscriptions.
func (r ring) subscribe(t *testing.T, llms ...string) {
	t.Helper()
	_, err := storetest.SQL(t, r.url).Exec(`
		INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, reset_at)
		SELECT gen_random_uuid(), $1, model, 'active', 'test', now() + interval '1 month' FROM unnest($2::text[]) model`, r.owner.ID, llms)
	require.NoError(t, err)
}

// strangers are n keys of LiteLLM's own.
func strangers(t *testing.T, to *litellm.Client, n int) {
	t.Helper()
	for i := range n {
		require.NoError(t, to.GenerateKey(t.Context(), litellm.NewKey{
			KeyLimits: litellm.KeyLimits{Models: []string{"a"}}, Secret: models.SecretOf(fmt.Sprintf("sk-of-a-stranger-%d", i)), UserID: "stranger",
		}))
	}
}

// What is missing at LiteLLM, different, or not ours is found on every page, and wished anew but
// in a dry run; a key that may call too much ends at what its owner is subscribed to.
func TestSyncKeys(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	b := r.syncRuns(t)
	strangers(t, r.Proxy, 2*100+1)
	r.subscribe(t, "a", "b")
	same, missing, raised := r.settledKey(t, "a", "b"), r.settledKey(t, "a"), r.settledKey(t, "a")
	unsubscribed, lost := r.settledKey(t, "a", "c"), r.settledKey(t, "c")
	require.NoError(t, r.Proxy.DeleteKey(t.Context(), missing.Hash))
	r.tamper(t, raised, func(l *litellm.KeyLimits) { l.Models = []string{"a", "c"} })
	sync := func(o models.SyncOptions) (activities.CompareKeysResult, activities.SyncReport) {
		run := b.begin(t, activities.BeginSyncRunInput{Kind: models.SyncFull, Options: o})
		fetched := twice[activities.FetchKeysResult](t, b, b.FetchKeys, run)
		require.Equal(t, 205, fetched.Listed)
		compared := twice[activities.CompareKeysResult](t, b, b.CompareKeys, run)
		return compared, twice[activities.SyncReport](t, b, b.CompleteSyncRun, run)
	}
	counts := models.KeyCounts{Listed: 205, Missing: 1, Different: 3, Unknown: 201}

	dry, _ := sync(models.SyncOptions{DryRun: true})
	require.Equal(t, activities.CompareKeysResult{Counts: counts}, dry)
	found, report := sync(models.SyncOptions{})
	require.Equal(t, activities.CompareKeysResult{Counts: counts, Wished: 4}, found)
	require.Equal(t, counts, report.Keys)
	require.Equal(t, 205, report.KeyDifferences)
	require.Len(t, report.KeyExamples, 20)
	require.ElementsMatch(t, []activities.KeyExample{
		{Key: raised.ID.String(), Kind: models.KeyDifferent, Fields: []string{"models", "metadata"}},
		{Key: unsubscribed.ID.String(), Kind: models.KeyDifferent, Fields: []string{"models", "subscriptions"}},
		{Key: lost.ID.String(), Kind: models.KeyDifferent, Fields: []string{"models", "subscriptions"}},
		{Key: missing.ID.String(), Kind: models.KeyMissing},
	}, report.KeyExamples[:4])
	require.Len(t, report.KeyExamples[4].Key, 64, "LiteLLM's name for it")

	page, err := r.UnsettledKeys(t.Context(), activities.UnsettledKeysInput{Fresh: true, Limit: 10})
	require.NoError(t, err)
	require.ElementsMatch(t, []uuid.UUID{missing.ID, raised.ID, unsubscribed.ID, lost.ID}, page.IDs)
	applied := r.batch(t, page.IDs)
	require.Len(t, applied.Seen, 4)
	for k, calls := range map[*models.Key][]string{&same: {"a", "b"}, &missing: {"a"}, &raised: {"a"}, &unsubscribed: {"a"}, &lost: nil} {
		seen, err := r.Proxy.Key(t.Context(), k.Hash)
		if calls == nil {
			require.Equal(t, models.NotFound, models.KindOf(err))
			continue
		}
		require.NoError(t, err)
		require.Equal(t, calls, seen.Models)
		r.requireHeld(t, r.row(t, *k))
	}
}

// A list that fails half-way, or that loses a key while it is read, is read again.
func TestFetchKeysFailsWholly(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	b := r.syncRuns(t)
	strangers(t, r.Proxy, 150)
	run := b.begin(t, activities.BeginSyncRunInput{Kind: models.SyncFull})
	for _, kind := range []litellmtest.FaultKind{litellmtest.FaultTruncated, litellmtest.FaultMalformed, litellmtest.FaultStatus} {
		r.proxy.Inject(litellmtest.Fault{Path: "/key/list", Times: 1, Kind: kind, Status: http.StatusServiceUnavailable})
		_, err := r.env.ExecuteActivity(b.FetchKeys, run)
		require.Error(t, err)
	}

	direct, once := b.Proxy, sync.Once{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.proxy.ServeHTTP(w, req)
		once.Do(func() { _ = direct.DeleteKey(req.Context(), models.SecretOf("sk-of-a-stranger-7").Hash()) }) // after the first page
	}))
	t.Cleanup(srv.Close)
	b.Proxy = litellm.New(litellm.Config{URL: srv.URL, APIKey: models.SecretOf(litellmtest.MasterKey)})
	_, err := r.env.ExecuteActivity(b.FetchKeys, run)
	require.ErrorContains(t, err, "LiteLLM's list of keys changed while it was read")
	require.Equal(t, activities.FetchKeysResult{Listed: 149}, twice[activities.FetchKeysResult](t, b, b.FetchKeys, run))
}
