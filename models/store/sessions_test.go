package store_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/sessiontest"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// Sessions in Postgres are what sessions are.
func TestSessions(t *testing.T) {
	sessiontest.Run(t, func(t *testing.T) sessiontest.Kept {
		s, db := opened(t)
		return sessiontest.Kept{Store: s, Pass: func(d time.Duration) {
			for _, at := range []string{"sessions SET expires_at = expires_at", "refresh_tokens SET expires_at = expires_at", "refresh_tokens SET used_at = used_at"} {
				_, err := db.Exec("UPDATE "+at+" - make_interval(secs => $1)", d.Seconds())
				require.NoError(t, err)
			}
		}}
	})
}

// Twenty sessions at once leave the newest.
func TestSessionsAtOnce(t *testing.T) {
	s, db := opened(t)
	u := signedIn(t, s, "ada")
	for _, err := range atOnce(20, func(int) error {
		_, err := s.CreateSession(t.Context(), hour(u), nil, actor(u))
		return err
	}) {
		require.NoError(t, err)
	}
	require.Equal(t, 10, counted(t, db, "SELECT count(*) FROM sessions WHERE revoked_why = 'displaced'"))
	require.Zero(t, counted(t, db, `SELECT count(*) FROM sessions live, sessions gone
		WHERE live.revoked_at IS NULL AND gone.revoked_at IS NOT NULL AND gone.created_at > live.created_at`))
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
