package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api/auth/redissessions"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// inRedis is an API with its sessions in a Redis, and a second replica.
func inRedis(t *testing.T) (here, there system, kept *redissessions.Sessions, server *miniredis.Miniredis) {
	t.Helper()
	server = miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true, DialerRetries: 1})
	t.Cleanup(func() { _ = client.Close() })
	db := storetest.New(t)
	kept = redissessions.New(db, client)
	return servePeople(db, kept, &away{}, &away{}), servePeople(db, kept, &away{}, &away{}), kept, server
}

// Signing in, listing and ending sessions, refreshing and signing out are what they are, when
// sessions are in Redis.
func TestSessionsInRedis(t *testing.T) {
	for name, test := range map[string]func(*testing.T, system){"sessions": testSessions, "refresh": testRefresh, "logout": testLogout} {
		t.Run(name, func(t *testing.T) {
			s, _, _, _ := inRedis(t)
			test(t, s)
		})
	}
	t.Run("replicas", func(t *testing.T) {
		here, there, kept, _ := inRedis(t)
		testReplicasForget(t, kept, here, there)
	})
}

// A browser signs in at one replica, is known at the other, ends its other session and signs out.
func TestJourneyInRedis(t *testing.T) {
	here, there, _, server := inRedis(t)
	first, second := here.signIn(t, "1"), there.signIn(t, "1")
	for _, s := range []system{here, there} {
		for _, who := range []string{first, second} {
			require.Equal(t, "user@example.com", s.by(t, who, http.MethodGet, "/api/v1/auth/me", "").is(http.StatusOK).at("username"))
			require.Len(t, s.sessions(t, who), 2)
		}
	}
	require.EqualValues(t, 1, here.by(t, first, http.MethodDelete, "/api/auth/sessions", "").is(http.StatusOK).at("invalidatedSessions"))
	there.by(t, second, http.MethodGet, "/api/v1/auth/me", "").problem(http.StatusUnauthorized, "UNAUTHORIZED")
	there.by(t, first, http.MethodPost, "/api/auth/logout", "{}").is(http.StatusOK)
	here.by(t, first, http.MethodGet, "/api/v1/auth/me", "").problem(http.StatusUnauthorized, "UNAUTHORIZED")

	third := here.signIn(t, "1")
	_, err := here.Store.DeactivateUser(t.Context(), here.user(t, "user@example.com").ID, models.HoldAdmin, "", models.System("test"))
	require.NoError(t, err)
	there.by(t, third, http.MethodGet, "/api/v1/auth/me", "").problem(http.StatusUnauthorized, "UNAUTHORIZED")
	_, err = here.Store.ReinstateUser(t.Context(), here.user(t, "user@example.com").ID, models.HoldAdmin, "", models.System("test"))
	require.NoError(t, err)
	there.by(t, third, http.MethodGet, "/api/v1/auth/me", "").problem(http.StatusUnauthorized, "UNAUTHORIZED")
	fourth := here.signIn(t, "1")
	there.by(t, fourth, http.MethodGet, "/api/v1/auth/me", "").is(http.StatusOK)
	server.FastForward(25 * time.Hour)
	there.by(t, fourth, http.MethodGet, "/api/v1/auth/me", "").problem(http.StatusUnauthorized, "UNAUTHORIZED")
}

// While Redis is away, who is remembered goes on, and who is not is told to try again: not that he
// is nobody, or the web UI would sign him out.
func TestRedisOfSessionsIsAway(t *testing.T) {
	s, _, _, server := inRedis(t)
	known, other := s.signIn(t, "1"), s.signIn(t, "0")
	go s.Auth.Run(t.Context())
	me := func(who string) reply { return s.by(t, who, http.MethodGet, "/api/v1/auth/me", "") }
	require.Eventually(t, func() bool { // a busy machine may forget, where nobody told that all is as it was
		me(known)
		before := server.CommandCount()
		if me(known).Code != http.StatusOK || server.CommandCount() != before {
			return false
		}
		server.Close()
		remembered := me(known).Code == http.StatusOK
		if !remembered {
			require.NoError(t, server.Restart())
		}
		return remembered
	}, 30*time.Second, 10*time.Millisecond)
	me(other).problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
	rep := me(other)
	require.Contains(t, rep.at("message"), "try again in a moment")
	require.NotEmpty(t, rep.Header().Get("Retry-After"))
	s.by(t, known, http.MethodGet, "/api/auth/sessions", "").problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
	s.by(t, known, http.MethodPost, "/api/auth/logout", "").problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
	s.by(t, "", http.MethodPost, "/api/auth/validate", `{"token": "`+other[len("Bearer "):]+`"}`).problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
	s.call(t, http.MethodGet, "/api/v1/sync/runs", "").is(http.StatusOK) // an admin key has no session
	state, cookie := s.begin(t, "")
	require.Equal(t, "unavailable", s.comeBack(t, "code=1&state="+state, cookie).Query().Get("reason"))

	require.NoError(t, server.Restart())
	require.Eventually(t, func() bool { return me(other).Code == http.StatusOK }, 5*time.Second, 10*time.Millisecond)
	third := s.signIn(t, "0")
	server.FlushAll()
	me(third).problem(http.StatusUnauthorized, "UNAUTHORIZED")
	me(s.signIn(t, "0")).is(http.StatusOK)
}
