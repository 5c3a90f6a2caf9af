package store_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// changedThere is a key that somebody changed at LiteLLM alone.
func changedThere(k models.Key) models.ProxyKey {
	seen := k.Proxy()
	seen.TPM, seen.MaxBudget, seen.SettingsAt = new(int64(50)), new(9*models.Dollar), new(time.Now().Add(time.Minute))
	seen.Metadata = map[string]json.RawMessage{"note": json.RawMessage(`"theirs"`), "created_by": json.RawMessage(`"litemaas"`)}
	return seen
}

// Each field goes by the strategy: ours is written again, theirs is taken over, and what a person
// has to decide stays as it is on both sides. What may be called is always ours.
func TestCompareKeysByStrategy(t *testing.T) {
	const budget, metadata, tpm = `max_budget 9→5`, `metadata {"note": "theirs", "created_by": "litemaas"}→{"created_by": "litemaas"}`, `tpm_limit 50→5`
	for _, tc := range []struct {
		strategy models.KeyStrategy
		mark     string
		counts   models.KeyCounts
		wished   int
	}{
		{"", "", models.KeyCounts{Listed: 3, Different: 2}, 2},
		{models.KeysOurs, "", models.KeyCounts{Listed: 3, Different: 2}, 2},
		{models.KeysTheirs, " (theirs)", models.KeyCounts{Listed: 3, Different: 2, Followed: 2}, 2},
		{models.KeysNewest, " (theirs)", models.KeyCounts{Listed: 3, Different: 2, Followed: 2}, 2},
		{models.KeysManual, " (open)", models.KeyCounts{Listed: 3, Different: 2, Disputed: 2}, 1},
	} {
		t.Run(string(tc.strategy), func(t *testing.T) {
			s, db := opened(t)
			storetest.LLMs(t, s, "A", "b")
			u := signedIn(t, s, "ada")
			subscribed(t, db, u, models.SubscriptionActive, "A", "b")
			row := func() models.Key {
				return settled(t, s, db, storetest.Key(t, s, u.ID, func(k *models.Key) {
					k.Limits = models.Limits{TPM: new(int64(5)), MaxBudget: new(5 * models.Dollar)}
				}, "A"))
			}
			limits, both, same := row(), row(), row()
			raised := changedThere(both)
			raised.Models = []string{"A", "b"}
			list := []models.ProxyKey{changedThere(limits), raised, same.Proxy()}
			rules := models.KeySync{Strategy: tc.strategy, Guard: keyGuard}
			dry := compareKeysBy(t, s, rules, list, models.SyncOptions{DryRun: true})
			require.Equal(t, tc.counts, dry.Keys)
			require.Zero(t, dry.KeysWished)
			require.Zero(t, counted(t, db, "SELECT count(*) FROM sync_conflicts"))

			run := compareKeysBy(t, s, rules, list, models.SyncOptions{})
			fields := " " + budget + tc.mark + " " + tpm + tc.mark + " " + metadata + tc.mark
			require.Equal(t, map[string]string{
				limits.Hash: "different" + fields, both.Hash: `different models ["A", "b"]→["A"]` + fields,
			}, found(t, s, run.ID))
			require.Equal(t, tc.counts, run.Keys)
			require.Equal(t, tc.wished, run.KeysWished)
			require.Equal(t, tc.wished, counted(t, db, "SELECT count(*) FROM audit WHERE action = 'API_KEY_DRIFT'"))
			require.Equal(t, 3*tc.counts.Disputed, counted(t, db, "SELECT count(*) FROM sync_conflicts WHERE state = 'open'"))
			require.Equal(t, 3*tc.counts.Disputed, counted(t, db, "SELECT count(*) FROM audit WHERE action = 'API_KEY_CONFLICT'"))
			for i, before := range []models.Key{limits, both} {
				k, err := s.Key(t.Context(), before.ID)
				require.NoError(t, err)
				require.Equal(t, []string{"A"}, k.Models)
				left := list[i]
				left.Models = k.Models
				switch {
				case tc.counts.Followed > 0:
					require.Equal(t, int64(50), *k.Limits.TPM)
					require.Equal(t, 9*models.Dollar, *k.Limits.MaxBudget)
					require.JSONEq(t, `{"note": "theirs"}`, string(k.Metadata))
					require.Empty(t, k.Differences(left))
				case tc.counts.Disputed > 0:
					require.Equal(t, before.Limits, k.Limits)
					require.Len(t, k.Disputed, 3)
					require.Empty(t, k.Differences(left), "LiteLLM may keep them")
				default:
					require.Equal(t, before.Limits, k.Limits)
					require.Len(t, k.Differences(left), 3)
				}
			}
		})
	}
}

// What somebody changed here since the run began is his, also where LiteLLM's word counts.
func TestCompareKeysLeavesFreshWishes(t *testing.T) {
	s, db := opened(t)
	storetest.LLMs(t, s, "A")
	u := signedIn(t, s, "ada")
	subscribed(t, db, u, models.SubscriptionActive, "A")
	k := settled(t, s, db, storetest.Key(t, s, u.ID, nil, "A"))
	_, err := db.Exec("UPDATE api_keys SET tpm_limit = 7, updated_at = now() + interval '1 second' WHERE id = $1", k.ID)
	require.NoError(t, err)
	run := compareKeysBy(t, s, models.KeySync{Strategy: models.KeysTheirs, Guard: keyGuard}, []models.ProxyKey{changedThere(k)}, models.SyncOptions{})
	require.Equal(t, models.KeyCounts{Listed: 1}, run.Keys)
	k, err = s.Key(t.Context(), k.ID)
	require.NoError(t, err)
	require.Equal(t, int64(7), *k.Limits.TPM)
}

// A conflict is asked once, however many syncs see it; it is decided by a person, once, or ends by
// itself when both say the same, or another strategy decides.
func TestKeyConflicts(t *testing.T) {
	s, db := opened(t)
	storetest.LLMs(t, s, "A")
	u := signedIn(t, s, "ada")
	subscribed(t, db, u, models.SubscriptionActive, "A")
	k := settled(t, s, db, storetest.Key(t, s, u.ID, func(k *models.Key) {
		k.Limits = models.Limits{TPM: new(int64(5)), MaxBudget: new(5 * models.Dollar)}
	}, "A"))
	manual, list := models.KeySync{Strategy: models.KeysManual, Guard: keyGuard}, []models.ProxyKey{changedThere(k)}
	compareKeysBy(t, s, manual, list, models.SyncOptions{})
	require.Equal(t, 1, counted(t, db, "SELECT count(*) FROM outbox WHERE type = 'sync.conflicts_found'"))
	last := compareKeysBy(t, s, manual, list, models.SyncOptions{})
	require.Equal(t, 3, counted(t, db, "SELECT count(*) FROM audit WHERE action = 'API_KEY_CONFLICT'"))
	require.Equal(t, 1, counted(t, db, "SELECT count(*) FROM outbox WHERE type = 'sync.conflicts_found'"), "once")

	open, n, err := s.KeyConflicts(t.Context(), store.KeyConflictQuery{Page: 1, Limit: 2, State: models.ConflictOpen, KeyID: &k.ID})
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.Len(t, open, 2)
	of := map[string]models.KeyConflict{}
	all, _, err := s.KeyConflicts(t.Context(), store.KeyConflictQuery{Page: 1, Limit: 10})
	require.NoError(t, err)
	for _, c := range all {
		require.Equal(t, last.ID, c.RunID)
		require.Equal(t, k.Name, c.KeyName)
		require.Equal(t, u.ID, c.OwnerID)
		of[c.Field] = c
	}
	ada := models.Actor{ID: "ada"}
	refused(t, models.NotFound, second(s.ResolveKeyConflict(t.Context(), uuid.New(), models.SideOurs, ada)))
	c, err := s.ResolveKeyConflict(t.Context(), of["tpm_limit"].ID, models.SideTheirs, ada)
	require.NoError(t, err)
	require.Equal(t, models.ConflictResolved, c.State)
	require.Equal(t, models.SideTheirs, c.Resolution)
	require.Equal(t, "ada", c.ResolvedBy)
	require.False(t, c.KeySettled)
	_, err = s.ResolveKeyConflict(t.Context(), of["tpm_limit"].ID, models.SideTheirs, ada)
	require.NoError(t, err, "the same again")
	refused(t, models.Conflict, second(s.ResolveKeyConflict(t.Context(), of["tpm_limit"].ID, models.SideOurs, ada)))
	_, err = s.ResolveKeyConflict(t.Context(), of["max_budget"].ID, models.SideOurs, ada)
	require.NoError(t, err)
	require.Equal(t, 2, counted(t, db, "SELECT count(*) FROM audit WHERE action = 'API_KEY_CONFLICT_RESOLVED' AND actor = 'ada'"))
	k, err = s.Key(t.Context(), k.ID)
	require.NoError(t, err)
	require.Equal(t, int64(50), *k.Limits.TPM)
	require.Equal(t, 5*models.Dollar, *k.Limits.MaxBudget)
	require.EqualValues(t, 3, k.Generation)
	require.Equal(t, []string{"max_budget"}, k.Differences(list[0]), "the metadata is still open")

	k = settled(t, s, db, k)
	list[0] = k.Proxy()
	compareKeysBy(t, s, manual, list, models.SyncOptions{})
	c, err = s.KeyConflict(t.Context(), of["metadata"].ID)
	require.NoError(t, err)
	require.Equal(t, models.KeyAgreed, c.Resolution)

	list[0].TPM = new(int64(51))
	compareKeysBy(t, s, manual, list, models.SyncOptions{})
	compareKeysBy(t, s, models.KeySync{Strategy: models.KeysTheirs, Guard: keyGuard}, list, models.SyncOptions{})
	require.Equal(t, 1, counted(t, db, "SELECT count(*) FROM sync_conflicts WHERE field = 'tpm_limit' AND resolution = 'theirs' AND resolved_by = 'system'"))
	k, err = s.Key(t.Context(), k.ID)
	require.NoError(t, err)
	require.Equal(t, int64(51), *k.Limits.TPM)
}

func second[T any](_ T, err error) error { return err }

// LiteLLM may have lost many of our keys at once: they are made again, and people are told.
func TestCompareKeysTellsOfManyMissing(t *testing.T) {
	s, db := opened(t)
	storetest.LLMs(t, s, "A")
	u := signedIn(t, s, "ada")
	subscribed(t, db, u, models.SubscriptionActive, "A")
	for range 5 {
		settled(t, s, db, storetest.Key(t, s, u.ID, nil, "A"))
	}
	run := compareKeys(t, s, nil, models.SyncOptions{})
	require.Equal(t, models.KeyCounts{Missing: 5}, run.Keys)
	require.Equal(t, 5, run.KeysWished)
	require.Equal(t, "LiteLLM had lost 5 of 5 keys; they are made again", run.KeysNote)
	require.Equal(t, 1, counted(t, db, "SELECT count(*) FROM outbox WHERE type = 'sync.keys_missing' AND subject_id = '"+run.ID.String()+"'"))
}
