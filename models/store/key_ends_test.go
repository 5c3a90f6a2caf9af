package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// Keys end when their time is over, page by page and each once; so do those that a rotation has
// overlooked.
func TestEndDueKeys(t *testing.T) {
	s, db := opened(t)
	storetest.LLMs(t, s, "a")
	u := signedIn(t, s, "ada")
	for range 5 {
		storetest.Key(t, s, u.ID, func(k *models.Key) { k.ExpiresAt = new(time.Now().Add(time.Minute)) }, "a")
	}
	forever := storetest.Key(t, s, u.ID, nil, "a")
	next, err := s.NextKeyEnd(t.Context(), time.Second, models.RevocationAlarm)
	require.NoError(t, err)
	require.Nil(t, next)
	next, err = s.NextKeyEnd(t.Context(), 2*time.Minute, models.RevocationAlarm)
	require.NoError(t, err)
	require.InDelta(t, time.Minute, *next, float64(10*time.Second))
	end := func() []uuid.UUID {
		ids, err := s.EndDueKeys(t.Context(), 2, machine)
		require.NoError(t, err)
		return ids
	}
	require.Empty(t, end())
	_, err = db.Exec("UPDATE api_keys SET expires_at = now() WHERE expires_at IS NOT NULL")
	require.NoError(t, err)
	seen := map[uuid.UUID]bool{}
	for _, want := range []int{2, 2, 1, 0} {
		ids := end()
		require.Len(t, ids, want)
		for _, id := range ids {
			seen[id] = true
		}
	}
	require.Len(t, seen, 5)
	for id := range seen {
		k, err := s.Key(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, models.KeyRevoking, k.Status())
		k, err = s.ObserveKey(t.Context(), models.KeyProof{ID: id, Generation: 2})
		require.NoError(t, err)
		require.Equal(t, models.KeyExpired, k.Status())
		require.Equal(t, models.AuditUserKeyExpire, audited(t, s, id.String())[0])
	}
	require.Equal(t, 5, counted(t, db, "SELECT count(*) FROM outbox WHERE type = $1", models.KeyExpiredNews))

	_, made := rotate(t, s, forever, models.HowToRotate{})
	_, err = db.Exec("UPDATE api_keys SET retires_at = now() - interval '2 minutes' WHERE id = $1", forever.ID)
	require.NoError(t, err)
	require.Empty(t, end(), "LiteLLM does not hold its successor")
	_, err = s.ObserveKey(t.Context(), models.KeyProof{ID: made.ID, Generation: 1})
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{forever.ID}, end())
}

// Owners are told 30, 7 and 1 days before a key expires or is rotated, once each; not of what they
// knew when they made it.
func TestNoticeKeys(t *testing.T) {
	s, db := opened(t)
	storetest.LLMs(t, s, "a")
	u := signedIn(t, s, "ada")
	expiring := storetest.Key(t, s, u.ID, func(k *models.Key) { k.ExpiresAt = new(time.Now().AddDate(0, 0, 40)) }, "a")
	rotating := storetest.Key(t, s, u.ID, nil, "a")
	storetest.Key(t, s, u.ID, func(k *models.Key) { k.ExpiresAt = new(time.Now().Add(12 * time.Hour)) }, "a")
	require.NoError(t, s.SetRotationPolicy(t.Context(), rotating.ID, new(40*24*time.Hour), ada))
	told := func(id uuid.UUID) string {
		var out string
		require.NoError(t, db.QueryRow("SELECT coalesce(string_agg(type || ' ' || (data ->> 'days'), ', ' ORDER BY id), '') FROM outbox WHERE subject_id = $1", id.String()).Scan(&out))
		return out
	}
	for _, step := range []struct {
		passed      int
		told        int
		left        int
		first, then string
	}{
		{0, 0, 40, "", ""},
		{11, 2, 0, "key.expires 30", "key.rotates 30"},
		{1, 0, 0, "key.expires 30", "key.rotates 30"},
		{22, 2, 0, "key.expires 30, key.expires 7", "key.rotates 30, key.rotates 7"},
		{5, 2, 0, "key.expires 30, key.expires 7, key.expires 1", "key.rotates 30, key.rotates 7, key.rotates 1"},
	} {
		_, err := db.Exec("UPDATE api_keys SET created_at = created_at - make_interval(days => $1), expires_at = expires_at - make_interval(days => $1) WHERE id IN ($2, $3)", step.passed, expiring.ID, rotating.ID)
		require.NoError(t, err)
		n, err := s.NoticeKeys(t.Context(), 10)
		require.NoError(t, err)
		require.Equal(t, step.told, n)
		require.Equal(t, step.first, told(expiring.ID))
		require.Equal(t, step.then, told(rotating.ID))
	}
	require.Equal(t, 6, counted(t, db, "SELECT count(*) FROM outbox WHERE type IN ('key.expires', 'key.rotates')"))
}

// The alarm for a key that LiteLLM still takes is raised once, and the number of them is what it is.
func TestAlarmRevocations(t *testing.T) {
	s, db := opened(t)
	storetest.LLMs(t, s, "a")
	u := signedIn(t, s, "ada")
	for range 3 {
		storetest.Key(t, s, u.ID, nil, "a")
	}
	alarm := func() (n, overdue int) {
		n, err := s.AlarmRevocations(t.Context(), models.RevocationAlarm, 2, machine)
		require.NoError(t, err)
		overdue, err = s.OverdueRevocations(t.Context(), models.RevocationAlarm)
		require.NoError(t, err)
		return n, overdue
	}
	requireAlarm := func(n, overdue int) {
		t.Helper()
		gotN, gotOverdue := alarm()
		require.Equal(t, []int{n, overdue}, []int{gotN, gotOverdue})
	}
	_, err := db.Exec("UPDATE api_keys SET revoked_at = now() - interval '119 seconds', generation = 2, observed_generation = 1")
	require.NoError(t, err)
	requireAlarm(0, 0)
	next, err := s.NextKeyEnd(t.Context(), time.Minute, models.RevocationAlarm)
	require.NoError(t, err)
	require.LessOrEqual(t, *next, time.Second)
	next, err = s.NextKeyEnd(t.Context(), time.Minute, time.Hour)
	require.NoError(t, err)
	require.Nil(t, next)
	_, err = db.Exec("UPDATE api_keys SET revoked_at = now() - interval '120 seconds'")
	require.NoError(t, err)
	requireAlarm(2, 3)
	requireAlarm(1, 3)
	requireAlarm(0, 3)
	next, err = s.NextKeyEnd(t.Context(), time.Minute, models.RevocationAlarm)
	require.NoError(t, err)
	require.Nil(t, next, "it was raised")
	require.Equal(t, 3, counted(t, db, "SELECT count(DISTINCT subject_id) FROM outbox WHERE type = $1", models.KeyRevocationOverdue))
	_, err = db.Exec("UPDATE api_keys SET observed_generation = 2")
	require.NoError(t, err)
	requireAlarm(0, 0)
}
