//go:build deploy

package deploy_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const masterKey = "sk-the-master-key-of-this-test"

// A real LiteLLM with our example asks LiteMaaS about each key, and does as it is told.
func TestLiteLLMExample(t *testing.T) {
	s := start(t)
	llm := startLiteLLM(t, s.url)
	const chat = "/v1/chat/completions"
	gpt, o3 := `{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}`, `{"model": "o3", "messages": [{"role": "user", "content": "Hello"}]}`
	requires := func(what string, want int, said string, key, body string) {
		t.Helper()
		status, answer := call(t, http.MethodPost, llm+chat, key, body)
		require.Equal(t, want, status, "%s: %s", what, answer)
		require.Contains(t, answer, said, what)
		require.NotContains(t, answer, s.sk, what)
	}
	requires("a key", http.StatusOK, "Hello.", s.sk, gpt)
	requires("a model that he is not subscribed to", http.StatusForbidden, "model_not_subscribed", s.sk, o3)
	requires("a wrong key", http.StatusUnauthorized, "key_unknown", s.sk+"x", gpt)
	requires("no model", http.StatusBadRequest, "model", s.sk, `{"model": 5, "messages": []}`)
	requires("the master key", http.StatusOK, "Hello.", masterKey, o3)
	status, list := call(t, http.MethodGet, llm+"/v1/models", s.sk, "")
	require.Equal(t, http.StatusOK, status, list)
	require.Contains(t, list, "gpt-4o")

	s.exec(t, "UPDATE api_keys SET rpm_limit = 0")
	time.Sleep(time.Second) // by then it is heard
	requires("too many", http.StatusTooManyRequests, "rate_limited", s.sk, gpt)
	s.exec(t, "UPDATE api_keys SET rpm_limit = NULL")
	time.Sleep(time.Second)
	requires("again", http.StatusOK, "Hello.", s.sk, gpt)
	s.exec(t, "UPDATE api_keys SET revoked_at = now(), generation = generation + 1")
	time.Sleep(time.Second)
	requires("revoked a second ago", http.StatusUnauthorized, "key_revoked", s.sk, gpt)
}

// startLiteLLM runs the example beside LiteMaaS at url, and returns where it listens. PYTHON is a
// Python with litellm[proxy]; python3, if it is not set.
func startLiteLLM(t *testing.T, url string) string {
	t.Helper()
	python := os.Getenv("PYTHON")
	if python == "" {
		python = "python3"
	}
	example, err := filepath.Abs("../../deploy/litellm")
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), python, "-c", "import litellm.proxy.proxy_cli").CombinedOutput()
	require.NoError(t, err, "PYTHON must be a Python with litellm[proxy]: %s", out)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	require.NoError(t, l.Close())

	var log buffer
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, python, "-c", "from litellm import run_server; run_server()",
		"--config", filepath.Join(example, "config.yaml"), "--host", "127.0.0.1", "--port", port)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "PYTHONPATH=" + example, "PYTHONDONTWRITEBYTECODE=1",
		"LITELLM_LOCAL_MODEL_COST_MAP=True", "LITELLM_MASTER_KEY=" + masterKey, "LITEMAAS_URL=" + url, "LITEMAAS_GATEWAY_SECRET=" + gatewaySecret,
	}
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait() // it was stopped
	})
	at := "http://127.0.0.1:" + port
	require.Eventually(t, func() bool {
		res, err := http.Get(at + "/health/liveliness")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	}, 3*time.Minute, 200*time.Millisecond, "LiteLLM does not come up")
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return at
}

// buffer is one that may be written and read at once.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func call(t *testing.T, method, url, key, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(answer)
}
