package main

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// The limits that LiteMaaS operators have in their environment today hold.
func TestLimitAliases(t *testing.T) {
	for _, tc := range []struct {
		env  string // names and values
		key  string
		want string
	}{
		{"", "limits.ip", "300/1m"},
		{"RATE_LIMIT_MAX=250", "limits.ip", "250/1m"},
		{"RATE_LIMIT_TIME_WINDOW=5m", "limits.ip", "100/5m"},
		{"RATE_LIMIT_MAX=1000;RATE_LIMIT_TIME_WINDOW=5m", "limits.ip", "1000/5m"},
		{"RATE_LIMIT_MAX=1000;RATE_LIMIT_TIME_WINDOW=1 minute", "limits.ip", "1000/1m"},
		{"RATE_LIMIT_MAX=1000;RATE_LIMIT_TIME_WINDOW=5 minutes", "limits.ip", "1000/5m"},
		{"RATE_LIMIT_MAX=1000;RATE_LIMIT_TIME_WINDOW=60000", "limits.ip", "1000/1m"},
		{"RATE_LIMIT_MAX=1000;RATE_LIMIT_TIME_WINDOW=90s", "limits.ip", "1000/1m30s"},
		{"RATE_LIMIT_MAX=1000;RATE_LIMIT_TIME_WINDOW=2 hrs", "limits.ip", "1000/2h"},
		{"RATE_LIMIT_MAX=1000;LITEMAAS_LIMITS_IP=5/1s", "limits.ip", "5/1s"},
		{"ADMIN_ANALYTICS_RATE_LIMIT=20", "limits.analytics", "20/1m"},
		{"ADMIN_EXPORT_RATE_LIMIT=7", "limits.export", "7/1m"},
		{"LITEMAAS_LIMITS_TEAM=off", "limits.team", "off"},
	} {
		t.Run(tc.env, func(t *testing.T) {
			clean(t)
			for pair := range strings.SplitSeq(tc.env, ";") {
				if name, value, ok := strings.Cut(pair, "="); ok {
					t.Setenv(name, value)
				}
			}
			c, err := read(t)
			require.NoError(t, err)
			got := map[string]string{
				"limits.ip": c.Limits.IP.String(), "limits.team": c.Limits.Team.String(),
				"limits.analytics": c.Limits.Analytics.String(), "limits.export": c.Limits.Export.String(),
			}
			require.Equal(t, tc.want, got[tc.key])
		})
	}
}

// A limit is switched off by a word, which YAML would like to take for another.
func TestLimitsOff(t *testing.T) {
	clean(t)
	writeFile(t, "litemaas.yaml", "limits:\n  ip: off\n  user: 5/1s\n")
	c, err := read(t)
	require.NoError(t, err)
	require.True(t, c.Limits.IP.IsZero())
	require.Equal(t, "5/1s", c.Limits.User.String())
}

// Limits, proxies and a Redis that make no sense are named.
func TestWrongLimits(t *testing.T) {
	for _, tc := range []struct{ env, want string }{
		{"RATE_LIMIT_MAX=many", `limits.ip is "many" (environment RATE_LIMIT_MAX): it must be a number of requests`},
		{"RATE_LIMIT_TIME_WINDOW=soon", `limits.ip is "soon" (environment RATE_LIMIT_TIME_WINDOW): it must be a length of time such as 1m, 5 minutes or 60000`},
		{"RATE_LIMIT_TIME_WINDOW=2000h", `limits.ip is "100/2000h" (environment RATE_LIMIT_TIME_WINDOW): it must be a number of requests and a time from 1s to 24h`},
		{"RATE_LIMIT_MAX=0", `limits.ip is "0/1m" (environment RATE_LIMIT_MAX): it must be a number of requests and a time`},
		{"ADMIN_EXPORT_RATE_LIMIT=5/1m", `it must be a number of requests in a minute`},
		{"LITEMAAS_LIMITS_USER=100", `limits.user is "100" (environment LITEMAAS_LIMITS_USER): it must be a number of requests and a time from 1s to 24h, such as 300/1m, or off`},
		{"LITEMAAS_API_TRUSTED_PROXIES=10.0.0.0/8, proxy.example.com", `it must be addresses such as 10.1.2.3 or networks such as 10.0.0.0/8`},
		{"LITEMAAS_REDIS_URL=localhost:6379", `redis.url is not good (environment LITEMAAS_REDIS_URL): it must be an address such as redis://`},
	} {
		t.Run(tc.env, func(t *testing.T) {
			clean(t)
			name, value, _ := strings.Cut(tc.env, "=")
			t.Setenv(name, value)
			status, _, errs := cli(t, "config")
			require.Equal(t, exitUsage, status)
			require.Contains(t, errs, tc.want)
		})
	}
}

// Addresses stand for themselves, networks for all in them.
func TestTrustedProxies(t *testing.T) {
	clean(t)
	writeFile(t, "litemaas.yaml", "api:\n  trusted_proxies: [10.0.0.0/8, 192.0.2.1, 'fd00::/8', '::1']\n")
	c, err := read(t)
	require.NoError(t, err)
	var got []string
	for _, p := range c.API.TrustedProxies {
		got = append(got, p.String())
	}
	require.Equal(t, []string{"10.0.0.0/8", "192.0.2.1/32", "fd00::/8", "::1/128"}, got)
	require.True(t, c.API.TrustedProxies[1].Contains(netip.MustParseAddr("192.0.2.1")))
}

// `serve` and `dev` refuse a web UI that is none before they do anything, and serve one that is.
func TestUIDir(t *testing.T) {
	clean(t)
	for _, args := range [][]string{
		{"serve", "--ui-dir", "dist", "--set", "database.url=postgres://h/d"}, {"serve", "--set", "api.ui_dir=dist", "--set", "database.url=postgres://h/d"}, {"dev", "--ui-dir", "dist"},
	} {
		status, out, errs := cli(t, args...)
		require.Equal(t, exitUsage, status, errs)
		require.Empty(t, out)
		require.Contains(t, errs, "api.ui_dir cannot be read: open dist: no such file or directory")
	}
	require.NoError(t, os.Mkdir("dist", 0o755))
	_, _, errs := cli(t, "serve", "--ui-dir", "dist", "--set", "database.url=postgres://h/d")
	require.Contains(t, errs, "api.ui_dir is dist, where no index.html is: build the web UI")

	writeFile(t, filepath.Join("dist", "index.html"), "<p>LiteMaaS</p>")
	p, l := apart(t, "--set", "api.ui_dir="+filepath.Join(working(t), "dist")), listen(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, p, l, false) }()
	res, err := http.Get("http://" + l.Addr().String() + "/any/page")
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, "<p>LiteMaaS</p>", string(body))
	require.Contains(t, res.Header.Get("Content-Security-Policy"), "connect-src 'self' http://127.0.0.1:1;")
	stop()
	require.NoError(t, <-ended)
}

func working(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	return dir
}

// The limits of the configuration hold, in the configured Redis.
func TestServeCountsInRedis(t *testing.T) {
	server := miniredis.RunT(t)
	p, l := apart(t, "--set", "limits.ip=2/1h", "--set", "redis.url=redis://"+server.Addr()), listen(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, p, l, false) }()
	for _, want := range []int{http.StatusOK, http.StatusOK, http.StatusTooManyRequests} {
		res, err := http.Get("http://" + l.Addr().String() + "/api/v1")
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, want, res.StatusCode)
	}
	require.Equal(t, []string{"litemaas:{limits}:ip:127.0.0.1"}, server.Keys())
	stop()
	require.NoError(t, <-ended)
}

// `litemaas doctor` looks at the Redis that is configured, and at none else.
func TestDoctorLooksAtRedis(t *testing.T) {
	clean(t)
	server := miniredis.RunT(t)
	server.RequireAuth("hush")
	for url, want := range map[string]string{
		"":                                  "",
		"redis://:hush@" + server.Addr():    "redis://:***@" + server.Addr() + ", answered in ",
		"redis://:hush-no@" + server.Addr(): "WRONGPASS",
		"redis://:hush@127.0.0.1:1":         "connection refused",
	} {
		findings := checkRedis(t.Context(), config{Redis: redisConfig{models.SecretOf(url)}})
		if url == "" {
			require.Empty(t, findings)
			continue
		}
		require.Len(t, findings, 1)
		said := findings[0].saw
		if findings[0].err != nil {
			said = findings[0].err.Error()
		}
		require.Contains(t, said, want)
		require.NotContains(t, said, "hush")
	}
}
