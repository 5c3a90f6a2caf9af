package store_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// A session is its owner's: nobody else sees or ends it.
func TestSessions(t *testing.T) {
	s := storetest.New(t)
	u, other := signedIn(t, s, "ada"), signedIn(t, s, "bob")
	first, second, foreign := session(t, s, u), session(t, s, u), session(t, s, other)
	list, err := s.Sessions(t.Context(), u.ID)
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Nil(t, list[0].ProviderTokens)
	require.Equal(t, "tests/1.0", list[0].UserAgent)
	require.NoError(t, s.SetProviderTokens(t.Context(), first.ID, []byte("newer")))
	one, err := s.Session(t.Context(), first.ID)
	require.NoError(t, err)
	require.Equal(t, []byte("newer"), one.ProviderTokens)

	refused(t, models.NotFound, s.RevokeSession(t.Context(), u.ID, foreign.ID, models.SessionRevoked, actor(u)))
	require.NoError(t, s.RevokeSession(t.Context(), u.ID, first.ID, models.SessionLoggedOut, actor(u)))
	refused(t, models.NotFound, s.RevokeSession(t.Context(), u.ID, first.ID, models.SessionLoggedOut, actor(u)))
	refused(t, models.NotFound, s.SetProviderTokens(t.Context(), first.ID, nil))
	require.Equal(t, []models.AuditAction{models.AuditLogout, models.AuditSessionCreate}, audited(t, s, first.ID.String()))

	third := session(t, s, u)
	n, err := s.RevokeSessions(t.Context(), u.ID, second.ID, models.SessionRevoked, actor(u))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, models.AuditSessionRevoke, audited(t, s, third.ID.String())[0])
	n, err = s.RevokeSessions(t.Context(), u.ID, uuid.Nil, models.SessionRevoked, actor(u))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = s.Principal(t.Context(), foreign.ID)
	require.NoError(t, err)
	_, err = s.Session(t.Context(), uuid.New())
	refused(t, models.NotFound, err)
}

// Twenty sessions at once leave ten, the newest.
func TestSessionsAtOnce(t *testing.T) {
	s, db := opened(t)
	u := signedIn(t, s, "ada")
	for _, err := range atOnce(20, func(int) error {
		_, err := s.CreateSession(t.Context(), hour(u), nil, actor(u))
		return err
	}) {
		require.NoError(t, err)
	}
	list, err := s.Sessions(t.Context(), u.ID)
	require.NoError(t, err)
	require.Len(t, list, models.MaxSessions)
	require.Equal(t, 10, counted(t, db, "SELECT count(*) FROM sessions WHERE revoked_why = 'displaced'"))
	require.Equal(t, 10, counted(t, db, "SELECT count(*) FROM audit WHERE action = 'SESSION_REVOKE'"))
	require.Zero(t, counted(t, db, `SELECT count(*) FROM sessions live, sessions gone
		WHERE live.revoked_at IS NULL AND gone.revoked_at IS NOT NULL AND gone.created_at > live.created_at`))
}

// A look is recorded once a minute, the last of several.
func TestTouchSessions(t *testing.T) {
	s := storetest.New(t)
	u := signedIn(t, s, "ada")
	one, two := session(t, s, u), session(t, s, u)
	seen := func(id uuid.UUID, after time.Duration, ip string) models.SessionSeen {
		return models.SessionSeen{ID: id, At: one.LastSeenAt.Add(after), IP: ip}
	}
	require.NoError(t, s.TouchSessions(t.Context(), nil))
	require.NoError(t, s.TouchSessions(t.Context(), []models.SessionSeen{
		seen(two.ID, 59*time.Second, "198.51.100.1"), seen(one.ID, time.Minute, "198.51.100.2"),
		seen(one.ID, 2*time.Minute, "198.51.100.3"), seen(uuid.New(), time.Hour, ""),
	}))
	got, err := s.Session(t.Context(), one.ID)
	require.NoError(t, err)
	require.WithinDuration(t, one.LastSeenAt.Add(2*time.Minute), got.LastSeenAt, 0)
	require.Equal(t, "198.51.100.3", got.IP)
	got, err = s.Session(t.Context(), two.ID)
	require.NoError(t, err)
	require.Equal(t, two.LastSeenAt, got.LastSeenAt)
}

// A sign-in comes back once, in time, in the same browser.
func TestLoginStates(t *testing.T) {
	s := storetest.New(t)
	state := models.LoginState{
		StateHash: "s1", BrowserHash: "b", Provider: "oidc", Nonce: "n", Verifier: "v", Redirect: "/", ExpiresAt: time.Now().Add(time.Minute),
	}
	put := func(hash string, expires time.Time) {
		state.StateHash, state.ExpiresAt = hash, expires
		require.NoError(t, s.PutLoginState(t.Context(), state))
	}
	put("s0", time.Now().Add(time.Minute))
	got, err := s.TakeLoginState(t.Context(), "s0", "b")
	require.NoError(t, err)
	require.Nil(t, got.MaxAge)
	state.MaxAge = new(90 * time.Second)
	put("s1", time.Now().Add(time.Minute))
	got, err = s.TakeLoginState(t.Context(), "s1", "b")
	require.NoError(t, err)
	require.Equal(t, "v", got.Verifier)
	require.Equal(t, 90*time.Second, *got.MaxAge)
	_, err = s.TakeLoginState(t.Context(), "s1", "b")
	refused(t, models.Unauthenticated, err)
	put("s2", time.Now().Add(time.Minute))
	_, err = s.TakeLoginState(t.Context(), "s2", "another")
	refused(t, models.Unauthenticated, err)
	_, err = s.TakeLoginState(t.Context(), "s2", "b")
	refused(t, models.Unauthenticated, err)
	put("s3", time.Now().Add(-time.Second))
	_, err = s.TakeLoginState(t.Context(), "s3", "b")
	refused(t, models.Unauthenticated, err)

	put("s4", time.Now().Add(time.Minute))
	won := 0
	for _, err := range atOnce(10, func(int) error { _, err := s.TakeLoginState(t.Context(), "s4", "b"); return err }) {
		if err == nil {
			won++
		}
	}
	require.Equal(t, 1, won)
}

// Replicas that start together make one key; an old key's signatures are good for the grace.
func TestSigningKeys(t *testing.T) {
	s := storetest.New(t)
	mint := func() (models.SigningKey, error) {
		return models.SigningKey{KID: uuid.NewString(), Algorithm: "EdDSA", Private: []byte("sealed"), Public: json.RawMessage(`{"kty": "OKP"}`)}, nil
	}
	rotation := store.Rotation{Age: time.Hour, Grace: time.Hour}
	for _, err := range atOnce(5, func(int) error { _, err := s.RotateSigningKey(t.Context(), rotation, mint, ada); return err }) {
		require.NoError(t, err)
	}
	keys, err := s.SigningKeys(t.Context())
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.Nil(t, keys[0].RetiresAt)

	rotation.Age = 0
	rotated, err := s.RotateSigningKey(t.Context(), rotation, mint, ada)
	require.NoError(t, err)
	require.Len(t, rotated, 2)
	require.Equal(t, keys[0].KID, rotated[1].KID)
	require.NotNil(t, rotated[1].RetiresAt)
	require.NoError(t, s.RevokeSigningKey(t.Context(), rotated[0].KID, "leaked", ada))
	refused(t, models.NotFound, s.RevokeSigningKey(t.Context(), rotated[0].KID, "leaked", ada))
	left, err := s.SigningKeys(t.Context())
	require.NoError(t, err)
	require.Len(t, left, 1)
	rows, n, err := s.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 10, Resource: models.AuditOfSecurity})
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.Equal(t, models.AuditKeyRevoke, rows[0].Action)
}

// What is of no use any more goes; what may still be asked for stays.
func TestExpireSessions(t *testing.T) {
	s, db := opened(t)
	u := signedIn(t, s, "ada")
	live, revoked, expired := session(t, s, u), session(t, s, u), session(t, s, u)
	first := token("first")
	in := hour(u)
	_, err := s.CreateSession(t.Context(), in, &first, actor(u))
	require.NoError(t, err)
	require.NoError(t, s.RevokeSession(t.Context(), u.ID, revoked.ID, models.SessionRevoked, actor(u)))
	_, err = db.Exec("UPDATE sessions SET expires_at = now() - interval '1 minute' WHERE id = $1 OR id = (SELECT session_id FROM refresh_tokens)", expired.ID)
	require.NoError(t, err)
	require.NoError(t, s.PutLoginState(t.Context(), models.LoginState{StateHash: "s", ExpiresAt: time.Now().Add(-time.Second)}))
	gone, err := s.ExpireSessions(t.Context(), time.Hour)
	require.NoError(t, err)
	require.Equal(t, store.Expired{LoginStates: 1}, gone)
	gone, err = s.ExpireSessions(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, store.Expired{Sessions: 3}, gone)
	require.Zero(t, counted(t, db, "SELECT count(*) FROM refresh_tokens"))
	_, err = s.Session(t.Context(), live.ID)
	require.NoError(t, err)
}
