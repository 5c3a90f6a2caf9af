package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// The line of unsettled users is walked once, page by page, though nobody leaves it.
func TestUnsettledUsersAfter(t *testing.T) {
	s, db := opened(t)
	var want []uuid.UUID
	for i := range 5 {
		want = append(want, signedIn(t, s, fmt.Sprintf("user-%d", i)).ID)
	}
	_, err := db.Exec("UPDATE users SET updated_at = date_trunc('minute', now()) WHERE username IN ('user-1', 'user-2', 'user-3')")
	require.NoError(t, err)
	var got []uuid.UUID
	var place models.Place
	for range 3 {
		page, last, err := s.UnsettledUsersAfter(t.Context(), 0, place, 2)
		require.NoError(t, err)
		got, place = append(got, page...), last
	}
	require.ElementsMatch(t, want, got)
	page, last, err := s.UnsettledUsersAfter(t.Context(), 0, place, 2)
	require.NoError(t, err)
	require.Empty(t, page)
	require.Equal(t, place, last)
	page, _, err = s.UnsettledUsersAfter(t.Context(), time.Hour, models.Place{}, 2)
	require.NoError(t, err)
	require.Empty(t, page, "somebody is at it")
}

// Many proofs are recorded as one is: an old one proves nothing, and who wished anew is named.
func TestObserveUsers(t *testing.T) {
	s := storetest.New(t)
	settled, behind, refusedOnce := signedIn(t, s, "ada"), signedIn(t, s, "bob"), signedIn(t, s, "eve")
	require.NoError(t, s.FailUser(t.Context(), refusedOnce.ID, 1, "no", models.System("test")))
	_, err := s.DeactivateUser(t.Context(), behind.ID, models.HoldAdmin, "", models.System("test"))
	require.NoError(t, err)
	proofs := []models.UserProof{{ID: settled.ID, Generation: 1}, {ID: behind.ID, Generation: 1}, {ID: refusedOnce.ID, Generation: 1}, {ID: uuid.New(), Generation: 1}}
	for range 2 {
		left, err := s.ObserveUsers(t.Context(), proofs)
		require.NoError(t, err)
		require.Equal(t, []uuid.UUID{behind.ID}, left)
	}
	_, err = s.ObserveUsers(t.Context(), []models.UserProof{{ID: settled.ID, Generation: 2}})
	require.NoError(t, err)
	found, err := s.UsersByID(t.Context(), []uuid.UUID{settled.ID, behind.ID, refusedOnce.ID, uuid.New()})
	require.NoError(t, err)
	status := map[uuid.UUID]models.UserStatus{}
	for _, u := range found {
		require.LessOrEqual(t, u.ObservedGeneration, u.Generation)
		require.Empty(t, u.Failure)
		status[u.ID] = u.Status()
	}
	require.Equal(t, map[uuid.UUID]models.UserStatus{
		settled.ID: models.UserSynced, behind.ID: models.UserPending, refusedOnce.ID: models.UserSynced,
	}, status)
}
