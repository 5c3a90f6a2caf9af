package redissessions_test

import (
	"database/sql"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api/auth/redissessions"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/sessiontest"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// kept is sessions in a Redis, with what lies below.
type kept struct {
	sessiontest.Kept
	client *redis.Client
	db     *sql.DB
}

// open returns fresh sessions in the Redis with those options. pass lets time pass there.
func open(t *testing.T, o *redis.Options, pass func(*redis.Client, time.Duration)) kept {
	t.Helper()
	url := storetest.URL(t)
	st, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(url), MaxConns: 8})
	require.NoError(t, err)
	t.Cleanup(st.Close)
	o.ContextTimeoutEnabled = true
	client := redis.NewClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return kept{
		sessiontest.Kept{Store: redissessions.New(st, client), Pass: func(d time.Duration) { pass(client, d) }}, client, storetest.SQL(t, url),
	}
}

// keys are those of ours in a Redis that begin so.
func keys(t *testing.T, c *redis.Client, prefix string) []string {
	t.Helper()
	found, err := c.Keys(t.Context(), prefix+"*").Result()
	require.NoError(t, err)
	return found
}

// usedEarlier puts off when refresh tokens were used.
func usedEarlier(t *testing.T, c *redis.Client, d time.Duration) {
	t.Helper()
	for _, key := range keys(t, c, redissessions.RefreshPrefix) {
		used, err := c.HExists(t.Context(), key, "used_at").Result()
		require.NoError(t, err)
		if used {
			require.NoError(t, c.HIncrBy(t.Context(), key, "used_at", -d.Microseconds()).Err())
		}
	}
}

// inMemory is a Redis in this process.
func inMemory(t *testing.T) (kept, *miniredis.Miniredis) {
	t.Helper()
	server := miniredis.RunT(t)
	return open(t, &redis.Options{Addr: server.Addr()}, func(c *redis.Client, d time.Duration) {
		usedEarlier(t, c, d)
		server.FastForward(d)
	}), server
}

// elsewhere is the Redis at that address, in which nobody can set the clock: so what we have there
// gets older.
func elsewhere(t *testing.T, url string) kept {
	t.Helper()
	o, err := redis.ParseURL(url)
	require.NoError(t, err)
	return open(t, o, func(c *redis.Client, d time.Duration) {
		usedEarlier(t, c, d)
		for _, key := range keys(t, c, redissessions.Prefix) {
			left, err := c.PTTL(t.Context(), key).Result()
			require.NoError(t, err)
			require.NoError(t, c.PExpire(t.Context(), key, left-d).Err())
		}
	})
}

// Sessions in Redis are what sessions are: in one in this process, and in the one at
// TEST_REDIS_URL.
func TestSessions(t *testing.T) {
	t.Run("in memory", func(t *testing.T) {
		sessiontest.Run(t, func(t *testing.T) sessiontest.Kept {
			k, _ := inMemory(t)
			return k.Kept
		})
	})
	if url := os.Getenv("TEST_REDIS_URL"); url != "" {
		t.Run("real", func(t *testing.T) {
			sessiontest.Run(t, func(t *testing.T) sessiontest.Kept { return elsewhere(t, url).Kept })
		})
	}
}

func (k kept) user(t *testing.T, name string) models.User {
	t.Helper()
	u, err := k.SignIn(t.Context(), models.Identity{Provider: "oidc", Subject: name, Username: name}, models.Initials{}, models.Origin{})
	require.NoError(t, err)
	return u
}

// Redis holds no refresh token, and nothing for good: everything goes when its time is over. The
// database holds no session.
func TestWhatRedisHolds(t *testing.T) {
	k, server := inMemory(t)
	u, plain := k.user(t, "ada"), models.SecretOf("a refresh token")
	first := models.RefreshToken{Hash: plain.Hash(), ExpiresAt: time.Now().Add(2 * time.Hour)}
	k.Begin(t, u, &first)
	second := sessiontest.Token(3 * time.Hour)
	_, _, err := k.RotateRefreshToken(t.Context(), first.Hash, second, models.Origin{})
	require.NoError(t, err)
	require.True(t, server.Del(redissessions.RefreshPrefix+first.Hash), "by an operator, say")
	require.NoError(t, k.rotate(t, second))
	for range models.MaxSessions {
		k.Begin(t, u, nil)
	}
	_, err = k.RevokeSessions(t.Context(), u.ID, uuid.Nil, models.SessionRevoked, sessiontest.Actor(u))
	require.NoError(t, err)
	k.Begin(t, u, nil)
	expired := sessiontest.Hour(u)
	expired.ExpiresAt = time.Now().Add(-time.Second)
	_, err = k.CreateSession(t.Context(), expired, nil, sessiontest.Actor(u))
	require.NoError(t, err)

	require.Len(t, server.Keys(), 15, "twelve sessions, two tokens, one list")
	require.NotContains(t, server.Dump(), plain.Reveal())
	for _, key := range server.Keys() {
		require.True(t, strings.HasPrefix(key, redissessions.Prefix), key)
		require.Positive(t, server.TTL(key), key)
	}
	server.FastForward(3 * time.Hour)
	require.Empty(t, server.Keys())
	var n int
	require.NoError(t, k.db.QueryRow("SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM refresh_tokens)").Scan(&n))
	require.Zero(t, n)
}

// While Redis is away nobody is taken for a stranger: all is Unavailable, and says what to do. It
// loses what it kept: who had a session has none.
func TestRedisIsAway(t *testing.T) {
	k, server := inMemory(t)
	u, token := k.user(t, "ada"), sessiontest.Token(time.Hour)
	in := k.Begin(t, u, &token)
	server.SetError("LOADING Redis is loading the dataset in memory")
	for name, do := range map[string]func() error{
		"CreateSession": func() error {
			_, err := k.CreateSession(t.Context(), sessiontest.Hour(u), nil, sessiontest.Actor(u))
			return err
		},
		"Session":            func() error { _, err := k.Session(t.Context(), in.ID); return err },
		"Sessions":           func() error { _, err := k.Sessions(t.Context(), u.ID); return err },
		"SetProviderTokens":  func() error { return k.SetProviderTokens(t.Context(), in.ID, nil) },
		"TouchSessions":      func() error { return k.TouchSessions(t.Context(), []models.SessionSeen{{ID: in.ID, At: time.Now()}}) },
		"Principal":          func() error { _, err := k.Principal(t.Context(), in.ID); return err },
		"RotateRefreshToken": func() error { return k.rotate(t, token) },
		"RevokeSession": func() error {
			return k.RevokeSession(t.Context(), u.ID, in.ID, models.SessionRevoked, sessiontest.Actor(u))
		},
		"RevokeSessions": func() error {
			_, err := k.RevokeSessions(t.Context(), u.ID, uuid.Nil, models.SessionRevoked, sessiontest.Actor(u))
			return err
		},
	} {
		err := do()
		sessiontest.Refused(t, models.Unavailable, err)
		require.ErrorContains(t, err, "try again in a moment", name)
	}
	server.SetError("")
	_, err := k.Principal(t.Context(), in.ID)
	require.NoError(t, err)

	server.FlushAll()
	_, err = k.Principal(t.Context(), in.ID)
	sessiontest.Refused(t, models.Unauthenticated, err)
	sessiontest.Refused(t, models.Unauthenticated, k.rotate(t, token))
	k.Begin(t, u, nil)
}

func (k kept) rotate(t *testing.T, token models.RefreshToken) error {
	t.Helper()
	_, _, err := k.RotateRefreshToken(t.Context(), token.Hash, sessiontest.Token(time.Hour), models.Origin{})
	return err
}
