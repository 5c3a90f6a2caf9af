package activities_test

import (
	"encoding/json"
	"net/http"
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

// stranger is a key of LiteLLM's that we did not make.
func (r ring) stranger(t *testing.T, name string, metadata map[string]any) string {
	t.Helper()
	secret := models.SecretOf("sk-of-nobody-we-know-" + name)
	require.NoError(t, r.Proxy.GenerateKey(t.Context(), litellm.NewKey{
		KeyLimits: litellm.KeyLimits{Models: []string{"a"}, Metadata: metadata}, Secret: secret, UserID: "stranger",
	}))
	return secret.Hash()
}

// blocked reports whether LiteLLM blocks a key; it must have it.
func (r ring) blocked(t *testing.T, hash string) bool {
	t.Helper()
	seen, err := r.Proxy.Key(t.Context(), hash)
	require.NoError(t, err)
	return seen.Blocked
}

// syncKeys runs the part of a sync that is about keys.
func (r ring) syncKeys(t *testing.T, b bench) activities.CompareKeysResult {
	t.Helper()
	run := b.begin(t, activities.BeginSyncRunInput{Kind: models.SyncFull})
	twice[activities.FetchKeysResult](t, b, b.FetchKeys, run)
	return twice[activities.CompareKeysResult](t, b, b.CompareKeys, run)
}

// A key that claims to be ours is blocked, and deleted when nobody has spoken for it; a released
// one is taken again. Repeating each changes nothing, also when an answer is lost.
func TestOrphans(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	b := r.syncRuns(t)
	b.Guard = models.Guard{MaxRemovedPercent: 20, MinRemoved: 9}
	b.Rules = models.KeySync{Orphans: models.OrphansQuarantined, OrphanDelay: time.Hour}
	o := &activities.Orphans{Store: r.Store, Proxy: r.Proxy}
	r.env.RegisterActivity(o)
	ours := map[string]any{"created_by": "litemaas"}
	first, second, other := r.stranger(t, "1", ours), r.stranger(t, "2", ours), r.stranger(t, "3", nil)
	found := r.syncKeys(t, b)
	require.Equal(t, models.KeyCounts{Listed: 3, Unknown: 3, Suspect: 2}, found.Counts)
	require.Equal(t, 1, found.Orphans)

	follow := func() activities.ApplyOrphansResult {
		t.Helper()
		due, err := o.DueOrphans(t.Context(), activities.DueOrphansInput{Limit: 10})
		require.NoError(t, err)
		var res activities.ApplyOrphansResult
		for range 2 {
			val, err := r.env.ExecuteActivity(o.ApplyOrphans, activities.ApplyOrphansInput(due))
			require.NoError(t, err)
			res = activities.ApplyOrphansResult{}
			require.NoError(t, val.Get(&res))
		}
		require.NoError(t, o.ObserveOrphans(t.Context(), activities.ObserveOrphansInput{Seen: res.Seen}))
		return res
	}
	r.proxy.LoseNext("/key/block", 2)
	require.Len(t, follow().Seen, 2)
	require.True(t, r.blocked(t, first))
	require.True(t, r.blocked(t, second))
	require.False(t, r.blocked(t, other), "it is nobody of ours")
	require.Zero(t, r.syncKeys(t, b).Orphans)

	_, err := r.Store.ReleaseOrphan(t.Context(), first, models.System("test"))
	require.NoError(t, err)
	require.Len(t, follow().Seen, 1)
	require.False(t, r.blocked(t, first))
	_, err = storetest.SQL(t, r.url).Exec("UPDATE sync_orphans SET delete_after = now() WHERE hash = $1", second)
	require.NoError(t, err)
	r.proxy.LoseNext("/key/delete", 1)
	require.Len(t, follow().Seen, 1)
	_, err = r.Proxy.Key(t.Context(), second)
	require.Equal(t, models.NotFound, models.KindOf(err))
	require.Zero(t, r.syncKeys(t, b).Orphans, "what was released stays so")

	r.proxy.Inject(litellmtest.Fault{Kind: litellmtest.FaultStatus, Status: http.StatusServiceUnavailable})
	_, err = r.Store.DeleteOrphan(t.Context(), first, models.System("test"))
	require.NoError(t, err)
	require.Equal(t, activities.ApplyOrphansResult{Left: 1, Silent: true}, follow())
}

// What a person has yet to decide about is left at LiteLLM as it is, also while something else is
// put right there; once he has decided, LiteLLM follows.
func TestApplyKeyLeavesConflicts(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	b := r.syncRuns(t)
	b.Guard, b.Rules = models.Guard{MaxRemovedPercent: 100}, models.KeySync{Strategy: models.KeysManual}
	r.subscribe(t, "a", "b")
	k := r.settledKey(t, "a")
	tampered := func(l *litellm.KeyLimits) {
		l.Models, l.TPM, l.MaxBudget = []string{"a", "b"}, new(int64(50)), new(9*models.Dollar)
		l.Metadata = map[string]any{"created_by": "litemaas", "note": json.RawMessage(`"theirs"`)}
	}
	r.tamper(t, k, tampered)
	require.Equal(t, activities.CompareKeysResult{Counts: models.KeyCounts{Listed: 1, Different: 1, Disputed: 1}, Wished: 1}, r.syncKeys(t, b))
	_, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.NoError(t, err)
	seen, err := r.Proxy.Key(t.Context(), k.Hash)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, seen.Models, "what it may call is ours")
	require.Equal(t, int64(50), *seen.TPM)
	require.Equal(t, 9*models.Dollar, *seen.MaxBudget)
	require.JSONEq(t, `"theirs"`, string(seen.Metadata["note"]))

	open, err := storetest.SQL(t, r.url).Query("SELECT id, field FROM sync_conflicts WHERE state = 'open'")
	require.NoError(t, err)
	defer func() { require.NoError(t, open.Close()) }()
	for open.Next() {
		var id uuid.UUID
		var field string
		require.NoError(t, open.Scan(&id, &field))
		use := models.SideOurs
		if field == "tpm_limit" {
			use = models.SideTheirs
		}
		_, err := r.Store.ResolveKeyConflict(t.Context(), id, use, models.System("test"))
		require.NoError(t, err)
	}
	require.NoError(t, open.Err())
	_, err = r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.NoError(t, err)
	seen, err = r.Proxy.Key(t.Context(), k.Hash)
	require.NoError(t, err)
	require.Equal(t, int64(50), *seen.TPM)
	require.Nil(t, seen.MaxBudget)
	require.NotContains(t, seen.Metadata, "note")
	r.requireHeld(t, r.row(t, k))
}

// An adopted key is written like any other, and blocked and deleted; but nobody can make it again.
func TestApplyAdoptedKey(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	b := r.syncRuns(t)
	r.subscribe(t, "a")
	hash := r.stranger(t, "1", nil)
	r.syncKeys(t, b)
	k, err := r.Store.AdoptOrphan(t.Context(), hash, r.owner.ID, models.System("test"))
	require.NoError(t, err)
	res, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.NoError(t, err)
	require.Equal(t, []models.KeyStep{models.KeyUpdate}, res.Did)
	seen, err := r.Proxy.Key(t.Context(), hash)
	require.NoError(t, err)
	require.Equal(t, models.KeySettled, k.Next(&seen))

	k = r.wish(t, k, `holds = '["admin"]'`)
	res, err = r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.NoError(t, err)
	require.Equal(t, []models.KeyStep{models.KeyBlock}, res.Did)
	require.NoError(t, r.Proxy.DeleteKey(t.Context(), hash))
	res, err = r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.NoError(t, err)
	require.Equal(t, "LiteLLM does not have the key, and nobody here knows its secret, because it was adopted: it cannot be made again", res.Refused)
	k = r.wish(t, k, "revoked_at = now()")
	_, err = r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.ErrorContains(t, err, "it counts as refused when all caches have forgotten it")
	k = r.wish(t, k, "revoked_at = now() - interval '2 minutes'")
	res, err = r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.NoError(t, err)
	require.Empty(t, res.Refused)
}
