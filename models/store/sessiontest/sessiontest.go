// Package sessiontest holds whatever keeps sessions to what is said of them.
package sessiontest

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Store keeps sessions, and their users.
type Store interface {
	CreateSession(ctx context.Context, in models.Session, first *models.RefreshToken, by models.Actor) (models.Session, error)
	Session(ctx context.Context, id uuid.UUID) (models.Session, error)
	Sessions(ctx context.Context, userID uuid.UUID) ([]models.Session, error)
	SetProviderTokens(ctx context.Context, id uuid.UUID, sealed []byte) error
	TouchSessions(ctx context.Context, seen []models.SessionSeen) error
	RevokeSession(ctx context.Context, userID, id uuid.UUID, why models.SessionEnd, by models.Actor) error
	RevokeSessions(ctx context.Context, userID, but uuid.UUID, why models.SessionEnd, by models.Actor) (int, error)
	RotateRefreshToken(ctx context.Context, hash string, next models.RefreshToken, from models.Origin) (s models.Session, again bool, err error)
	Principal(ctx context.Context, sessionID uuid.UUID) (models.Principal, error)

	SignIn(ctx context.Context, id models.Identity, initials models.Initials, from models.Origin) (models.User, error)
	DeactivateUser(ctx context.Context, id uuid.UUID, hold models.Hold, why string, by models.Actor) (models.User, error)
	ReinstateUser(ctx context.Context, id uuid.UUID, hold models.Hold, why string, by models.Actor) (models.User, error)
	AuditLog(ctx context.Context, q store.AuditQuery) (page []models.AuditEntry, total int, err error)
	Listen(ctx context.Context, handle func(store.Notice)) error
}

// Kept is a store of sessions in a test.
type Kept struct {
	Store
	Pass func(time.Duration) // lets time pass for the sessions and tokens that are there
}

// Run holds a store to all of it. open makes a fresh one.
func Run(t *testing.T, open func(t *testing.T) Kept) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Kept){
		"sessions are their owner's":        testOwner,
		"who has a session":                 testPrincipal,
		"a look is recorded once a minute":  testTouch,
		"the oldest of too many ends":       testTooMany,
		"twenty begin at once":              testBeginAtOnce,
		"twenty end one at once":            testEndAtOnce,
		"a refresh token is good once":      testRotate,
		"a lost answer is asked for again":  testGrace,
		"twenty use one token at once":      testRotateAtOnce,
		"two use an answer each at once":    testAnswersAtOnce,
		"one of several answers is good":    testAnswersLater,
		"sessions expire":                   testExpire,
		"the end of a session is told":      testTold,
		"sessions end with a deactivation":  testDeactivate,
		"nobody begins one who may not":     testForbidden,
		"what callers send is cut to a fit": testText,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// from is where the requests of these tests come from.
var from = models.Origin{IP: "192.0.2.7", UserAgent: "tests/1.0", RequestID: "r-1"}

func (k Kept) user(t *testing.T, name string, roles ...string) models.User {
	t.Helper()
	u, err := k.SignIn(t.Context(), models.Identity{
		Provider: "oidc", Subject: "sub-" + name, Username: name, Email: name + "@example.com", FullName: "Full " + name, Roles: roles,
	}, models.Initials{}, from)
	require.NoError(t, err)
	return u
}

// Hour is a session of a user to begin, for an hour.
func Hour(u models.User) models.Session {
	return models.Session{
		UserID: u.ID, Provider: "oidc", ProviderTokens: []byte("sealed\x00\xff"), AuthTime: time.Now(),
		IP: from.IP, UserAgent: from.UserAgent, ExpiresAt: time.Now().Add(time.Hour),
	}
}

// Actor is a user as the audit log names him.
func Actor(u models.User) models.Actor {
	return models.Actor{ID: u.ID.String(), Via: "api", Origin: from}
}

// Token is a new refresh token, for that long.
func Token(lifetime time.Duration) models.RefreshToken {
	return models.RefreshToken{Hash: models.SecretOf(rand.Text()).Hash(), ExpiresAt: time.Now().Add(lifetime)}
}

// Begin begins a session for an hour.
func (k Kept) Begin(t *testing.T, u models.User, first *models.RefreshToken) models.Session {
	t.Helper()
	out, err := k.CreateSession(t.Context(), Hour(u), first, Actor(u))
	require.NoError(t, err)
	return out
}

// Refused requires an error of that kind.
func Refused(t *testing.T, kind models.Kind, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, kind, models.KindOf(err), "%v", err)
}

// Audited are the actions in the log about a thing, the newest first.
func (k Kept) Audited(t *testing.T, id uuid.UUID) []models.AuditAction {
	t.Helper()
	rows, _, err := k.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 100, ResourceID: id.String()})
	require.NoError(t, err)
	actions := []models.AuditAction{}
	for _, r := range rows {
		actions = append(actions, r.Action)
	}
	return actions
}

// dead requires that a session is good for nothing.
func (k Kept) dead(t *testing.T, in models.Session) {
	t.Helper()
	_, err := k.Principal(t.Context(), in.ID)
	Refused(t, models.Unauthenticated, err)
	list, err := k.Sessions(t.Context(), in.UserID)
	require.NoError(t, err)
	for _, one := range list {
		require.NotEqual(t, in.ID, one.ID)
	}
}

// alive requires that a session is good.
func (k Kept) alive(t *testing.T, in models.Session) {
	t.Helper()
	_, err := k.Principal(t.Context(), in.ID)
	require.NoError(t, err)
}

// atOnce does something n times at the same time, and returns the error of each.
func atOnce(n int, do func(i int) error) []error {
	errs, start, done := make([]error, n), make(chan struct{}), make(chan struct{})
	for i := range n {
		go func() {
			<-start
			errs[i] = do(i)
			done <- struct{}{}
		}()
	}
	close(start)
	for range n {
		<-done
	}
	return errs
}
