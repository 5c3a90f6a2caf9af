package main

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/temporal/temporaltest"
)

// Who wants sessions in Redis has to say which.
func TestSessionsNeedARedis(t *testing.T) {
	for _, tc := range []struct {
		set  []string
		want string
	}{
		{[]string{"sessions.store=redis"}, "redis.url is not set, where sessions are to be kept: sessions.store is redis (flag --set)"},
		{[]string{"sessions.store=memory"}, `sessions.store is "memory" (flag --set): it must be postgres or redis`},
	} {
		for _, command := range []string{"serve", "worker", "token", "doctor", "dev"} {
			clean(t)
			args := []string{command, "--set", "database.url=postgres://h/d"}
			for _, set := range tc.set {
				args = append(args, "--set", set)
			}
			status, _, errs := cli(t, args...)
			require.Equal(t, exitUsage, status)
			require.Contains(t, errs, tc.want)
		}
	}
}

// An operator's token is good where sessions are in Redis, too, and ends with its session there.
func TestTokenInRedis(t *testing.T) {
	clean(t)
	url, server := storetest.URL(t), miniredis.RunT(t)
	writeFile(t, "keyset.json", newKeyset(t))
	set := []string{"--set", "database.url=" + url, "--set", "secrets.keyset_file=keyset.json", "--set", "sessions.store=redis", "--set", "redis.url=redis://" + server.Addr()}
	status, out, errs := cli(t, append([]string{"token", "--user", "ada", "--role", "user"}, set...)...)
	require.Zero(t, status, errs)

	cfg, err := read(t, append(set, "--set", "temporal.address=127.0.0.1:1", "--set", "litellm.url=http://127.0.0.1:1")...)
	require.NoError(t, err)
	p, err := assemble(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(p.close)
	l := listen(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, p, l, false) }()
	call := func(method, path string) int {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+l.Addr().String()+path, http.NoBody)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(out))
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.StatusCode
	}
	require.Equal(t, http.StatusOK, call(http.MethodGet, "/api/v1/auth/me"))
	require.Equal(t, http.StatusOK, call(http.MethodPost, "/api/auth/logout"))
	require.Eventually(t, func() bool { return call(http.MethodGet, "/api/v1/auth/me") == http.StatusUnauthorized }, time.Second, 5*time.Millisecond)
	stop()
	require.NoError(t, <-ended)

	rows, _, err := p.store.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 10, Action: models.AuditSessionCreate})
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Equal(t, "cli", rows[0].Via)
	var kept int
	require.NoError(t, storetest.SQL(t, url).QueryRow("SELECT count(*) FROM sessions").Scan(&kept))
	require.Zero(t, kept)
	server.Close()
	status, _, errs = cli(t, append([]string{"token", "--user", "ada"}, set...)...)
	require.Equal(t, exitFailed, status)
	require.Contains(t, errs, "the Redis that keeps the sessions does not answer")
}

// `litemaas doctor` says what Redis is for.
func TestDoctorLooksAtSessions(t *testing.T) {
	server := miniredis.RunT(t)
	url := models.SecretOf("redis://" + server.Addr())
	check := func(keep string) finding {
		return checkRedis(t.Context(), config{Redis: redisConfig{url}, Sessions: sessionsConfig{keep}})[0]
	}
	require.Contains(t, check("redis").saw, "keeps the sessions")
	require.NotContains(t, check("postgres").saw, "sessions")
	server.Close()
	require.Error(t, check("redis").err)
	require.Contains(t, check("redis").hint, "nobody can sign in")
	require.NotContains(t, check("postgres").hint, "sign in")
}

// What a key sealed in Redis counts, too: it is not called idle while that is there, the rotation seals
// it anew, and a worker that does not look there is not believed.
func TestResealInRedis(t *testing.T) {
	temporal, server := temporaltest.Config(t), miniredis.RunT(t)
	v := newVault(t, "temporal.address="+temporal.Address, "temporal.namespace="+temporal.Namespace, "redis.url=redis://"+server.Addr(), "sessions.store=redis")
	id := uuid.NewString()
	row := "litemaas:{sessions}:session:" + id
	sealed, err := v.sealer(t).Seal([]byte("hush"), []byte("sessions/"+id))
	require.NoError(t, err)
	server.HSet(row, "provider_tokens", string(sealed))
	for range 2 {
		status, _, errs := v.keyset(t, "rotate")
		require.Zero(t, status, errs)
	}
	keys := v.sealer(t).Keys()
	status, out, errs := v.keyset(t, "status")
	require.Zero(t, status, errs)
	require.Contains(t, out, "redis.provider_tokens\n")
	require.Regexp(t, `(?m)^`+keys[1].Name+` +opens( +0){4} +1$`, out)
	require.NotContains(t, out, "have sealed nothing")

	elsewhere := v
	elsewhere.set = append(slices.Clone(v.set), "--set", "sessions.store=postgres")
	stop := elsewhere.works(t)
	status, _, errs = v.keyset(t, "rotate")
	stop()
	require.Equal(t, exitFailed, status)
	require.Contains(t, errs, "the worker knows nothing of redis.provider_tokens: give all replicas the same sessions.store")

	defer v.works(t)()
	status, out, errs = v.keyset(t, "rotate")
	require.Zero(t, status, errs)
	require.Regexp(t, `redis\.provider_tokens +1 +1 +0 +0\n`, out)
	require.Contains(t, out, "Step 3 of 3")
	require.Equal(t, string(keys[0].Mark), server.HGet(row, "provider_tokens")[:5])
	plain, err := v.sealer(t).Open([]byte(server.HGet(row, "provider_tokens")), []byte("sessions/"+id))
	require.NoError(t, err)
	require.Equal(t, "hush", string(plain))
	status, out, _ = v.keyset(t, "status")
	require.Zero(t, status)
	require.Contains(t, out, "The keys that only open have sealed nothing: litemaas keyset narrow")
}
