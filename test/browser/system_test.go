//go:build browser

package browser_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/temporal/temporaltest"
	"github.com/litemaas/litemaas/test/internal/program"
)

// binary is the built program.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "litemaas-browser-")
	if err == nil {
		binary = filepath.Join(dir, "litemaas")
		build := exec.Command("go", "build", "-o", binary, "github.com/litemaas/litemaas/cmd/litemaas")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		err = build.Run()
	}
	status := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		status = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// patience bounds what a test waits for.
const patience = 30 * time.Second

// system is the program twice behind one address, as round robin has it, with a web UI and
// everything else that it needs.
type system struct {
	url      string
	replicas [2]string // their own addresses
	db       *sql.DB
	settings []string

	mu    sync.Mutex
	calls int
	by    map[string]int    // the replica that answered a path, the last time
	asked map[string]string // the address that was asked for, the last time
}

func start(t *testing.T) *system {
	t.Helper()
	database, temporal := storetest.URL(t), temporaltest.Config(t)
	proxy, err := litellmtest.NewProxy(litellmtest.Options{})
	require.NoError(t, err)
	litellm := httptest.NewServer(proxy)
	t.Cleanup(litellm.Close)
	s := &system{db: storetest.SQL(t, database), by: map[string]int{}, asked: map[string]string{}}
	s.serve(t)
	keyset, err := exec.Command(binary, "keyset", "new").Output()
	require.NoError(t, err)
	s.settings = append(os.Environ(),
		"DATABASE_URL="+database, "TEMPORAL_ADDRESS="+temporal.Address, "TEMPORAL_NAMESPACE="+temporal.Namespace,
		"LITELLM_API_URL="+litellm.URL, "LITELLM_API_KEY="+litellmtest.MasterKey,
		"AUTH_PROVIDER=oidc", "OAUTH_ISSUER="+variable(t, "OIDC_ISSUER"), "OAUTH_CLIENT_ID="+variable(t, "OIDC_CLIENT_ID"),
		"OAUTH_CLIENT_SECRET="+variable(t, "OIDC_CLIENT_SECRET"), "OAUTH_CALLBACK_URL="+s.url+"/api/auth/callback",
		"LITEMAAS_SECRETS_KEYSET="+string(bytes.TrimSpace(keyset)), "LITEMAAS_API_TRUSTED_PROXIES=127.0.0.1", "LOG_LEVEL=debug")
	for i := range s.replicas {
		s.replicas[i] = s.replica(t)
	}
	require.Eventually(t, func() bool {
		return s.count(t, "SELECT count(*) FROM models") > 0
	}, patience, 50*time.Millisecond, "the first sync")
	return s
}

// variable is one that says where the Keycloak is.
func variable(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	require.NotEmpty(t, value, "%s is not set: run this through `make browser`", name)
	return value
}

// replica starts the program and returns where it listens. In the end it must have told its log
// no secret.
func (s *system) replica(t *testing.T) string {
	t.Helper()
	secrets := []string{"eyJ", os.Getenv("OIDC_CLIENT_SECRET"), litellmtest.MasterKey}
	return program.Serve(t, binary, s.settings, "127.0.0.1:0", func() []string { return secrets }, "--ui-dir", filepath.Join(testdata(t), "ui"))
}

func testdata(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("testdata")
	require.NoError(t, err)
	return dir
}

// serve puts an address before the replicas. A sign-in begins at the first and comes back to
// the second; all else goes to them by turns.
func (s *system) serve(t *testing.T) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	web := &httptest.Server{Listener: l, Config: &http.Server{Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			to, err := url.Parse(s.replicas[s.pick(r.In.URL)])
			if err == nil {
				r.SetURL(to)
			}
			r.SetXForwarded()
		},
	}}}
	web.Start()
	t.Cleanup(web.Close)
	s.url = fmt.Sprintf("http://localhost:%d", l.Addr().(*net.TCPAddr).Port)
}

func (s *system) pick(asked *url.URL) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	to := s.calls % 2
	switch asked.Path {
	case "/api/auth/login":
		to = 0
	case "/api/auth/callback":
		to = 1
	}
	s.by[asked.Path], s.asked[asked.Path] = to, asked.String()
	return to
}

// last is which replica answered a path the last time, and what was asked of it.
func (s *system) last(path string) (replica int, asked string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	replica, ok := s.by[path]
	if !ok {
		replica = -1
	}
	return replica, s.asked[path]
}

// status is the answer to a GET with a token.
func (s *system) status(t *testing.T, at, path, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at+path, http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

// refresh uses a refresh token, and returns the next one.
func (s *system) refresh(t *testing.T, token string) (status int, next string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"refreshToken": token})
	require.NoError(t, err)
	res, err := http.Post(s.url+"/api/auth/refresh", "application/json", bytes.NewReader(body))
	require.NoError(t, err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	var out struct{ RefreshToken string }
	require.NoError(t, json.Unmarshal(raw, &out), "%s", raw)
	return res.StatusCode, out.RefreshToken
}

func (s *system) count(t *testing.T, query string) (n int) {
	t.Helper()
	require.NoError(t, s.db.QueryRowContext(t.Context(), query).Scan(&n))
	return n
}
