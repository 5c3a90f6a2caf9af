package store_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// strangeKey is a key of LiteLLM's that is not ours; what names it is a digit.
func strangeKey(digit string, edit func(*models.ProxyKey)) models.ProxyKey {
	p := models.ProxyKey{Hash: strings.Repeat(digit, 64), Hint: "sk-...abcd", Alias: "key " + digit, UserID: "stranger", Models: []string{"A", "b"}, TPM: new(int64(5))}
	if edit != nil {
		edit(&p)
	}
	return p
}

// claims makes a key say that we made it.
func claims(p *models.ProxyKey) {
	p.Metadata = map[string]json.RawMessage{"created_by": json.RawMessage(`"litemaas"`)}
}

func orphanStates(t *testing.T, s *store.Store) map[string]models.OrphanState {
	t.Helper()
	got := map[string]models.OrphanState{}
	page, n, err := s.KeyOrphans(t.Context(), store.KeyOrphanQuery{Page: 1, Limit: 100})
	require.NoError(t, err)
	require.Len(t, page, n)
	for _, o := range page {
		got[o.Hash[:1]] = o.State
	}
	return got
}

// observe says that LiteLLM followed what is due, and returns what that was.
func observe(t *testing.T, s *store.Store) map[string]models.OrphanState {
	t.Helper()
	got := map[string]models.OrphanState{}
	due, err := s.DueOrphans(t.Context(), "", 100)
	require.NoError(t, err)
	if len(due) == 0 {
		return got
	}
	rows, err := s.UnsettledOrphans(t.Context(), due)
	require.NoError(t, err)
	var seen []models.OrphanProof
	for _, o := range rows {
		got[o.Hash[:1]] = o.State
		seen = append(seen, models.OrphanProof{Hash: o.Hash, State: o.State})
	}
	require.NoError(t, s.ObserveOrphans(t.Context(), seen))
	return got
}

// Keys that are not ours are only reported, unless the rules say to quarantine those that claim to
// be, or are of our users. LiteLLM's own and those of strangers are left alone, as is what an admin
// released. When a quarantine is over, the key is to be deleted.
func TestOrphans(t *testing.T) {
	s, db := opened(t)
	storetest.LLMs(t, s, "A", "b", "c")
	u := signedIn(t, s, "ada")
	subscribed(t, db, u, models.SubscriptionActive, "A", "c")
	for range 20 {
		settled(t, s, db, storetest.Key(t, s, u.ID, nil, "A"))
	}
	ours, err := s.UserKeys(t.Context(), u.ID)
	require.NoError(t, err)
	adas := func(p *models.ProxyKey) { p.UserID = u.ID.String() }
	list := []models.ProxyKey{
		strangeKey("1", claims), strangeKey("2", adas), strangeKey("3", nil),
		strangeKey("4", func(p *models.ProxyKey) { adas(p); p.TeamID = "litellm-dashboard" }),
		strangeKey("5", func(p *models.ProxyKey) { claims(p); p.Blocked = true }),
	}
	for _, k := range ours {
		list = append(list, k.Proxy())
	}
	reported := compareKeys(t, s, list, models.SyncOptions{})
	require.Equal(t, models.KeyCounts{Listed: 25, Unknown: 5, Suspect: 3}, reported.Keys)
	seen := models.OrphanSeen
	require.Equal(t, map[string]models.OrphanState{"1": seen, "2": seen, "3": seen, "5": seen}, orphanStates(t, s))
	require.Empty(t, observe(t, s))

	rules := models.KeySync{Orphans: models.OrphansQuarantined, OrphanDelay: time.Hour, Guard: keyGuard}
	compareKeysBy(t, s, rules, list, models.SyncOptions{DryRun: true})
	require.Empty(t, observe(t, s), "a dry run only reports")
	compareKeysBy(t, s, rules, list, models.SyncOptions{})
	in := models.OrphanQuarantined
	require.Equal(t, map[string]models.OrphanState{"1": in, "2": in, "3": seen, "5": in}, orphanStates(t, s))
	require.Equal(t, 3, counted(t, db, "SELECT count(*) FROM audit WHERE action = 'ORPHAN_KEY_QUARANTINED' AND resource_type = 'ORPHAN_KEY'"))
	require.Equal(t, 1, counted(t, db, "SELECT count(*) FROM outbox WHERE type = 'sync.orphans_confined'"))
	refused(t, models.Conflict, second(s.AdoptOrphan(t.Context(), list[1].Hash, uuid.Nil, models.System("test"))))
	require.Equal(t, map[string]models.OrphanState{"1": in, "2": in, "5": in}, observe(t, s))
	require.Empty(t, observe(t, s))

	list[0].Blocked = true // list[1] somebody released
	compareKeysBy(t, s, rules, list, models.SyncOptions{})
	require.Equal(t, map[string]models.OrphanState{"2": in}, observe(t, s), "it is blocked again")
	require.Equal(t, 3, counted(t, db, "SELECT count(*) FROM audit WHERE action = 'ORPHAN_KEY_QUARANTINED'"))

	ada := models.Actor{ID: "root"}
	o, err := s.ReleaseOrphan(t.Context(), list[0].Hash, ada)
	require.NoError(t, err)
	require.False(t, o.Settled)
	require.Nil(t, o.DeleteAfter)
	_, err = s.ReleaseOrphan(t.Context(), list[0].Hash, ada)
	require.NoError(t, err, "the same again")
	require.Equal(t, map[string]models.OrphanState{"1": models.OrphanReleased}, observe(t, s))
	list[0].Blocked = false
	compareKeysBy(t, s, rules, list, models.SyncOptions{})
	require.Equal(t, models.OrphanReleased, orphanStates(t, s)["1"], "for good")
	o, err = s.ReleaseOrphan(t.Context(), list[2].Hash, ada)
	require.NoError(t, err)
	require.True(t, o.Settled, "nobody had blocked it")

	_, err = db.Exec("UPDATE sync_orphans SET delete_after = now() WHERE hash = $1", list[4].Hash)
	require.NoError(t, err)
	require.Equal(t, map[string]models.OrphanState{"2": in, "5": models.OrphanDeleted}, observe(t, s))
	require.Equal(t, 1, counted(t, db, "SELECT count(*) FROM audit WHERE action = 'ORPHAN_KEY_DELETED' AND actor = 'system'"))
	refused(t, models.Conflict, second(s.ReleaseOrphan(t.Context(), list[4].Hash, ada)))
	refused(t, models.Conflict, second(s.AdoptOrphan(t.Context(), list[4].Hash, uuid.Nil, ada)))
	refused(t, models.NotFound, second(s.DeleteOrphan(t.Context(), strings.Repeat("9", 64), ada)))

	compareKeysBy(t, s, rules, list[5:], models.SyncOptions{})
	gone := models.OrphanDeleted
	require.Equal(t, map[string]models.OrphanState{"1": gone, "2": gone, "3": gone, "5": gone}, orphanStates(t, s))
	compareKeys(t, s, list, models.SyncOptions{})
	require.Equal(t, map[string]models.OrphanState{"1": seen, "2": seen, "3": seen, "5": seen}, orphanStates(t, s), "they are back")
	compareKeys(t, s, list[5:], models.SyncOptions{})
	require.Empty(t, orphanStates(t, s), "nobody decided anything")
	require.Len(t, ours, 20)
}

// So many suspects at once are more likely our mistake than theirs: none is blocked.
func TestOrphansAreSpared(t *testing.T) {
	s, db := opened(t)
	var list []models.ProxyKey
	for _, digit := range []string{"1", "2", "3", "4"} {
		list = append(list, strangeKey(digit, claims))
	}
	run := compareKeysBy(t, s, models.KeySync{Orphans: models.OrphansQuarantined, Guard: keyGuard}, list, models.SyncOptions{})
	require.Contains(t, run.KeysNote, "4 keys at LiteLLM claim to be ours")
	require.Empty(t, observe(t, s))
	require.Equal(t, 1, counted(t, db, "SELECT count(*) FROM outbox WHERE type = 'sync.orphans_unguarded'"))
}

// An adopted key has LiteLLM's limits, those of its models that its owner is subscribed to, and no
// secret; a sync takes it for ours from then on.
func TestAdoptOrphan(t *testing.T) {
	s, db := opened(t)
	storetest.LLMs(t, s, "A", "b", "c")
	u, bob := signedIn(t, s, "ada"), signedIn(t, s, "bob")
	subscribed(t, db, u, models.SubscriptionActive, "A", "c")
	subscribed(t, db, u, models.SubscriptionSuspended, "b")
	taken := settled(t, s, db, storetest.Key(t, s, u.ID, nil, "A"))
	adas := func(p *models.ProxyKey) { p.UserID = u.ID.String() }
	list := []models.ProxyKey{
		strangeKey("1", adas), strangeKey("2", func(p *models.ProxyKey) { p.Alias, p.Models, p.Blocked = taken.Alias, nil, true }),
		strangeKey("3", func(p *models.ProxyKey) { adas(p); p.ExpiresAt = new(time.Now().Add(-time.Hour)) }), taken.Proxy(),
	}
	compareKeys(t, s, list, models.SyncOptions{})
	root := models.Actor{ID: "root"}
	refused(t, models.NotFound, second(s.AdoptOrphan(t.Context(), strings.Repeat("9", 64), uuid.Nil, root)))
	refused(t, models.Invalid, second(s.AdoptOrphan(t.Context(), list[1].Hash, uuid.Nil, root)))
	refused(t, models.Invalid, second(s.AdoptOrphan(t.Context(), list[0].Hash, uuid.New(), root)))
	refused(t, models.Conflict, second(s.AdoptOrphan(t.Context(), list[0].Hash, bob.ID, root)))
	refused(t, models.Conflict, second(s.AdoptOrphan(t.Context(), list[2].Hash, uuid.Nil, root)))

	k, err := s.AdoptOrphan(t.Context(), list[0].Hash, uuid.Nil, root)
	require.NoError(t, err)
	require.Equal(t, u.ID, k.UserID)
	require.Equal(t, []string{"A"}, k.Models)
	require.Equal(t, int64(5), *k.Limits.TPM)
	require.Equal(t, "key 1", k.Alias)
	require.Equal(t, "sk-...abcd", k.Prefix)
	require.Empty(t, k.Sealed)
	require.Equal(t, models.KeyProvisioning, k.Status())
	again, err := s.AdoptOrphan(t.Context(), list[0].Hash, uuid.Nil, root)
	require.NoError(t, err)
	require.Equal(t, k.ID, again.ID)
	require.Equal(t, 1, counted(t, db, "SELECT count(*) FROM audit WHERE action = 'ORPHAN_KEY_ADOPTED' AND actor = 'root'"))
	other, err := s.AdoptOrphan(t.Context(), list[1].Hash, u.ID, root)
	require.NoError(t, err)
	require.Equal(t, []string{"A", "c"}, other.Models, "it could call all")
	require.Equal(t, "adopted_"+strings.Repeat("2", 16), other.Alias, "the alias is another's")
	require.Equal(t, []models.Hold{models.HoldAdmin}, other.Holds, "somebody had blocked it")
	refused(t, models.Conflict, second(s.DeleteOrphan(t.Context(), list[0].Hash, root)))

	settled(t, s, db, k)
	list[0].Models = []string{"A"}
	claims(&list[0])
	run := compareKeys(t, s, list, models.SyncOptions{})
	require.Equal(t, models.KeyCounts{Listed: 4, Unknown: 1, Suspect: 1}, run.Keys)
	require.Equal(t, models.OrphanAdopted, orphanStates(t, s)["1"])
}
