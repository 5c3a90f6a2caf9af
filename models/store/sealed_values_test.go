package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// Every column of bytes holds something sealed, which is walked over when the keyset is rotated,
// or is named here as what nobody has to hide.
func TestSealedPlaces(t *testing.T) {
	_, db := opened(t)
	plain := []string{"audit.hash", "audit.prev_hash", "audit_head.hash", "operations.request_hash"}
	rows, err := db.Query(`
		SELECT c.table_name || '.' || c.column_name FROM information_schema.columns c JOIN pg_class r ON r.relname = c.table_name
		WHERE c.table_schema = 'public' AND c.data_type = 'bytea' AND NOT r.relispartition AND r.relkind IN ('r', 'p') ORDER BY 1`)
	require.NoError(t, err)
	defer rows.Close()
	var there []string
	for rows.Next() {
		var column string
		require.NoError(t, rows.Scan(&column))
		there = append(there, column)
	}
	require.NoError(t, rows.Err())
	require.ElementsMatch(t, append(plain, store.SealedPlaces()...), there, "put it into sealedColumns, or say here that it is no secret")
}

// foreignSealed reads all pages of a place.
func foreignSealed(t *testing.T, s *store.Store, place string, mark []byte) []store.SealedValue {
	t.Helper()
	found := []store.SealedValue{}
	for after := ""; ; after = found[len(found)-1].Key {
		page, err := s.ForeignSealed(t.Context(), place, mark, after, 10)
		require.NoError(t, err)
		if len(page) == 0 {
			return found
		}
		require.LessOrEqual(t, len(page), 10)
		found = append(found, page...)
	}
}

// What another key sealed is found page by page, each value once, and replaced unless somebody
// changed it meanwhile.
func TestReseal(t *testing.T) {
	s, db := opened(t)
	old, both := storetest.Keyring{"key1"}, storetest.Keyring{"key2", "key1"}
	mark := both.Keys()[0].Mark
	storetest.Seal(t, db, old, 25)
	storetest.Seal(t, db, both, 5)
	var want []store.SealedCount
	for _, place := range store.SealedPlaces() {
		found := foreignSealed(t, s, place, mark)
		require.Len(t, found, 25, place)
		anew := make([][]byte, len(found))
		for i, v := range found {
			plain, err := both.Open(v.Sealed, v.To)
			require.NoError(t, err)
			anew[i], err = both.Seal(plain, v.To)
			require.NoError(t, err)
		}
		found[3].Sealed = []byte("what it was before somebody changed it")
		n, err := s.Reseal(t.Context(), place, found, anew)
		require.NoError(t, err)
		require.Equal(t, 24, n)
		left := foreignSealed(t, s, place, mark)
		require.Len(t, left, 1)
		require.Equal(t, found[3].Key, left[0].Key)
		want = append(want, store.SealedCount{Place: place, Head: mark, N: 29}, store.SealedCount{Place: place, Head: []byte("#key1"), N: 1})
	}
	counts, err := s.CountSealed(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, counts)
	require.Equal(t, 4*30, storetest.RequireSealed(t, db, both))
}

// Where there is nothing, nothing is found and nothing changes.
func TestResealNothing(t *testing.T) {
	s, db := opened(t)
	storetest.Seal(t, db, storetest.Keyring{"key1"}, 1)
	_, err := db.Exec("UPDATE sessions SET provider_tokens = NULL; UPDATE operations SET body = NULL; UPDATE api_keys SET sealed = ''; DELETE FROM signing_keys")
	require.NoError(t, err)
	for _, place := range store.SealedPlaces() {
		require.Empty(t, foreignSealed(t, s, place, []byte("#key2")))
		n, err := s.Reseal(t.Context(), place, nil, nil)
		require.NoError(t, err)
		require.Zero(t, n)
	}
	counts, err := s.CountSealed(t.Context())
	require.NoError(t, err)
	require.Empty(t, counts)
	_, err = s.ForeignSealed(t.Context(), "users.email", nil, "", 10)
	refused(t, models.NotFound, err)
	_, err = s.Reseal(t.Context(), "users.email", nil, nil)
	refused(t, models.NotFound, err)
}

// A run is audited once, however often it says what it did.
func TestAuditReseal(t *testing.T) {
	s := storetest.New(t)
	for range 3 {
		require.NoError(t, s.AuditReseal(t.Context(), "run 1", map[string]int{"places": 4}, "", models.System("test")))
	}
	require.NoError(t, s.AuditReseal(t.Context(), "run 2", nil, "the worker has no keyset", models.System("test")))
	require.Equal(t, []models.AuditAction{models.AuditReseal}, audited(t, s, "run 1"))
	log, _, err := s.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 1, ResourceID: "run 2"})
	require.NoError(t, err)
	require.False(t, log[0].Success)
	require.Equal(t, "the worker has no keyset", log[0].Failure)
}
