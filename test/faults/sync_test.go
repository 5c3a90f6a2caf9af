// Package faults kills the built program in the middle of its work, and looks what is left.
package faults_test

import (
	"context"
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
	"github.com/litemaas/litemaas/workflows"
)

// deployments is the size of the catalogue: some pages for LiteLLM, a moment for Postgres.
const deployments = 10_000

// patience bounds what a test waits for; a killed worker is noticed after 10 s.
const patience = 90 * time.Second

// A worker that is killed while it reads, and another while it writes, leave a run that a third
// one ends: the same run, every model once.
func TestSyncSurvivesKilledWorkers(t *testing.T) {
	s := start(t)
	s.proxy.SetDeployments(litellmtest.Generated(deployments))
	slow := s.proxy.Inject(litellmtest.Fault{Path: "/v2/model/info", Delay: 500 * time.Millisecond})
	run, err := workflows.Start(t.Context(), s.client, workflows.FullSync, workflows.FullSyncInput{Trigger: models.SyncByPerson, Actor: models.System("test")})
	require.NoError(t, err)

	kill := s.worker(t)
	s.waitFor(t, "the first page is read", func(r models.SyncRun) bool { return r.Fetched > 0 && r.Fetched < deployments })
	kill()
	slow()

	release := s.holdCatalogue(t)
	kill = s.worker(t)
	s.waitFor(t, "the list is staged", func(r models.SyncRun) bool { return r.Phase == models.SyncMerging && s.merging(t) })
	kill()
	release()

	s.worker(t)
	res, err := run.Wait(t.Context(), patience)
	require.NoError(t, err)
	require.Equal(t, run.ID(), res.RunID.String())
	require.Equal(t, models.SyncCompleted, res.Status)
	require.Equal(t, res.Counts.Listed, res.Counts.Added)
	stats, err := s.store.CatalogueStats(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.CatalogueStats{Total: res.Counts.Listed, Available: res.Counts.Listed}, stats)
	_, n, err := s.store.SyncRuns(t.Context(), store.SyncRunQuery{Page: 1, Limit: 10})
	require.NoError(t, err)
	require.Equal(t, 1, n, "one run")
	require.Equal(t, 1, s.count(t, "SELECT count(*) FROM audit WHERE action = 'MODELS_SYNC'"), "reported once")
	require.Zero(t, s.count(t, "SELECT count(*) FROM sync_staged_models"), "nothing left behind")
}

// system is real servers and a LiteLLM in memory; the workers are processes of the built program.
type system struct {
	store    *store.Store
	proxy    *litellmtest.Proxy
	client   client.Client
	db       *sql.DB
	binary   string
	settings []string
}

func start(t *testing.T) *system {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "litemaas")
	out, err := exec.Command("go", "build", "-o", binary, "github.com/litemaas/litemaas/cmd/litemaas").CombinedOutput()
	require.NoError(t, err, string(out))
	url, cfg := storetest.URL(t), temporaltest.Config(t)
	proxy, err := litellmtest.NewProxy(litellmtest.Options{})
	require.NoError(t, err)
	web := httptest.NewServer(proxy)
	t.Cleanup(web.Close)
	st, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(url), MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(st.Close)
	return &system{
		store: st, proxy: proxy, client: temporaltest.Dial(t, cfg), db: storetest.SQL(t, url), binary: binary,
		settings: append(os.Environ(),
			"DATABASE_URL="+url, "TEMPORAL_ADDRESS="+cfg.Address, "TEMPORAL_NAMESPACE="+cfg.Namespace,
			"LITELLM_API_URL="+web.URL, "LITELLM_API_KEY="+litellmtest.MasterKey, "LITELLM_AUTO_SYNC=false"),
	}
}

// worker starts a worker and returns what kills it as kill -9 does; the test's end does, too.
func (s *system) worker(t *testing.T) (kill func()) {
	t.Helper()
	cmd := exec.Command(s.binary, "worker")
	cmd.Env, cmd.Dir = s.settings, t.TempDir()
	require.NoError(t, cmd.Start())
	kill = func() {
		_ = cmd.Process.Kill() // it may be dead already
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	return kill
}

// waitFor waits until the one run is as the test wants it.
func (s *system) waitFor(t *testing.T, what string, ready func(models.SyncRun) bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		run, err := s.store.RunningSync(context.WithoutCancel(t.Context()))
		return err == nil && run != nil && ready(*run)
	}, patience, 20*time.Millisecond, what)
}

// holdCatalogue makes every merge wait, until it is released.
func (s *system) holdCatalogue(t *testing.T) (release func()) {
	t.Helper()
	tx, err := s.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "SELECT pg_advisory_xact_lock(hashtextextended('catalogue', 0))")
	require.NoError(t, err)
	return func() { require.NoError(t, tx.Rollback()) }
}

// merging reports whether a merge waits for the catalogue.
func (s *system) merging(t *testing.T) bool {
	t.Helper()
	return s.count(t, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") > 0
}

func (s *system) count(t *testing.T, query string) (n int) {
	t.Helper()
	require.NoError(t, s.db.QueryRowContext(t.Context(), query).Scan(&n))
	return n
}
