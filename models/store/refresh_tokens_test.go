package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// token is a refresh token for an hour.
func token(name string) models.RefreshToken {
	return models.RefreshToken{Hash: models.SecretOf(name).Hash(), ExpiresAt: time.Now().Add(time.Hour)}
}

// What refresh tokens are is said in sessiontest. Of the answers to one, those that are not used
// are not good any more, and nothing comes of what is refused.
func TestRefreshTokensThatAreLeft(t *testing.T) {
	s, db := opened(t)
	u, first := signedIn(t, s, "ada"), token("first")
	_, err := s.CreateSession(t.Context(), hour(u), &first, actor(u))
	require.NoError(t, err)
	for i := range 3 {
		_, _, err := s.RotateRefreshToken(t.Context(), first.Hash, token(fmt.Sprint("answer ", i)), from)
		require.NoError(t, err)
	}
	const left = "SELECT count(*) FROM refresh_tokens WHERE used_at IS NULL"
	require.Equal(t, 3, counted(t, db, left))
	_, _, err = s.RotateRefreshToken(t.Context(), token("answer 1").Hash, token("next"), from)
	require.NoError(t, err)
	require.Equal(t, 1, counted(t, db, left), "one family lives")
	_, _, err = s.RotateRefreshToken(t.Context(), first.Hash, token("x"), from)
	refused(t, models.Unauthenticated, err)
	require.Equal(t, 1, counted(t, db, left))
}

// A token of which nothing is known to have come, as the version before wrote it, has no grace.
func TestRefreshTokenOfBefore(t *testing.T) {
	s, db := opened(t)
	u, first := signedIn(t, s, "ada"), token("first")
	in, err := s.CreateSession(t.Context(), hour(u), &first, actor(u))
	require.NoError(t, err)
	_, _, err = s.RotateRefreshToken(t.Context(), first.Hash, token("next"), from)
	require.NoError(t, err)
	_, err = db.Exec("UPDATE refresh_tokens SET replaces = NULL")
	require.NoError(t, err)
	_, _, err = s.RotateRefreshToken(t.Context(), first.Hash, token("x"), from)
	refused(t, models.Unauthenticated, err)
	require.ErrorContains(t, err, "used before")
	_, err = s.Principal(t.Context(), in.ID)
	refused(t, models.Unauthenticated, err)
}
