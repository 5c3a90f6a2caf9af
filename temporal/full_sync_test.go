package temporal_test

import (
	"context"
	"database/sql"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/temporal"
	"github.com/litemaas/litemaas/temporal/temporaltest"
	"github.com/litemaas/litemaas/workflows"
)

// system is everything but the API, on real servers and a LiteLLM in memory.
type system struct {
	store   *store.Store
	db      *sql.DB
	proxy   *litellmtest.Proxy
	litellm *litellm.Client
	keys    *activities.Keys
	client  client.Client
}

func start(t *testing.T) system {
	t.Helper()
	url := storetest.URL(t)
	st, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(url), MaxConns: 8})
	require.NoError(t, err)
	t.Cleanup(st.Close)
	s := system{store: st, db: storetest.SQL(t, url), client: temporaltest.New(t)}
	proxy, proxyClient := litellmtest.New(t)
	s.proxy, s.litellm = proxy, proxyClient
	require.NoError(t, s.store.SeedSyncSchedule(t.Context(), models.SyncSchedule{Interval: time.Hour}))
	s.keys = &activities.Keys{Store: s.store, Proxy: proxyClient, Sealer: storetest.Sealer{}}
	w := temporal.NewWorker(s.client, temporal.Activities{
		SyncRuns: &activities.SyncRuns{
			Store: s.store, Proxy: proxyClient, Guard: models.Guard{MaxRemovedPercent: 20, MinRemoved: 3},
			ProposalTTL: time.Hour, Retention: time.Hour,
		},
		Proposals: &activities.Proposals{Store: s.store},
		Probes:    &activities.Probes{Store: s.store, Proxy: proxyClient},
		Schedules: &activities.Schedules{Store: s.store, Tell: func(ctx context.Context, to models.SyncSchedule) error {
			return workflows.ApplySyncSchedule(ctx, s.client.ScheduleClient(), to)
		}},
		Users: &activities.Users{Store: s.store, Proxy: proxyClient},
		Keys:  s.keys,
		Subscriptions: &activities.Subscriptions{
			Store: s.store, CatalogueMaxAge: 5 * time.Minute, RemindAfter: 72 * time.Hour, LapseAfter: 720 * time.Hour,
		},
		Cascades: &activities.Cascades{Store: s.store},
		Sessions: &activities.Sessions{Store: s.store, Keep: time.Hour},
		AuditLog: &activities.AuditLog{Store: s.store, Retention: 90 * 24 * time.Hour},

		SealedValues: &activities.SealedValues{Store: s.store, Keys: storetest.Keyring{"key2", "key1"}},
		Operations:   &activities.Operations{Store: s.store},
		Orphans:      &activities.Orphans{Store: s.store, Proxy: proxyClient},
		Usage:        &activities.Usage{Store: s.store, Proxy: proxyClient, Overlap: 15 * time.Minute},
		Budgets:      &activities.Budgets{Store: s.store},
	})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	return s
}

func (s system) sync(t *testing.T, o models.SyncOptions) workflows.SyncResult {
	t.Helper()
	run, err := workflows.Start(t.Context(), s.client, workflows.FullSync, by(o))
	require.NoError(t, err)
	res, err := run.Wait(t.Context(), time.Minute)
	require.NoError(t, err)
	return res
}

func by(o models.SyncOptions) workflows.FullSyncInput {
	return workflows.FullSyncInput{Trigger: models.SyncByPerson, Actor: models.Actor{ID: "ada", Via: "test"}, Options: o}
}

// Two syncs asked for at once are one run with two equal answers.
func TestFullSyncIsJoined(t *testing.T) {
	s := start(t)
	s.proxy.Inject(litellmtest.Fault{Path: "/v2/model/info", Delay: 300 * time.Millisecond})
	results := make([]workflows.SyncResult, 10)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { results[i] = s.sync(t, models.SyncOptions{}) })
	}
	wg.Wait()
	for _, r := range results[1:] {
		require.Equal(t, results[0], r)
	}
	_, n, err := s.store.SyncRuns(t.Context(), store.SyncRunQuery{Page: 1, Limit: 10})
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

// A sync asked for while LiteLLM is down completes when it is back.
func TestFullSyncOutlastsAnOutage(t *testing.T) {
	s := start(t)
	s.proxy.FailNext("/v2/model/info", 2, http.StatusServiceUnavailable)
	res := s.sync(t, models.SyncOptions{})
	require.Equal(t, models.SyncCompleted, res.Status)
	require.Positive(t, res.Counts.Added)
	require.Equal(t, 3, s.proxy.Calls("/v2/model/info"))
}

// What the guard held back is removed when a person approves, and the run ID is Temporal's.
func TestApplyRemovals(t *testing.T) {
	s := start(t)
	first := s.sync(t, models.SyncOptions{})
	s.proxy.SetListing(litellmtest.ListEmpty)
	second := s.sync(t, models.SyncOptions{})
	require.Equal(t, first.Counts.Added, second.Counts.Held)
	require.NotNil(t, second.ProposalID)
	p, err := s.store.DecideProposal(t.Context(), second.RunID, models.Decision{Approve: true, By: models.Actor{ID: "ada"}})
	require.NoError(t, err)
	run, err := workflows.Start(t.Context(), s.client, workflows.ApplyRemovals, workflows.ApplyRemovalsInput{ProposalID: p.ID})
	require.NoError(t, err)
	res, err := run.Wait(t.Context(), time.Minute)
	require.NoError(t, err)
	require.Equal(t, first.Counts.Added, res.Counts.Gone)
	require.Equal(t, run.ID(), res.RunID.String())
	stats, err := s.store.CatalogueStats(t.Context())
	require.NoError(t, err)
	require.Zero(t, stats.Available)
}

// One model is compared without the others; one that LiteLLM lists no more goes.
func TestRefreshModel(t *testing.T) {
	s := start(t)
	s.sync(t, models.SyncOptions{})
	page, _, err := s.store.LLMs(t.Context(), store.LLMQuery{Page: 1, Limit: 2, Availability: models.ModelAvailable})
	require.NoError(t, err)
	s.proxy.RemoveDeployments(page[0].DeploymentIDs...)
	for _, tc := range []struct {
		id   string
		want models.SyncCounts
	}{
		{page[0].ID, models.SyncCounts{Gone: 1}},
		{page[1].ID, models.SyncCounts{Listed: 1, Unchanged: 1}},
		{"no-such-model", models.SyncCounts{}},
	} {
		run, err := workflows.Start(t.Context(), s.client, workflows.RefreshModel, workflows.RefreshModelInput{ModelID: tc.id, Actor: models.Actor{ID: "ada"}})
		require.NoError(t, err)
		res, err := run.Wait(t.Context(), time.Minute)
		require.NoError(t, err)
		res.Counts.Listed = min(res.Counts.Listed, tc.want.Listed) // for an absent model it counts the others
		require.Equal(t, tc.want, res.Counts, tc.id)
	}
}

// The schedule runs syncs under the ID that all share, and follows the setting.
func TestSchedules(t *testing.T) {
	s := start(t)
	require.NoError(t, temporal.EnsureSchedules(t.Context(), s.client.ScheduleClient(), s.store))
	for _, in := range []workflows.Input{workflows.SweepInput{}, workflows.ExpireInput{}, workflows.CleanInput{}} {
		_, err := s.client.ScheduleClient().GetHandle(t.Context(), in.WorkflowID()).Describe(t.Context())
		require.NoError(t, err, in.WorkflowID())
	}
	state, err := workflows.SyncScheduleState(t.Context(), s.client.ScheduleClient())
	require.NoError(t, err)
	require.NotNil(t, state.Next)
	require.NoError(t, s.client.ScheduleClient().GetHandle(t.Context(), workflows.AutoSyncInput{}.WorkflowID()).
		Trigger(t.Context(), client.ScheduleTriggerOptions{}))
	require.Eventually(t, func() bool {
		last, err := s.store.LastSync(t.Context())
		return err == nil && last != nil && last.Trigger == models.SyncBySchedule && last.WorkflowID == "full-sync"
	}, 30*time.Second, 100*time.Millisecond)

	_, err = s.store.SetSyncSchedule(t.Context(), models.SyncSchedule{Interval: 2 * time.Hour, Paused: true, Note: "holiday"}, models.Actor{ID: "ada"})
	require.NoError(t, err)
	run, err := workflows.Start(t.Context(), s.client, workflows.Sweep, workflows.SweepInput{})
	require.NoError(t, err)
	swept, err := run.Wait(t.Context(), time.Minute)
	require.NoError(t, err)
	require.True(t, swept.Schedule, "the sweep tells Temporal what nobody told it")
	state, err = workflows.SyncScheduleState(t.Context(), s.client.ScheduleClient())
	require.NoError(t, err)
	require.Equal(t, models.ScheduleState{Paused: true, Note: "holiday"}, state)
	set, err := s.store.SyncSchedule(t.Context())
	require.NoError(t, err)
	require.Equal(t, set.Generation, set.ObservedGeneration)
}
