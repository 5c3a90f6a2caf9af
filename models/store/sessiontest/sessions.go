package sessiontest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// A session is its owner's: nobody else sees or ends it.
func testOwner(t *testing.T, k Kept) {
	u, other := k.user(t, "ada"), k.user(t, "bob")
	first, second, foreign := k.Begin(t, u, nil), k.Begin(t, u, nil), k.Begin(t, other, nil)
	list, err := k.Sessions(t.Context(), u.ID)
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, second.ID, list[0].ID, "the last used first")
	require.Empty(t, list[0].ProviderTokens)
	require.Equal(t, "tests/1.0", list[0].UserAgent)
	require.Equal(t, "192.0.2.7", list[0].IP)
	require.Equal(t, "oidc", list[0].Provider)
	require.WithinDuration(t, second.CreatedAt, list[0].CreatedAt, 0)
	require.Nil(t, list[0].RevokedAt)
	one, err := k.Session(t.Context(), first.ID)
	require.NoError(t, err)
	require.Equal(t, []byte("sealed\x00\xff"), one.ProviderTokens)
	require.NoError(t, k.SetProviderTokens(t.Context(), first.ID, []byte("newer")))
	one, err = k.Session(t.Context(), first.ID)
	require.NoError(t, err)
	require.Equal(t, []byte("newer"), one.ProviderTokens)

	Refused(t, models.NotFound, k.RevokeSession(t.Context(), u.ID, foreign.ID, models.SessionRevoked, Actor(u)))
	require.NoError(t, k.RevokeSession(t.Context(), u.ID, first.ID, models.SessionLoggedOut, Actor(u)))
	k.dead(t, first)
	Refused(t, models.NotFound, k.RevokeSession(t.Context(), u.ID, first.ID, models.SessionLoggedOut, Actor(u)))
	Refused(t, models.NotFound, k.SetProviderTokens(t.Context(), first.ID, nil))
	require.Equal(t, []models.AuditAction{models.AuditLogout, models.AuditSessionCreate}, k.Audited(t, first.ID))
	one, err = k.Session(t.Context(), first.ID)
	require.NoError(t, err, "it can still be looked at")
	require.Equal(t, models.SessionLoggedOut, one.RevokedWhy)
	require.WithinDuration(t, time.Now(), *one.RevokedAt, time.Minute)

	third := k.Begin(t, u, nil)
	n, err := k.RevokeSessions(t.Context(), u.ID, second.ID, models.SessionRevoked, Actor(u))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, []models.AuditAction{models.AuditSessionRevoke, models.AuditSessionCreate}, k.Audited(t, third.ID))
	k.dead(t, third)
	k.alive(t, second)
	n, err = k.RevokeSessions(t.Context(), u.ID, uuid.Nil, models.SessionRevoked, Actor(u))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	k.dead(t, second)
	n, err = k.RevokeSessions(t.Context(), u.ID, uuid.Nil, models.SessionRevoked, Actor(u))
	require.NoError(t, err)
	require.Zero(t, n)
	k.alive(t, foreign)
	_, err = k.Session(t.Context(), uuid.New())
	Refused(t, models.NotFound, err)
	Refused(t, models.NotFound, k.SetProviderTokens(t.Context(), uuid.New(), nil))
	Refused(t, models.NotFound, k.RevokeSession(t.Context(), u.ID, uuid.New(), models.SessionRevoked, Actor(u)))
	list, err = k.Sessions(t.Context(), uuid.New())
	require.NoError(t, err)
	require.Empty(t, list)
}

// Who has a session is who he is and what he may do now.
func testPrincipal(t *testing.T, k Kept) {
	u := k.user(t, "ada", models.RoleAdmin, models.RoleUser)
	in := k.Begin(t, u, nil)
	p, err := k.Principal(t.Context(), in.ID)
	require.NoError(t, err)
	require.WithinDuration(t, in.AuthTime, p.AuthTime, time.Microsecond)
	require.WithinDuration(t, in.ExpiresAt, p.ExpiresAt, time.Microsecond)
	require.True(t, p.Permissions.Has("users:write"))
	require.Equal(t, models.Principal{
		UserID: u.ID, SessionID: in.ID, Username: "ada", Email: "ada@example.com", Name: "Full ada", Roles: []string{models.RoleAdmin, models.RoleUser},
		Permissions: p.Permissions, Teams: []uuid.UUID{}, Active: true, AuthTime: p.AuthTime, ExpiresAt: p.ExpiresAt, Via: "api",
	}, p)
	_, err = k.Principal(t.Context(), uuid.New())
	Refused(t, models.Unauthenticated, err)
}

// A look is recorded once a minute, the last of several, and of live sessions only.
func testTouch(t *testing.T, k Kept) {
	u := k.user(t, "ada")
	one, two, gone := k.Begin(t, u, nil), k.Begin(t, u, nil), k.Begin(t, u, nil)
	require.NoError(t, k.RevokeSession(t.Context(), u.ID, gone.ID, models.SessionRevoked, Actor(u)))
	seen := func(in models.Session, after time.Duration, ip string) models.SessionSeen {
		return models.SessionSeen{ID: in.ID, At: in.LastSeenAt.Add(after), IP: ip}
	}
	require.NoError(t, k.TouchSessions(t.Context(), nil))
	require.NoError(t, k.TouchSessions(t.Context(), []models.SessionSeen{
		seen(two, 59*time.Second, "198.51.100.1"), seen(one, time.Minute, "198.51.100.2"),
		seen(one, 90*time.Second, "198.51.100.3"), seen(gone, time.Hour, "198.51.100.4"),
		{ID: uuid.New(), At: time.Now()},
	}))
	for in, want := range map[uuid.UUID]struct {
		at time.Time
		ip string
	}{
		one.ID:  {one.LastSeenAt.Add(90 * time.Second), "198.51.100.3"},
		two.ID:  {two.LastSeenAt, "192.0.2.7"},
		gone.ID: {gone.LastSeenAt, "192.0.2.7"},
	} {
		got, err := k.Session(t.Context(), in)
		require.NoError(t, err)
		require.WithinDuration(t, want.at, got.LastSeenAt, 0)
		require.Equal(t, want.ip, got.IP)
	}
	require.NoError(t, k.TouchSessions(t.Context(), []models.SessionSeen{seen(one, time.Hour, "")}))
	got, err := k.Session(t.Context(), one.ID)
	require.NoError(t, err)
	require.Equal(t, "198.51.100.3", got.IP, "where from is not known now")
	list, err := k.Sessions(t.Context(), u.ID)
	require.NoError(t, err)
	require.Equal(t, one.ID, list[0].ID)
}

// The eleventh session ends the first, however that was used.
func testTooMany(t *testing.T, k Kept) {
	u := k.user(t, "ada")
	other := k.Begin(t, k.user(t, "bob"), nil)
	var began []models.Session
	for range models.MaxSessions {
		began = append(began, k.Begin(t, u, nil))
	}
	require.NoError(t, k.TouchSessions(t.Context(), []models.SessionSeen{{ID: began[0].ID, At: time.Now().Add(time.Hour)}}))
	k.alive(t, began[0])
	require.NoError(t, k.RevokeSession(t.Context(), u.ID, began[5].ID, models.SessionRevoked, Actor(u)))
	k.Begin(t, u, nil)
	k.alive(t, began[0])
	k.Begin(t, u, nil)
	k.dead(t, began[0])
	k.alive(t, began[1])
	k.alive(t, other)
	gone, err := k.Session(t.Context(), began[0].ID)
	require.NoError(t, err)
	require.Equal(t, models.SessionDisplaced, gone.RevokedWhy)
	require.Equal(t, []models.AuditAction{models.AuditSessionRevoke, models.AuditSessionCreate}, k.Audited(t, began[0].ID))
}

// Twenty sessions at once leave ten, and one row in the log for each that ended.
func testBeginAtOnce(t *testing.T, k Kept) {
	u := k.user(t, "ada")
	for _, err := range atOnce(2*models.MaxSessions, func(int) error {
		_, err := k.CreateSession(t.Context(), Hour(u), nil, Actor(u))
		return err
	}) {
		require.NoError(t, err)
	}
	list, err := k.Sessions(t.Context(), u.ID)
	require.NoError(t, err)
	require.Len(t, list, models.MaxSessions)
	rows, n, err := k.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 100, Action: models.AuditSessionRevoke})
	require.NoError(t, err)
	require.Equal(t, models.MaxSessions, n)
	ended := map[string]bool{}
	for _, row := range rows {
		ended[row.ResourceID] = true
		require.Contains(t, string(row.Detail), `"displaced"`)
	}
	require.Len(t, ended, models.MaxSessions)
	for _, one := range list {
		require.NotContains(t, ended, one.ID.String())
	}
}

// Of twenty who end one session at once, one did.
func testEndAtOnce(t *testing.T, k Kept) {
	u := k.user(t, "ada")
	in := k.Begin(t, u, nil)
	did := 0
	for _, err := range atOnce(20, func(int) error {
		return k.RevokeSession(t.Context(), u.ID, in.ID, models.SessionRevoked, Actor(u))
	}) {
		if err == nil {
			did++
			continue
		}
		Refused(t, models.NotFound, err)
	}
	require.Equal(t, 1, did)
	require.Equal(t, []models.AuditAction{models.AuditSessionRevoke, models.AuditSessionCreate}, k.Audited(t, in.ID))
}

// A session expires by itself, and is kept on by a refresh.
func testExpire(t *testing.T, k Kept) {
	u := k.user(t, "ada")
	first, next, last := Token(2*time.Hour), Token(3*time.Hour), Token(4*time.Hour)
	short, long := k.Begin(t, u, nil), k.Begin(t, u, &first)
	k.Pass(50 * time.Minute)
	k.alive(t, short)
	kept, _, err := k.RotateRefreshToken(t.Context(), first.Hash, next, from)
	require.NoError(t, err)
	require.Equal(t, long.ID, kept.ID)
	require.WithinDuration(t, next.ExpiresAt, kept.ExpiresAt, time.Microsecond)
	k.Pass(20 * time.Minute)
	k.dead(t, short)
	k.alive(t, long)
	Refused(t, models.NotFound, k.RevokeSession(t.Context(), u.ID, short.ID, models.SessionRevoked, Actor(u)))
	Refused(t, models.NotFound, k.SetProviderTokens(t.Context(), short.ID, nil))
	for range models.MaxSessions - 1 {
		k.Begin(t, u, nil)
	}
	k.alive(t, long) // who expired takes no place
	k.Pass(3 * time.Hour)
	k.dead(t, long)
	_, _, err = k.RotateRefreshToken(t.Context(), next.Hash, last, from)
	Refused(t, models.Unauthenticated, err)
	list, err := k.Sessions(t.Context(), u.ID)
	require.NoError(t, err)
	require.Empty(t, list)
	k.alive(t, k.Begin(t, u, nil))
}

// Whoever listens is told that a session ended, whatever ended it.
func testTold(t *testing.T, k Kept) {
	u := k.user(t, "ada")
	heard := make(chan store.Notice, 1000)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Listen(ctx, func(n store.Notice) { heard <- n }) }()
	defer func() {
		stop()
		require.ErrorIs(t, <-done, context.Canceled)
	}()
	await := func(want store.Notice) {
		t.Helper()
		for patience := time.After(10 * time.Second); ; {
			select {
			case n := <-heard:
				if n.Kind == want.Kind && n.ID == want.ID {
					return
				}
			case <-patience:
				t.Fatalf("%v was not told", want)
			}
		}
	}
	await(store.Notice{Kind: store.NoticeLost})
	ended := func(in models.Session) { t.Helper(); await(store.Notice{Kind: store.NoticeSession, ID: in.ID}) }

	one, two := k.Begin(t, u, nil), k.Begin(t, u, nil)
	require.NoError(t, k.RevokeSession(t.Context(), u.ID, one.ID, models.SessionRevoked, Actor(u)))
	ended(one)
	_, err := k.RevokeSessions(t.Context(), u.ID, uuid.Nil, models.SessionRevoked, Actor(u))
	require.NoError(t, err)
	ended(two)
	token := Token(time.Hour)
	stolen := k.Begin(t, u, &token)
	k.refresh(t, k.refresh(t, token))
	k.stolen(t, stolen, token)
	ended(stolen)
	oldest := k.Begin(t, u, nil)
	for range models.MaxSessions {
		k.Begin(t, u, nil)
	}
	ended(oldest)
}

// Who is deactivated has no session any more, and gets none back when he is reinstated.
func testDeactivate(t *testing.T, k Kept) {
	k.user(t, "root", models.RoleAdmin)
	u, other := k.user(t, "ada"), k.user(t, "bob")
	token := Token(time.Hour)
	in, theirs := k.Begin(t, u, &token), k.Begin(t, other, nil)
	_, err := k.DeactivateUser(t.Context(), u.ID, models.HoldAdmin, "abuse", models.System("test"))
	require.NoError(t, err)
	k.dead(t, in)
	k.alive(t, theirs)
	_, err = k.ReinstateUser(t.Context(), u.ID, models.HoldAdmin, "sorry", models.System("test"))
	require.NoError(t, err)
	k.dead(t, in)
	_, _, err = k.RotateRefreshToken(t.Context(), token.Hash, Token(time.Hour), from)
	Refused(t, models.Unauthenticated, err)
	k.dead(t, in)

	fresh := k.Begin(t, u, nil)
	k.alive(t, fresh)
	list, err := k.Sessions(t.Context(), u.ID)
	require.NoError(t, err)
	require.Len(t, list, 1)
	n, err := k.RevokeSessions(t.Context(), u.ID, uuid.Nil, models.SessionRevoked, Actor(u))
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

// No session begins of who is not active, or nobody.
func testForbidden(t *testing.T, k Kept) {
	u := k.user(t, "ada")
	_, err := k.DeactivateUser(t.Context(), u.ID, models.HoldAdmin, "", models.System("test"))
	require.NoError(t, err)
	_, err = k.CreateSession(t.Context(), Hour(u), nil, Actor(u))
	Refused(t, models.Forbidden, err)
	_, err = k.CreateSession(t.Context(), Hour(models.User{ID: uuid.New()}), nil, Actor(u))
	Refused(t, models.NotFound, err)
}

// What a caller sends of himself is text, and not too long.
func testText(t *testing.T, k Kept) {
	u := k.user(t, "ada")
	in := Hour(u)
	in.UserAgent = "Fire\xfffox\x00" + strings.Repeat("x", 1000)
	out, err := k.CreateSession(t.Context(), in, nil, Actor(u))
	require.NoError(t, err)
	out, err = k.Session(t.Context(), out.ID)
	require.NoError(t, err)
	require.Len(t, out.UserAgent, 300)
	require.True(t, strings.HasPrefix(out.UserAgent, "Fire�foxx"), out.UserAgent)
}
