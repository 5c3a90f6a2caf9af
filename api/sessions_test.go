package api_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// signIn signs somebody in by a browser, and returns the header of the session.
func (s system) signIn(t *testing.T, code string) string {
	t.Helper()
	state, cookie := s.begin(t, "")
	given, err := url.ParseQuery(s.comeBack(t, "code="+code+"&state="+state, cookie).Fragment)
	require.NoError(t, err)
	return "Bearer " + given.Get("token")
}

func (s system) sessions(t *testing.T, who string) []map[string]any {
	t.Helper()
	var out []map[string]any
	require.NoError(t, json.Unmarshal(s.by(t, who, http.MethodGet, "/api/auth/sessions", "").is(http.StatusOK).Body.Bytes(), &out))
	return out
}

// One sees one's sessions with where they are used, and ends one, or all others; what is ended
// is worth nothing at once.
func TestSessions(t *testing.T) { testSessions(t, idle(t)) }

func testSessions(t *testing.T, s system) {
	t.Helper()
	first, second, third := s.signIn(t, "1"), s.signIn(t, "1"), s.signIn(t, "1")
	s.signIn(t, "0") // somebody else's
	all := s.sessions(t, second)
	require.Len(t, all, 3)
	current := 0
	for _, one := range all {
		require.Equal(t, "192.0.2.1", one["ipAddress"])
		require.Equal(t, "Firefox", one["userAgent"])
		require.Equal(t, "mock", one["provider"])
		for _, at := range []string{"createdAt", "lastActivityAt", "expiresAt"} {
			_, err := time.Parse(time.RFC3339, one[at].(string))
			require.NoError(t, err)
		}
		if one["isCurrent"] == true {
			current++
		}
	}
	require.Equal(t, 1, current)

	var other string
	for _, one := range s.sessions(t, first) {
		if one["isCurrent"] == true {
			other = one["sessionId"].(string)
		}
	}
	s.by(t, second, http.MethodDelete, "/api/auth/sessions/"+other, "").is(http.StatusOK)
	s.by(t, first, http.MethodGet, "/api/v1/auth/me", "").is(http.StatusUnauthorized)
	s.by(t, second, http.MethodDelete, "/api/auth/sessions/"+other, "").problem(http.StatusNotFound, "NOT_FOUND")
	require.Equal(t, "sessionId", s.by(t, second, http.MethodDelete, "/api/auth/sessions/x", "").problem(http.StatusBadRequest, "VALIDATION_ERROR"))

	rep := s.by(t, second, http.MethodDelete, "/api/auth/sessions", `{}`).is(http.StatusOK)
	require.EqualValues(t, 1, rep.at("invalidatedSessions"))
	s.by(t, third, http.MethodGet, "/api/v1/auth/me", "").is(http.StatusUnauthorized)
	require.Len(t, s.sessions(t, second), 1)
	require.Len(t, s.entries(t, store.AuditQuery{Action: models.AuditSessionRevoke}), 2)
}

// Replicas remember who people are, and forget it together: what changes at one counts at the
// other within a second.
func TestReplicasForget(t *testing.T) {
	db := storetest.New(t)
	testReplicasForget(t, db, serve(db, &away{}, &away{}), serve(db, &away{}, &away{}))
}

func testReplicasForget(t *testing.T, kept api.People, here, there system) {
	t.Helper()
	for _, s := range []system{here, there} {
		go s.Auth.Run(t.Context())
	}
	who := here.signIn(t, "0")
	may := func() int { return there.by(t, who, http.MethodGet, "/api/v1/users", "").Code }
	require.Eventually(t, func() bool { return may() == http.StatusOK }, 5*time.Second, 10*time.Millisecond)

	ada := here.user(t, "admin@example.com").ID
	here.as(t, "other", admin)
	_, err := here.Store.SetUserRoles(t.Context(), ada, []string{user}, models.System("test"), models.Permissions{models.Everything})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return may() == http.StatusForbidden }, time.Second, 5*time.Millisecond, "an admin who is none any more")
	_, err = kept.RevokeSessions(t.Context(), ada, uuid.Nil, models.SessionRevoked, models.System("test"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return may() == http.StatusUnauthorized }, time.Second, 5*time.Millisecond, "a session that has ended")
}
