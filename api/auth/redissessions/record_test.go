package redissessions_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api/auth/redissessions"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/sessiontest"
)

// noLog takes the audit log away while something is done.
func (k kept) noLog(t *testing.T, do func()) {
	t.Helper()
	_, err := k.db.Exec("ALTER TABLE audit RENAME TO audit_away")
	require.NoError(t, err)
	do()
	_, err = k.db.Exec("ALTER TABLE audit_away RENAME TO audit")
	require.NoError(t, err)
}

// What ends while its end cannot be recorded has ended all the same. It is recorded when it is
// asked for again, or with the next session of the user that ends, once.
func TestEndIsRecordedLater(t *testing.T) {
	k, server := inMemory(t)
	u, token := k.user(t, "ada"), sessiontest.Token(time.Hour)
	by := sessiontest.Actor(u)
	asked, other, stolen := k.Begin(t, u, nil), k.Begin(t, u, nil), k.Begin(t, u, &token)
	require.NoError(t, k.rotate(t, token))
	k.Pass(models.RefreshGrace)
	k.noLog(t, func() {
		require.Error(t, k.RevokeSession(t.Context(), u.ID, asked.ID, models.SessionLoggedOut, by))
		require.Error(t, k.rotate(t, token))
	})
	for _, in := range []models.Session{asked, stolen} {
		_, err := k.Principal(t.Context(), in.ID)
		sessiontest.Refused(t, models.Unauthenticated, err)
		require.Equal(t, []models.AuditAction{models.AuditSessionCreate}, k.Audited(t, in.ID))
	}
	require.NoError(t, k.RevokeSession(t.Context(), u.ID, asked.ID, models.SessionLoggedOut, by))
	require.Equal(t, []models.AuditAction{models.AuditLogout, models.AuditSessionCreate}, k.Audited(t, asked.ID))
	require.Equal(t, []models.AuditAction{models.AuditSessionRevoke, models.AuditSessionCreate}, k.Audited(t, stolen.ID), "on the way")
	sessiontest.Refused(t, models.NotFound, k.RevokeSession(t.Context(), u.ID, asked.ID, models.SessionLoggedOut, by))

	// Whoever is about to record it has some time for that; then others do.
	k.noLog(t, func() { require.Error(t, k.RevokeSession(t.Context(), u.ID, other.ID, models.SessionRevoked, by)) })
	again := func(ago time.Duration) error {
		_, err := server.ZAdd(redissessions.UnrecordedKey(u.ID), float64(time.Now().Add(-ago).UnixMicro()), other.ID.String())
		require.NoError(t, err)
		return k.RevokeSession(t.Context(), u.ID, other.ID, models.SessionRevoked, by)
	}
	sessiontest.Refused(t, models.NotFound, again(redissessions.Lease/2))
	require.NoError(t, again(redissessions.Lease+time.Second))
	require.Equal(t, []models.AuditAction{models.AuditSessionRevoke, models.AuditSessionCreate}, k.Audited(t, other.ID))
}

// A session whose beginning cannot be recorded has not begun. What it displaced has ended, and is
// recorded with the next.
func TestBeginningIsNotRecorded(t *testing.T) {
	k, _ := inMemory(t)
	u := k.user(t, "ada")
	oldest := k.Begin(t, u, nil)
	for range models.MaxSessions - 1 {
		k.Begin(t, u, nil)
	}
	in := sessiontest.Hour(u)
	in.ID = uuid.New()
	k.noLog(t, func() {
		_, err := k.CreateSession(t.Context(), in, nil, sessiontest.Actor(u))
		require.Error(t, err)
	})
	_, err := k.Session(t.Context(), in.ID)
	sessiontest.Refused(t, models.NotFound, err)
	list, err := k.Sessions(t.Context(), u.ID)
	require.NoError(t, err)
	require.Len(t, list, models.MaxSessions-1)
	k.Begin(t, u, nil)
	require.Equal(t, []models.AuditAction{models.AuditSessionRevoke, models.AuditSessionCreate}, k.Audited(t, oldest.ID))
	list, err = k.Sessions(t.Context(), u.ID)
	require.NoError(t, err)
	require.Len(t, list, models.MaxSessions)
}

// lossy is a connection that loses the answer to the next script that is sent when it is to.
type lossy struct {
	net.Conn
	lose  *atomic.Bool
	loses bool
}

func (c *lossy) Write(b []byte) (int, error) {
	c.loses = bytes.Contains(b, []byte("evalsha")) && c.lose.CompareAndSwap(true, false)
	return c.Conn.Write(b)
}

func (c *lossy) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.loses {
		_ = c.Close()
		return 0, io.EOF
	}
	return n, err
}

// An answer of Redis that is lost changes nothing: what is sent twice is done once.
func TestLostAnswers(t *testing.T) {
	server, lose := miniredis.RunT(t), &atomic.Bool{}
	k := open(t, &redis.Options{Addr: server.Addr(), Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &lossy{Conn: c, lose: lose}, err
	}}, nil)
	u, early, token, next := k.user(t, "ada"), sessiontest.Token(time.Hour), sessiontest.Token(time.Hour), sessiontest.Token(time.Hour)
	k.Begin(t, u, &early)
	require.NoError(t, k.rotate(t, early))
	_, err := k.RevokeSessions(t.Context(), u.ID, uuid.Nil, models.SessionRevoked, sessiontest.Actor(u))
	require.NoError(t, err) // Redis knows the scripts now
	oldest := k.Begin(t, u, nil)
	for range models.MaxSessions - 1 {
		k.Begin(t, u, nil)
	}
	losing := func(do func()) {
		t.Helper()
		lose.Store(true)
		do()
		require.False(t, lose.Load(), "no answer was lost")
	}
	var in models.Session
	losing(func() { in = k.Begin(t, u, &token) })
	list, err := k.Sessions(t.Context(), u.ID)
	require.NoError(t, err)
	require.Len(t, list, models.MaxSessions)
	require.Equal(t, []models.AuditAction{models.AuditSessionRevoke, models.AuditSessionCreate}, k.Audited(t, oldest.ID))

	rotate := func(used, next models.RefreshToken) (again bool) {
		_, again, err := k.RotateRefreshToken(t.Context(), used.Hash, next, models.Origin{})
		require.NoError(t, err)
		return again
	}
	losing(func() { require.False(t, rotate(token, next)) })
	losing(func() { require.True(t, rotate(token, sessiontest.Token(time.Hour))) })
	losing(func() { require.False(t, rotate(next, sessiontest.Token(time.Hour))) })
	require.Equal(t, []models.AuditAction{models.AuditSessionCreate}, k.Audited(t, in.ID))
	losing(func() { sessiontest.Refused(t, models.Unauthenticated, k.rotate(t, token)) })
	require.Equal(t, []models.AuditAction{models.AuditFailed, models.AuditSessionRevoke, models.AuditSessionCreate}, k.Audited(t, in.ID))
	in = k.Begin(t, u, nil)
	losing(func() {
		require.NoError(t, k.RevokeSession(t.Context(), u.ID, in.ID, models.SessionRevoked, sessiontest.Actor(u)))
	})
	require.Equal(t, []models.AuditAction{models.AuditSessionRevoke, models.AuditSessionCreate}, k.Audited(t, in.ID))
}
