package main

import (
	"context"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

// apart is the parts of a configuration that points at nothing: no server answers.
func apart(t *testing.T, args ...string) *parts {
	t.Helper()
	clean(t)
	cfg, err := read(t, append(args, "--set", "database.url=postgres://ada:hush@127.0.0.1:1/d", "--set", "temporal.address=127.0.0.1:1", "--set", "litellm.url=http://127.0.0.1:1")...)
	require.NoError(t, err)
	p, err := assemble(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(p.close)
	return p
}

// While Postgres, Temporal and LiteLLM are away, the API answers what it can and the worker
// waits; both end when they are told to, which is no failure.
func TestServeWithNothingAround(t *testing.T) {
	p, l := apart(t), listen(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, p, l, true) }()
	res, err := http.Get("http://" + l.Addr().String() + "/api/v1/config")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusOK, res.StatusCode)
	stop()
	require.NoError(t, <-ended)
}

// A worker that waits ends when it is told to, which is no failure.
func TestWorkerEndsWhileItWaits(t *testing.T) {
	p := apart(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	require.NoError(t, work(ctx, p))
}

// What no waiting mends is not waited for.
func TestPatience(t *testing.T) {
	calls := 0
	err := patiently(t.Context(), "waiting", func(context.Context) error {
		calls++
		return models.Errorf(models.Invalid, "wrong for good")
	})
	require.ErrorContains(t, err, "wrong for good")
	require.Equal(t, 1, calls)
}

// `litemaas doctor` looks at everything, and says of each thing that is wrong what to do.
func TestDoctorWithNothingAround(t *testing.T) {
	clean(t)
	t.Setenv("LITEMAAS_LITELM_URL", "x")
	status, out, errs := cli(t, "doctor", "--set", "database.url=postgres://ada:hush@127.0.0.1:1/d",
		"--set", "temporal.address=127.0.0.1:1", "--set", "litellm.url=http://127.0.0.1:1")
	require.Equal(t, exitFailed, status)
	for _, want := range []string{
		"FAIL  admin keys", "set api.admin_keys (ADMIN_API_KEYS)", "did you mean LITEMAAS_LITELLM_URL?",
		"FAIL  postgres", "FAIL  temporal", "FAIL  litellm", "`litemaas dev` brings a server along",
	} {
		require.Contains(t, out, want)
	}
	require.Contains(t, errs, "litemaas: 5 checks failed; each line above says what to do")
	require.NotContains(t, out+errs, "hush")
}
