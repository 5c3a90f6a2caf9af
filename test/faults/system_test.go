// Package faults kills the built program, and what it works with, in the middle of the work, and
// looks what is left.
package faults_test

import (
	"database/sql"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/temporal/temporaltest"
)

// patience bounds what a test waits for; a killed worker is noticed after 10 s.
const patience = 90 * time.Second

// system is real servers and a LiteLLM in memory; API and workers are processes of the built
// program.
type system struct {
	store    *store.Store
	proxy    *litellmtest.Proxy
	client   client.Client
	db       *sql.DB
	binary   string
	settings []string
	logs     string // the directory where each command writes what it says
}

// start is a system of which only workers will be killed.
func start(t *testing.T) *system {
	t.Helper()
	proxy := newProxy(t)
	web := httptest.NewServer(proxy)
	t.Cleanup(web.Close)
	return assemble(t, storetest.URL(t), proxy, web.URL)
}

func newProxy(t *testing.T) *litellmtest.Proxy {
	t.Helper()
	proxy, err := litellmtest.NewProxy(litellmtest.Options{})
	require.NoError(t, err)
	return proxy
}

// assemble is a system with that database, and a LiteLLM that is served at an address.
func assemble(t *testing.T, database string, proxy *litellmtest.Proxy, address string) *system {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "litemaas")
	out, err := exec.Command("go", "build", "-o", binary, "github.com/litemaas/litemaas/cmd/litemaas").CombinedOutput()
	require.NoError(t, err, string(out))
	cfg := temporaltest.Config(t)
	st, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(database), MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(st.Close)
	return &system{
		store: st, proxy: proxy, client: temporaltest.Dial(t, cfg), db: storetest.SQL(t, database), binary: binary, logs: t.TempDir(),
		settings: append(os.Environ(),
			"DATABASE_URL="+database, "TEMPORAL_ADDRESS="+cfg.Address, "TEMPORAL_NAMESPACE="+cfg.Namespace,
			"LITELLM_API_URL="+address, "LITELLM_API_KEY="+litellmtest.MasterKey, "LITELLM_AUTO_SYNC=false"),
	}
}

// worker starts a worker and returns what kills it as kill -9 does; the test's end does, too.
func (s *system) worker(t *testing.T) (kill func()) {
	t.Helper()
	return s.process(t, "worker")
}

// process starts the program, and returns what kills it as kill -9 does; the test's end does, too.
func (s *system) process(t *testing.T, args ...string) (kill func()) {
	t.Helper()
	log, err := os.OpenFile(s.log(args[0]), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer log.Close()
	cmd := exec.Command(s.binary, args...)
	cmd.Env, cmd.Dir, cmd.Stderr = s.settings, t.TempDir(), log
	require.NoError(t, cmd.Start())
	kill = func() {
		_ = cmd.Process.Kill() // it may be dead already
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	return kill
}

// log is the file in which all processes of a command have written.
func (s *system) log(command string) string { return filepath.Join(s.logs, command+".log") }

func (s *system) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	_, err := s.db.ExecContext(t.Context(), query, args...)
	require.NoError(t, err)
}

func (s *system) count(t *testing.T, query string) (n int) {
	t.Helper()
	require.NoError(t, s.db.QueryRowContext(t.Context(), query).Scan(&n))
	return n
}
