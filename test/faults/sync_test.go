package faults_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/workflows"
)

// deployments is the size of the catalogue: some pages for LiteLLM, a moment for Postgres.
const deployments = 10_000

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
