package api_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/api/ratelimit"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// limits are small ones that can be told apart.
var limits = api.Limits{
	IP: per(3, time.Minute), APIKey: per(5, time.Minute), User: per(7, time.Minute), Team: per(9, time.Minute),
	Login: per(2, time.Minute), Reveal: per(1, 5*time.Minute), Analytics: per(2, time.Minute), Export: per(1, time.Minute),
}

func per(n int, d time.Duration) ratelimit.Rate { return ratelimit.Rate{Requests: n, Per: d} }

// clock is one that a test sets.
type clock struct{ passed atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1e9, c.passed.Load()) }
func (c *clock) forward(d time.Duration) { c.passed.Add(int64(d)) }

// limited is an API with those limits, counted by a clock.
func limited(t *testing.T, class string) (system, *clock) {
	t.Helper()
	c, s := &clock{}, idle(t)
	s.Config.Limits, s.Config.TrustedProxies = limits, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	s.Counter = ratelimit.NewMemory(c.now)
	return system{s.Server, api.WithRoute(s.Server, class)}, c
}

// lets requires that so many requests pass, and no more; it returns the answer to the next.
func (s system) lets(t *testing.T, n int, path string, header ...string) reply {
	t.Helper()
	for i := range n {
		rep := s.call(t, http.MethodGet, path, "", header...)
		require.NotEqual(t, http.StatusTooManyRequests, rep.Code, "request %d of %d", i+1, n)
	}
	rep := s.call(t, http.MethodGet, path, "", header...)
	require.Equal(t, http.StatusTooManyRequests, rep.Code, rep.Body)
	return rep
}

// A caller whom we know is counted as himself, wherever he is; all others by their address.
func TestWhoIsCounted(t *testing.T) {
	const path = "/api/v1/limited"
	none := []string{"Authorization", ""}
	from := func(ip string) []string { return append([]string{"X-Forwarded-For", ip}, none...) }
	t.Run("strangers by their address", func(t *testing.T) {
		s, _ := limited(t, "")
		s.lets(t, 3, path, from("198.51.100.1")...)
		s.lets(t, 3, path, from("198.51.100.2")...)
		s.lets(t, 0, "/api/v1", from("198.51.100.1")...)
	})
	t.Run("strangers of IPv6 by their network", func(t *testing.T) {
		s, _ := limited(t, "")
		s.lets(t, 3, path, from("2001:db8::1")...)
		s.lets(t, 0, path, from("2001:db8::2:2")...)
		s.lets(t, 3, path, from("2001:db8:0:1::1")...)
	})
	t.Run("who says it wrongly is a stranger", func(t *testing.T) {
		s, _ := limited(t, "")
		for range 3 {
			s.call(t, http.MethodGet, "/api/v1/sync/runs", "", "Authorization", "Bearer ltm_admin_wrong").problem(http.StatusUnauthorized, "UNAUTHORIZED")
		}
		s.call(t, http.MethodGet, "/api/v1/sync/runs", "", "Authorization", "Bearer ltm_admin_wrong").problem(http.StatusTooManyRequests, "RATE_LIMITED")
		s.lets(t, 0, path, none...)
	})
	t.Run("a key wherever it is, and not by its address", func(t *testing.T) {
		s, _ := limited(t, "")
		s.lets(t, 3, path, none...)
		s.lets(t, 5, path)
		s.lets(t, 0, path, "X-Forwarded-For", "198.51.100.9")
		s.lets(t, 5, path, "Authorization", "Bearer ltm_admin_another")
	})
	t.Run("paths that are none", func(t *testing.T) {
		s, _ := limited(t, "")
		s.lets(t, 3, "/api/v1/nothing", none...)
		s.lets(t, 0, path, none...)
	})
	memory := ratelimit.NewMemory((&clock{}).now)
	as := func(c api.Caller) system { return system{nil, api.Counted(limits, memory, c)} }
	t.Run("a person", func(t *testing.T) {
		as(api.Caller{ID: "ada", User: "ada"}).lets(t, 7, "/")
	})
	t.Run("a key and its owner", func(t *testing.T) {
		as(api.Caller{ID: "bob", User: "bob", APIKey: "k1"}).lets(t, 5, "/")
		as(api.Caller{ID: "bob", User: "bob", APIKey: "k2"}).lets(t, 2, "/")
		as(api.Caller{ID: "bob", User: "bob"}).lets(t, 0, "/")
	})
	t.Run("keys of a team", func(t *testing.T) {
		as(api.Caller{ID: "cay", User: "cay", Teams: []string{"t"}, APIKey: "k3"}).lets(t, 5, "/")
		rep := as(api.Caller{ID: "dan", User: "dan", Teams: []string{"s", "t"}, APIKey: "k4"}).lets(t, 4, "/")
		require.Equal(t, `"team";q=9;w=60`, rep.Header().Get("RateLimit-Policy"))
	})
	t.Run("nobody, without limits", func(t *testing.T) {
		for range 50 {
			rep := system{nil, api.Counted(api.Limits{}, memory, api.Caller{})}.get(t, "/").is(http.StatusNoContent)
			require.Empty(t, rep.Header().Get("RateLimit-Limit"))
		}
	})
}

// The members of a team share its limit, wherever else they are; who is in the default team
// only has none to share.
func TestTeamsAreCounted(t *testing.T) {
	at := storetest.URL(t)
	db, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(at), MaxConns: 4})
	require.NoError(t, err)
	defer db.Close()
	s := serve(db, &away{}, &away{})
	headers := map[string]string{}
	for _, name := range []string{"ada", "bob", "cay"} {
		headers[name] = s.as(t, name, user)
	}
	_, err = storetest.SQL(t, at).Exec(`
		WITH team AS (INSERT INTO teams (id, name, litellm_alias) VALUES (gen_random_uuid(), 'Data', 'data') RETURNING id)
		INSERT INTO team_members (team_id, user_id) SELECT team.id, users.id FROM team, users WHERE username IN ('ada', 'bob')`)
	require.NoError(t, err)
	s.Config.Limits = api.Limits{User: per(5, time.Minute), Team: per(7, time.Minute)}
	s.Counter = ratelimit.NewMemory((&clock{}).now)
	s = system{s.Server, s.Handler()}
	s.lets(t, 5, "/api/v1", "Authorization", headers["ada"])
	rep := s.lets(t, 2, "/api/v1", "Authorization", headers["bob"])
	require.Equal(t, `"team";q=7;w=60`, rep.Header().Get("RateLimit-Policy"))
	rep = s.lets(t, 5, "/api/v1", "Authorization", headers["cay"])
	require.Equal(t, `"user";q=5;w=60`, rep.Header().Get("RateLimit-Policy"))
}

// What probes and the web UI need before anything else is not counted.
func TestNotCounted(t *testing.T) {
	s, _ := limited(t, "")
	for _, path := range []string{
		"/api/v1/config", "/api/v1/config/admin-analytics", keyDefaultsPath, "/api/v1/health", "/api/v1/health/live", "/health", "/health/live", "/health/ready", "/health/metrics",
	} {
		for range 10 {
			rep := s.call(t, http.MethodGet, path, "", "Authorization", "").is(http.StatusOK)
			require.Empty(t, rep.Header().Get("RateLimit-Limit"), path)
		}
	}
	for range 10 {
		s.get(t, "/api/v1/health/status").is(http.StatusOK)
	}
}

// An endpoint may have a limit of its own, for each caller, beside those of the caller.
func TestLimitsOfTheirOwn(t *testing.T) {
	for _, tc := range []struct {
		class  string
		lets   int
		code   string
		policy string
	}{
		{"login", 2, "RATE_LIMITED", `"login";q=2;w=60`},
		{"reveal", 1, "KEY_OPERATION_RATE_LIMITED", `"reveal";q=1;w=300`},
		{"analytics", 2, "RATE_LIMITED", `"analytics";q=2;w=60`},
		{"export", 1, "RATE_LIMITED", `"export";q=1;w=60`},
	} {
		t.Run(tc.class, func(t *testing.T) {
			s, _ := limited(t, tc.class)
			rep := s.lets(t, tc.lets, "/api/v1/limited")
			rep.problem(http.StatusTooManyRequests, tc.code)
			require.Equal(t, tc.policy, rep.Header().Get("RateLimit-Policy"))
			s.lets(t, tc.lets, "/api/v1/limited", "Authorization", "Bearer ltm_admin_another")
			s.lets(t, tc.lets, "/api/v1/limited", "Authorization", "")
			require.Equal(t, fmt.Sprint(4-tc.lets), s.get(t, "/api/v1").Header().Get("RateLimit-Remaining"), "what was refused cost nothing")
		})
	}
}

// Every answer that was counted says what is left, by LiteMaaS's names and the IETF's.
func TestLimitHeaders(t *testing.T) {
	s, c := limited(t, "")
	require.Contains(t, s.call(t, http.MethodGet, "/api/v1", "", "Origin", "http://localhost:3000").Header().Get("Access-Control-Expose-Headers"), "Ratelimit-Remaining")
	c.forward(time.Minute)
	for _, want := range []struct {
		passes                  time.Duration
		status                  int
		remaining, reset, after string
	}{
		{0, 200, "2", "20", ""},
		{0, 200, "1", "40", ""},
		{0, 200, "0", "60", ""},
		{0, 429, "0", "60", "20"},
		{12500 * time.Millisecond, 429, "0", "48", "8"},
		{7500 * time.Millisecond, 200, "0", "60", ""},
		{time.Hour, 200, "2", "20", ""},
	} {
		c.forward(want.passes)
		rep := s.call(t, http.MethodGet, "/api/v1", "", "Authorization", "").is(want.status)
		for _, prefix := range []string{"X-RateLimit-", "RateLimit-"} {
			require.Equal(t, "3", rep.Header().Get(prefix+"Limit"))
			require.Equal(t, want.remaining, rep.Header().Get(prefix+"Remaining"))
			require.Equal(t, want.reset, rep.Header().Get(prefix+"Reset"))
		}
		require.Equal(t, `"ip";q=3;w=60`, rep.Header().Get("RateLimit-Policy"))
		require.Equal(t, want.after, rep.Header().Get("Retry-After"))
	}
}

// Too many requests are answered in the one shape, with what LiteMaaS's web UI looks for.
func TestTooManyRequests(t *testing.T) {
	s, c := limited(t, "")
	s.lets(t, 3, "/api/v1", "Authorization", "")
	c.forward(500 * time.Millisecond)
	rep := s.call(t, http.MethodGet, "/api/v1", "", "Authorization", "")
	rep.problem(http.StatusTooManyRequests, "RATE_LIMITED")
	require.Equal(t, "Too many requests. Limit: 3 per 1m", rep.at("message"))
	require.Equal(t, map[string]any{
		"limit": 3.0, "timeWindow": "1m", "remaining": 19500.0, "retryAfter": 20.0, "suggestion": "Please wait 20 seconds before trying again",
	}, rep.at("details"))
	require.Equal(t, map[string]any{"retryable": true, "retryAfter": 20.0}, rep.at("error.retry"))
}

// Replicas that share a Redis share the limits.
func TestReplicasShareLimits(t *testing.T) {
	options := &redis.Options{}
	if url := os.Getenv("TEST_REDIS_URL"); url != "" {
		var err error
		options, err = redis.ParseURL(url)
		require.NoError(t, err)
	} else {
		options.Addr = miniredis.RunT(t).Addr()
	}
	client := redis.NewClient(options)
	defer client.Close()
	who := api.Caller{ID: uuid.NewString()}
	who.User = who.ID
	replica := func() system { return system{nil, api.Counted(limits, ratelimit.NewRedis(client, time.Now), who)} }
	one, two := replica(), replica()
	for range 3 {
		one.get(t, "/").is(http.StatusNoContent)
		two.get(t, "/").is(http.StatusNoContent)
	}
	require.Equal(t, "0", one.get(t, "/").is(http.StatusNoContent).Header().Get("RateLimit-Remaining"))
	two.get(t, "/").is(http.StatusTooManyRequests)
	one.get(t, "/").is(http.StatusTooManyRequests)
}
