package temporal_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/temporal"
	"github.com/litemaas/litemaas/workflows"
)

// Histories of what becomes of keys at LiteLLM that are not ours: see TestHistories. The sweep
// starts what an admin decided about and nobody follows, and so does a sync.
func TestHistoriesOfOrphans(t *testing.T) {
	s := start(t)
	require.NoError(t, temporal.EnsureSchedules(t.Context(), s.client.ScheduleClient(), s.store))
	var hashes []string
	for _, name := range []string{"a", "b", "c"} {
		secret := models.SecretOf("sk-of-nobody-we-know-" + name)
		require.NoError(t, s.litellm.GenerateKey(t.Context(), litellm.NewKey{KeyLimits: litellm.KeyLimits{Models: []string{"a"}}, Secret: secret}))
		hashes = append(hashes, secret.Hash())
	}
	require.Equal(t, 3, s.sync(t, models.SyncOptions{KeepMissing: true}).Keys.Unknown)
	remove := func(i int) {
		t.Helper()
		_, err := s.store.DeleteOrphan(t.Context(), hashes[i], root)
		require.NoError(t, err)
	}
	gone := func(i int) bool {
		_, err := s.litellm.Key(t.Context(), hashes[i])
		return models.KindOf(err) == models.NotFound
	}
	remove(0)
	require.Equal(t, workflows.QuarantineOrphansResult{Settled: 1}, run(t, s, workflows.QuarantineOrphans, workflows.QuarantineOrphansInput{}))
	require.True(t, gone(0))
	s.record(t, "quarantine_orphans", workflows.QuarantineOrphansInput{}.WorkflowID(), "")

	remove(1)
	require.True(t, run(t, s, workflows.Sweep, workflows.SweepInput{}).Orphans)
	s.record(t, "sweep_orphans", workflows.SweepInput{}.WorkflowID(), "")
	require.Eventually(t, func() bool { return gone(1) }, 30*time.Second, 50*time.Millisecond)

	remove(2)
	synced := s.sync(t, models.SyncOptions{KeepMissing: true})
	s.record(t, "full_sync_orphans", "full-sync", synced.RunID.String())
	require.Eventually(t, func() bool { return gone(2) }, 30*time.Second, 50*time.Millisecond)
}
