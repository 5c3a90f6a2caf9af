package activities_test

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// sealing is a worker with those keys, on a database of its own.
func sealing(t *testing.T, keys storetest.Keyring) (*activities.SealedValues, *sql.DB) {
	t.Helper()
	url := storetest.URL(t)
	s, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(url), MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return &activities.SealedValues{Store: s, Keys: keys}, storetest.SQL(t, url)
}

// A page is sealed anew; told again, as when the answer got lost, there is nothing left of it.
func TestResealPage(t *testing.T) {
	a, db := sealing(t, storetest.Keyring{"key2", "key1"})
	storetest.Seal(t, db, storetest.Keyring{"key1"}, 7)
	storetest.Seal(t, db, storetest.Keyring{"key2"}, 3)
	before, err := a.CountSealed(t.Context(), activities.CountSealedInput{Key: "key2"})
	require.NoError(t, err)
	require.Len(t, before.Places, 4)
	for _, p := range before.Places {
		require.Equal(t, activities.SealedPlace{Place: p.Place, Total: 10, Foreign: 7}, p)
		in := activities.ResealPageInput{Key: "key2", Place: p.Place, Limit: 5}
		first, err := a.ResealPage(t.Context(), in)
		require.NoError(t, err)
		require.Equal(t, activities.ResealPageResult{Last: first.Last, More: true, Resealed: 5}, first)
		again, err := a.ResealPage(t.Context(), in)
		require.NoError(t, err)
		require.Equal(t, activities.ResealPageResult{Last: again.Last, Resealed: 2}, again)
		in.After = first.Last
		rest, err := a.ResealPage(t.Context(), in)
		require.NoError(t, err)
		require.Equal(t, activities.ResealPageResult{}, rest)
	}
	require.Equal(t, 40, storetest.RequireSealed(t, db, storetest.Keyring{"key2"}))
}

// A value that no key opens is counted, and left as it is; the others are sealed anew.
func TestResealLost(t *testing.T) {
	a, db := sealing(t, storetest.Keyring{"key2", "key1"})
	storetest.Seal(t, db, storetest.Keyring{"key1"}, 2)
	storetest.Seal(t, db, storetest.Keyring{"key0"}, 12)
	const lost = "SELECT string_agg(encode(sealed, 'hex'), ',' ORDER BY id) FROM api_keys WHERE substr(sealed, 1, 5) = '#key0'"
	var before, after string
	require.NoError(t, db.QueryRow(lost).Scan(&before))
	res, err := a.ResealPage(t.Context(), activities.ResealPageInput{Key: "key2", Place: "api_keys.sealed", Limit: 50})
	require.NoError(t, err)
	require.Equal(t, 2, res.Resealed)
	require.Equal(t, 12, res.Lost)
	require.Len(t, res.Rows, 10)
	require.NoError(t, db.QueryRow(lost).Scan(&after))
	require.Equal(t, before, after)
}

// unmarked is a keyring whose key leaves no mark.
type unmarked struct{ storetest.Keyring }

func (unmarked) Keys() []models.SealingKey { return []models.SealingKey{{Name: "key2"}} }

// A worker that seals by another key does nothing: it would undo what others do.
func TestResealByAnotherKey(t *testing.T) {
	for want, keys := range map[string]models.Keyring{
		"the worker seals by key key1, not by key2": storetest.Keyring{"key1", "key2"},
		"the worker has no keyset":                  storetest.Keyring{},
		"cannot be told from what others seal":      unmarked{storetest.Keyring{"key2"}},
	} {
		a, db := sealing(t, nil)
		a.Keys = keys
		storetest.Seal(t, db, storetest.Keyring{"key1"}, 1)
		_, err := a.CountSealed(t.Context(), activities.CountSealedInput{Key: "key2"})
		require.Equal(t, models.Conflict, models.KindOf(err))
		require.ErrorContains(t, err, want)
		_, err = a.ResealPage(t.Context(), activities.ResealPageInput{Key: "key2", Place: "api_keys.sealed", Limit: 5})
		require.Equal(t, models.Conflict, models.KindOf(err))
		storetest.RequireSealed(t, db, storetest.Keyring{"key1"})
	}
}
