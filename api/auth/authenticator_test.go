package auth_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Callers are told by what they bring.
func TestAuthenticator(t *testing.T) {
	c := newCertified(t).client()
	c.AcceptHS256, c.JWTSecret = true, models.SecretOf("a-secret-that-LiteMaaS-signs-with")
	h := newHouse(t, c)
	g, _ := h.signIn(t, rea, true)
	access := g.Access.Reveal()

	for _, header := range []string{"Bearer " + access, "bearer  " + access + " "} {
		p, err := h.auth.Principal(t.Context(), header)
		require.NoError(t, err)
		require.Equal(t, rea, p.Username)
		require.Equal(t, "api", p.Via)
		require.True(t, p.May("admin:audit"))
		require.False(t, p.May("users:write"))
	}
	admin, err := h.auth.Principal(t.Context(), "Bearer ltm_admin_1")
	require.NoError(t, err)
	require.Regexp(t, "^admin-key-[0-9a-f]{8}$", admin.ID())
	require.True(t, admin.May("users:write"))
	require.WithinDuration(t, time.Now(), admin.AuthTime, time.Minute)
	require.Equal(t, "admin-key", admin.Via)
	require.Equal(t, uuid.Nil, admin.SessionID)

	old := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"userId": g.Principal.UserID, "roles": []string{"admin"}, "iat": time.Now().Add(-time.Minute).Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	})
	legacy, err := old.SignedString([]byte(c.JWTSecret.Reveal()))
	require.NoError(t, err)
	p, err := h.auth.Token(t.Context(), legacy)
	require.NoError(t, err)
	require.Equal(t, rea, p.Username)
	require.False(t, p.May("users:write"), "what a token says of roles is not believed")
	require.WithinDuration(t, time.Now().Add(-time.Minute), p.AuthTime, 2*time.Second)

	for _, header := range []string{
		"", "Bearer", "Bearer ", access, "Basic " + access, "Bearer x", "Bearer ltm_admin_", "Bearer ltm_admin_12", "Bearer " + g.Refresh.Reveal(),
		"Bearer sk-1234567890123456789012", "Bearer " + access + "x",
	} {
		_, err := h.auth.Principal(t.Context(), header)
		refused(t, models.Unauthenticated, err)
	}

	stranger, err := h.tokens.Issue(t.Context(), models.Principal{UserID: uuid.New(), SessionID: g.Principal.SessionID}, time.Hour)
	require.NoError(t, err)
	_, err = h.auth.Token(t.Context(), stranger.Reveal())
	refused(t, models.Unauthenticated, err)
	nobody, err := h.tokens.Issue(t.Context(), models.Principal{UserID: uuid.New()}, time.Hour)
	require.NoError(t, err)
	_, err = h.auth.Token(t.Context(), nobody.Reveal())
	refused(t, models.Unauthenticated, err)

	h.down = models.Errorf(models.Unavailable, "down")
	h.tell(store.Notice{Kind: store.NoticeLost})
	_, err = h.who(t, g)
	refused(t, models.Unavailable, err)
}

// An admin key may be any text, also such as looks like a token.
func TestAdminKeysLikeTokens(t *testing.T) {
	h := newHouse(t, newCertified(t).client())
	g, _ := h.signIn(t, uma, false)
	for _, keys := range [][]string{nil, {"plain"}, {"one.dot"}, {"with.two.dots"}, {"with.two.dots", "plain", "a.b.c.d"}} {
		var secrets []models.Secret
		for _, k := range keys {
			secrets = append(secrets, models.SecretOf(k))
		}
		a := auth.NewAuthenticator(h.tokens, h.principals, secrets)
		for _, k := range keys {
			p, err := a.Principal(t.Context(), "Bearer "+k)
			require.NoError(t, err, k)
			require.Equal(t, "admin-key", p.Via)
		}
		for _, wrong := range []string{"with.two.dotz", "x.y.z", "plain.", "two"} {
			_, err := a.Principal(t.Context(), "Bearer "+wrong)
			refused(t, models.Unauthenticated, err)
		}
		p, err := a.Principal(t.Context(), "Bearer "+g.Access.Reveal())
		require.NoError(t, err)
		require.Equal(t, uma, p.Username)
	}
}

// A request with a known token costs no look at the database.
func TestKnownTokenCostsNothing(t *testing.T) {
	h := newHouse(t, newCertified(t).client())
	g, _ := h.signIn(t, uma, false)
	_, err := h.who(t, g)
	require.NoError(t, err)
	h.looks, h.reads = 0, 0
	for range 100 {
		_, err := h.who(t, g)
		require.NoError(t, err)
	}
	require.Zero(t, h.looks+h.reads)
}

// Sessions are recorded as used in one go; whoever has none is not.
func TestSeen(t *testing.T) {
	m := newMemory()
	s := auth.NewSeen(m)
	require.NoError(t, s.Flush(t.Context()))
	a, b := models.Principal{SessionID: uuid.New()}, models.Principal{SessionID: uuid.New()}
	s.Note(a, "192.0.2.1")
	s.Note(a, "192.0.2.2")
	s.Note(b, "192.0.2.3")
	s.Note(models.Principal{Username: "admin-key"}, "192.0.2.4")
	require.NoError(t, s.Flush(t.Context()))
	ips := map[uuid.UUID]string{}
	for _, seen := range m.seen {
		ips[seen.ID] = seen.IP
		require.WithinDuration(t, time.Now(), seen.At, time.Minute)
	}
	require.Equal(t, map[uuid.UUID]string{a.SessionID: "192.0.2.2", b.SessionID: "192.0.2.3"}, ips)
	require.NoError(t, s.Flush(t.Context()))
	require.Len(t, m.seen, 2)

	m.down = models.Errorf(models.Unavailable, "down")
	s.Note(a, "192.0.2.1")
	refused(t, models.Unavailable, s.Flush(t.Context()))
}

// They are written from time to time, and when it ends.
func TestSeenRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := auth.NewSeen(m)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.Run(ctx) })
		s.Note(models.Principal{SessionID: uuid.New()}, "192.0.2.1")
		time.Sleep(20 * time.Second) // of the bubble
		synctest.Wait()
		require.Len(t, m.seen, 1)
		s.Note(models.Principal{SessionID: uuid.New()}, "192.0.2.1")
		stop()
		wg.Wait()
		require.Len(t, m.seen, 2)
	})
}
