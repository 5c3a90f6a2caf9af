package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// token is a refresh token for an hour.
func token(name string) models.RefreshToken {
	return models.RefreshToken{Hash: models.SecretOf(name).Hash(), ExpiresAt: time.Now().Add(time.Hour)}
}

// refreshable is a new session of a user with a first refresh token.
func refreshable(t *testing.T, s *store.Store, u models.User, first string) models.Session {
	t.Helper()
	one := token(first)
	out, err := s.CreateSession(t.Context(), hour(u), &one, actor(u))
	require.NoError(t, err)
	return out
}

// refresh uses a refresh token for the next one, and reports whether it was used before.
func refresh(t *testing.T, s *store.Store, used, next string) bool {
	t.Helper()
	_, again, err := s.RotateRefreshToken(t.Context(), token(used).Hash, token(next), from)
	require.NoError(t, err)
	return again
}

// stolen requires that a refresh token is taken for a copy, and that nothing is left of its
// session.
func stolen(t *testing.T, s *store.Store, id uuid.UUID, copied string) {
	t.Helper()
	_, _, err := s.RotateRefreshToken(t.Context(), token(copied).Hash, token("x"), from)
	refused(t, models.Unauthenticated, err)
	require.ErrorContains(t, err, "used before")
	got, err := s.Session(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, models.SessionStolen, got.RevokedWhy)
	_, err = s.Principal(t.Context(), id)
	refused(t, models.Unauthenticated, err)
}

// A refresh token gives the next one, once; who shows it after that has a copy.
func TestRotateRefreshToken(t *testing.T) {
	s, db := opened(t)
	u := signedIn(t, s, "ada")
	in, one := hour(u), token("one")
	in.ExpiresAt = time.Now().Add(time.Minute)
	begun, err := s.CreateSession(t.Context(), in, &one, actor(u))
	require.NoError(t, err)
	next, again, err := s.RotateRefreshToken(t.Context(), one.Hash, token("two"), from)
	require.NoError(t, err)
	require.False(t, again)
	require.Equal(t, begun.ID, next.ID)
	require.True(t, next.ExpiresAt.After(begun.ExpiresAt), "it slides")
	require.False(t, refresh(t, s, "two", "three"))

	_, _, err = s.RotateRefreshToken(t.Context(), "nobody's", token("x"), from)
	refused(t, models.Unauthenticated, err)
	_, err = s.Principal(t.Context(), begun.ID)
	require.NoError(t, err)

	stolen(t, s, begun.ID, "one")
	_, _, err = s.RotateRefreshToken(t.Context(), token("three").Hash, token("x"), from)
	refused(t, models.Unauthenticated, err)
	want := []models.AuditAction{models.AuditFailed, models.AuditFailed, models.AuditSessionRevoke, models.AuditSessionCreate}
	require.Equal(t, want, audited(t, s, begun.ID.String()))

	lapsed := token("lapsed")
	lapsed.ExpiresAt = time.Now().Add(-time.Second)
	_, err = s.CreateSession(t.Context(), hour(u), &lapsed, actor(u))
	require.NoError(t, err)
	_, _, err = s.RotateRefreshToken(t.Context(), lapsed.Hash, token("x"), from)
	refused(t, models.Unauthenticated, err)
	require.Zero(t, counted(t, db, "SELECT count(*) FROM refresh_tokens WHERE hash = $1", token("x").Hash), "nothing came of what was refused")
}

// A client that lost an answer asks again with the same token, and goes on.
func TestRefreshTokenGrace(t *testing.T) {
	s, db := opened(t)
	u := signedIn(t, s, "ada")
	used := func(name string, ago time.Duration) {
		t.Helper()
		_, err := db.Exec("UPDATE refresh_tokens SET used_at = now() - make_interval(secs => $1) WHERE hash = $2", ago.Seconds(), token(name).Hash)
		require.NoError(t, err)
	}
	t.Run("as often as answers are lost", func(t *testing.T) {
		in := refreshable(t, s, u, "a1")
		require.False(t, refresh(t, s, "a1", "a2"))
		require.True(t, refresh(t, s, "a1", "a3"))
		require.True(t, refresh(t, s, "a1", "a4"))
		require.False(t, refresh(t, s, "a4", "a5"))
		require.True(t, refresh(t, s, "a4", "a6"), "of the next one, too")
		require.False(t, refresh(t, s, "a6", "a7"))
		_, err := s.Principal(t.Context(), in.ID)
		require.NoError(t, err)
		require.Equal(t, []models.AuditAction{models.AuditSessionCreate}, audited(t, s, in.ID.String()))
	})
	t.Run("until something came of it", func(t *testing.T) {
		in := refreshable(t, s, u, "b1")
		refresh(t, s, "b1", "b2")
		refresh(t, s, "b2", "b3")
		stolen(t, s, in.ID, "b1")
	})
	t.Run("until one of several answers is used", func(t *testing.T) {
		in := refreshable(t, s, u, "c1")
		refresh(t, s, "c1", "c2")
		refresh(t, s, "c1", "c3")
		refresh(t, s, "c2", "c4")
		stolen(t, s, in.ID, "c3") // the other one has it
	})
	t.Run("for a few seconds", func(t *testing.T) {
		in := refreshable(t, s, u, "d1")
		refresh(t, s, "d1", "d2")
		used("d1", models.RefreshGrace-2*time.Second)
		require.True(t, refresh(t, s, "d1", "d3"))
		used("d1", models.RefreshGrace+time.Second) // it counts from the first use
		stolen(t, s, in.ID, "d1")
	})
	t.Run("not from the last use, but from the first", func(t *testing.T) {
		refreshable(t, s, u, "e1")
		refresh(t, s, "e1", "e2")
		used("e1", 5*time.Second)
		refresh(t, s, "e1", "e3")
		require.Equal(t, 1, counted(t, db, "SELECT count(*) FROM refresh_tokens WHERE hash = $1 AND used_at < now() - interval '4 seconds'", token("e1").Hash))
	})
	t.Run("not when the session has ended", func(t *testing.T) {
		in := refreshable(t, s, u, "f1")
		refresh(t, s, "f1", "f2")
		require.NoError(t, s.RevokeSession(t.Context(), u.ID, in.ID, models.SessionLoggedOut, actor(u)))
		_, _, err := s.RotateRefreshToken(t.Context(), token("f1").Hash, token("x"), from)
		refused(t, models.Unauthenticated, err)
		require.ErrorContains(t, err, "has ended")
	})
	t.Run("not for what nothing is known to have come of", func(t *testing.T) {
		in := refreshable(t, s, u, "g1")
		refresh(t, s, "g1", "g2")
		_, err := db.Exec("UPDATE refresh_tokens SET replaces = NULL WHERE hash = $1", token("g2").Hash) // as the version before wrote it
		require.NoError(t, err)
		stolen(t, s, in.ID, "g1")
	})
}

// Twenty who use one token at once are one client that sent twice: all are answered, one session
// goes on. Whichever answer is used, the token and the other answers are copies from then on.
func TestRefreshTokenAtOnce(t *testing.T) {
	for _, copied := range []string{"first", "answer 7"} {
		t.Run(copied, func(t *testing.T) {
			s, db := opened(t)
			in := refreshable(t, s, signedIn(t, s, "ada"), "first")
			again := make([]bool, 20)
			for _, err := range atOnce(len(again), func(i int) (err error) {
				_, again[i], err = s.RotateRefreshToken(t.Context(), token("first").Hash, token(fmt.Sprint("answer ", i)), from)
				return err
			}) {
				require.NoError(t, err)
			}
			first := 0
			for _, a := range again {
				if !a {
					first++
				}
			}
			require.Equal(t, 1, first, "one of them is the first")
			require.Equal(t, 1, counted(t, db, "SELECT count(*) FROM sessions WHERE revoked_at IS NULL"))
			require.Equal(t, 20, counted(t, db, "SELECT count(*) FROM refresh_tokens WHERE used_at IS NULL"))

			require.False(t, refresh(t, s, "answer 3", "next"))
			require.Equal(t, 1, counted(t, db, "SELECT count(*) FROM refresh_tokens WHERE used_at IS NULL"), "one family lives")
			_, err := s.Principal(t.Context(), in.ID)
			require.NoError(t, err)
			stolen(t, s, in.ID, copied)
			_, _, err = s.RotateRefreshToken(t.Context(), token("next").Hash, token("x"), from)
			refused(t, models.Unauthenticated, err)
		})
	}
}

// Of two who have an answer each and use it at once, one goes on, until the other's is seen to
// be a copy: that ends it for both.
func TestAnswersUsedAtOnce(t *testing.T) {
	s := storetest.New(t)
	in := refreshable(t, s, signedIn(t, s, "ada"), "first")
	refresh(t, s, "first", "a")
	refresh(t, s, "first", "b")
	errs := atOnce(2, func(i int) error {
		_, _, err := s.RotateRefreshToken(t.Context(), token([]string{"a", "b"}[i]).Hash, token(fmt.Sprint("next ", i)), from)
		return err
	})
	require.NotEqual(t, errs[0] == nil, errs[1] == nil, "%v", errs)
	got, err := s.Session(t.Context(), in.ID)
	require.NoError(t, err)
	require.Equal(t, models.SessionStolen, got.RevokedWhy)
}
