package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// The line of unsettled keys is walked once, page by page, though none leaves it.
func TestUnsettledKeysAfter(t *testing.T) {
	s, db := opened(t)
	storetest.LLMs(t, s, "a")
	u := signedIn(t, s, "ada")
	var want []uuid.UUID
	for range 5 {
		want = append(want, storetest.Key(t, s, u.ID, nil, "a").ID)
	}
	_, err := db.Exec("UPDATE api_keys SET updated_at = date_trunc('minute', now()) WHERE id = ANY($1)", want[1:4])
	require.NoError(t, err)
	var got []uuid.UUID
	var place models.Place
	for range 3 {
		page, last, err := s.UnsettledKeysAfter(t.Context(), 0, place, 2)
		require.NoError(t, err)
		got, place = append(got, page...), last
	}
	require.ElementsMatch(t, want, got)
	page, last, err := s.UnsettledKeysAfter(t.Context(), 0, place, 2)
	require.NoError(t, err)
	require.Empty(t, page)
	require.Equal(t, place, last)
	page, _, err = s.UnsettledKeysAfter(t.Context(), time.Hour, models.Place{}, 2)
	require.NoError(t, err)
	require.Empty(t, page, "somebody is at it")
}

// Many proofs are recorded as one is: an old one proves nothing, and what was wished anew is
// named.
func TestObserveKeys(t *testing.T) {
	s, db := opened(t)
	storetest.LLMs(t, s, "a")
	u := signedIn(t, s, "ada")
	settled, behind, refusedOnce := storetest.Key(t, s, u.ID, nil, "a"), storetest.Key(t, s, u.ID, nil), storetest.Key(t, s, u.ID, nil, "a")
	require.NoError(t, s.FailKey(t.Context(), refusedOnce.ID, 1, "no", models.System("test")))
	wish(t, db, behind.ID)
	var proofs []models.KeyProof
	for _, id := range []uuid.UUID{settled.ID, behind.ID, refusedOnce.ID, uuid.New()} {
		proofs = append(proofs, models.KeyProof{ID: id, Generation: 1})
	}
	for range 2 {
		left, err := s.ObserveKeys(t.Context(), proofs)
		require.NoError(t, err)
		require.Equal(t, []uuid.UUID{behind.ID}, left)
	}
	_, err := s.ObserveKeys(t.Context(), []models.KeyProof{{ID: settled.ID, Generation: 2}})
	require.NoError(t, err)
	found, err := s.KeysByID(t.Context(), []uuid.UUID{settled.ID, behind.ID, refusedOnce.ID, uuid.New()})
	require.NoError(t, err)
	require.Len(t, found, 3)
	for _, k := range found {
		require.Empty(t, k.Failure)
		require.Equal(t, k.ID != behind.ID, k.Settled())
		require.EqualValues(t, 1, k.ObservedGeneration)
		require.NotEmpty(t, k.Sealed)
		if k.ID == settled.ID {
			require.Equal(t, []string{"a"}, k.Models)
		}
	}
	found, err = s.KeysByID(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, found)
}
