package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

var ada = models.Actor{ID: "ada", Via: "test"}

// held returns a store whose last sync missed half of 20 models, and that sync.
func held(t *testing.T) (*store.Store, models.SyncRun) {
	t.Helper()
	s := storetest.New(t)
	sync(t, s, list(0, 20), models.SyncOptions{})
	run := sync(t, s, list(10, 10), models.SyncOptions{})
	require.NotNil(t, run.ProposalID)
	return s, run
}

// A sync that still misses the models renews the proposal, so that it is never older than
// the last look; one that finds them withdraws it.
func TestProposalFollowsTheSyncs(t *testing.T) {
	s, run := held(t)
	first, err := s.Proposal(t.Context(), *run.ProposalID)
	require.NoError(t, err)
	require.Len(t, first.ModelIDs, 10)

	worse := sync(t, s, list(11, 9), models.SyncOptions{})
	require.Equal(t, run.ProposalID, worse.ProposalID)
	renewed, err := s.OpenProposal(t.Context())
	require.NoError(t, err)
	require.Len(t, renewed.ModelIDs, 11)
	require.True(t, renewed.ExpiresAt.After(first.ExpiresAt))

	sync(t, s, list(0, 20), models.SyncOptions{})
	withdrawn, err := s.Proposal(t.Context(), first.ID)
	require.NoError(t, err)
	require.Equal(t, models.ProposalWithdrawn, withdrawn.Status)
	_, err = s.DecideProposal(t.Context(), run.ID, models.Decision{Approve: true, By: ada})
	require.Equal(t, models.Conflict, models.KindOf(err))
}

// Approving takes away what is still missing, once; a model that came back meanwhile stays.
func TestProposalApproved(t *testing.T) {
	s, run := held(t)
	p, err := s.DecideProposal(t.Context(), run.ID, models.Decision{Approve: true, Reason: "moved", By: ada})
	require.NoError(t, err)
	require.Equal(t, 20, available(t, s), "deciding changes nothing yet")
	_, err = s.DecideProposal(t.Context(), run.ID, models.Decision{By: models.Actor{ID: "bob"}})
	require.Equal(t, models.Conflict, models.KindOf(err))
	require.ErrorContains(t, err, "approved by ada")
	due, err := s.ProposalsToApply(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{p.ID}, due)

	again := sync(t, s, list(10, 10), models.SyncOptions{})
	require.Equal(t, run.ProposalID, again.ProposalID, "no second question while the answer is carried out")

	c := models.NewCatalogue(list(9, 1)) // m-009 is back
	removals := merge(t, s, c, models.SyncRun{Kind: models.SyncRemovals, ProposalID: &p.ID}, p.ModelIDs)
	require.Equal(t, models.SyncCounts{Listed: 1, Gone: 9, Unchanged: 1}, removals.Counts)
	require.Equal(t, 11, available(t, s))
	due, err = s.ProposalsToApply(t.Context(), 0)
	require.NoError(t, err)
	require.Empty(t, due)
}

// Rejecting keeps the models, and no later sync asks again until LiteLLM lists them.
func TestProposalRejected(t *testing.T) {
	s, run := held(t)
	_, err := s.DecideProposal(t.Context(), run.ID, models.Decision{By: ada})
	require.NoError(t, err)
	later := sync(t, s, list(10, 10), models.SyncOptions{})
	require.Equal(t, models.SyncCounts{Listed: 10, Kept: 10, Unchanged: 10}, later.Counts)
	require.Equal(t, 20, available(t, s))

	back := sync(t, s, list(0, 20), models.SyncOptions{})
	require.Equal(t, models.SyncCounts{Listed: 20, Unchanged: 20}, back.Counts)
	gone := sync(t, s, list(10, 10), models.SyncOptions{})
	require.Equal(t, 10, gone.Counts.Held, "the old word no longer holds")
}

// Unanswered, a proposal lapses: nothing is removed, nobody can approve it late, and the
// next sync asks anew.
func TestProposalLapses(t *testing.T) {
	url := storetest.URL(t)
	s, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(url), MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	sync(t, s, list(0, 20), models.SyncOptions{})
	run := sync(t, s, list(10, 10), models.SyncOptions{})
	n, err := s.LapseProposals(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	_, err = storetest.SQL(t, url).Exec("UPDATE sync_proposals SET expires_at = now() - interval '1 second'")
	require.NoError(t, err)
	_, err = s.DecideProposal(t.Context(), run.ID, models.Decision{Approve: true, By: ada})
	require.Equal(t, models.Conflict, models.KindOf(err))
	n, err = s.LapseProposals(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	next := sync(t, s, list(10, 10), models.SyncOptions{})
	require.NotNil(t, next.ProposalID)
	require.NotEqual(t, run.ProposalID, next.ProposalID)
	require.Equal(t, 20, available(t, s))
}

// The configured schedule is only the first one: after that, the row is the setting.
func TestSyncScheduleIsSeededOnce(t *testing.T) {
	s := storetest.New(t)
	_, err := s.SyncSchedule(t.Context())
	require.Equal(t, models.NotFound, models.KindOf(err))
	require.NoError(t, s.SeedSyncSchedule(t.Context(), models.SyncSchedule{Interval: time.Hour}))
	set, err := s.SetSyncSchedule(t.Context(), models.SyncSchedule{Interval: 2 * time.Hour, Jitter: time.Second, Paused: true, Note: "holiday"}, ada)
	require.NoError(t, err)
	require.EqualValues(t, 2, set.Generation)
	require.NoError(t, s.SeedSyncSchedule(t.Context(), models.SyncSchedule{Interval: time.Hour}))
	require.NoError(t, s.ObserveSyncSchedule(t.Context(), 2))
	require.NoError(t, s.ObserveSyncSchedule(t.Context(), 1))
	got, err := s.SyncSchedule(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2*time.Hour, got.Interval)
	require.EqualValues(t, 2, got.ObservedGeneration)
	require.Equal(t, "ada", got.UpdatedBy)
	_, err = s.SetSyncSchedule(t.Context(), models.SyncSchedule{Interval: time.Second}, ada)
	require.Equal(t, models.Invalid, models.KindOf(err))
}
