package activities_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// bench is what an activity is tried on: real rows and a LiteLLM in memory.
type bench struct {
	*activities.SyncRuns
	proxy *litellmtest.Proxy
	env   *testsuite.TestActivityEnvironment
}

func newBench(t *testing.T) bench {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	b := bench{env: suite.NewTestActivityEnvironment()}
	proxy, client := litellmtest.New(t)
	b.proxy = proxy
	b.SyncRuns = &activities.SyncRuns{
		Store: storetest.New(t), Proxy: client, Guard: models.Guard{MaxRemovedPercent: 20, MinRemoved: 3}, ProposalTTL: time.Hour, Retention: time.Hour,
	}
	b.env.RegisterActivity(b.SyncRuns)
	return b
}

// begin starts a run of the given kind.
func (b bench) begin(t *testing.T, in activities.BeginSyncRunInput) activities.SyncRunRef {
	t.Helper()
	in.ID, in.WorkflowID, in.Trigger, in.Actor = uuid.New(), uuid.NewString(), models.SyncByPerson, "ada"
	require.NoError(t, b.BeginSyncRun(t.Context(), in))
	return activities.SyncRunRef{ID: in.ID}
}

// twice runs an activity as Temporal may: again, though it was done. Both answers are equal.
func twice[Out any](t *testing.T, b bench, act any, run activities.SyncRunRef) Out {
	t.Helper()
	var outs [2]Out
	for i := range outs {
		val, err := b.env.ExecuteActivity(act, run)
		require.NoError(t, err)
		require.NoError(t, val.Get(&outs[i]))
	}
	require.Equal(t, outs[0], outs[1])
	return outs[0]
}

func (b bench) sync(t *testing.T, o models.SyncOptions) activities.SyncReport {
	t.Helper()
	run := b.begin(t, activities.BeginSyncRunInput{Kind: models.SyncFull, Options: o})
	twice[activities.FetchResult](t, b, b.FetchCatalogue, run)
	twice[models.SyncCounts](t, b, b.MergeCatalogue, run)
	return twice[activities.SyncReport](t, b, b.CompleteSyncRun, run)
}

// Every step of a sync may be repeated, with many pages as with one.
func TestSyncMayBeRepeated(t *testing.T) {
	for _, n := range []int{1, 25, 4500} {
		b := newBench(t)
		b.proxy.SetDeployments(litellmtest.Generated(n))
		first := b.sync(t, models.SyncOptions{})
		require.Equal(t, first.Counts.Listed, first.Counts.Added)
		again := b.sync(t, models.SyncOptions{})
		require.Equal(t, models.SyncCounts{Listed: first.Counts.Listed, Unchanged: first.Counts.Listed}, again.Counts)
		require.Empty(t, again.Examples)
		run, err := b.Store.SyncRun(t.Context(), again.RunID)
		require.NoError(t, err)
		require.Equal(t, []int{n, n}, []int{run.Fetched, run.Expected})
	}
}

// A list that LiteLLM says is not loaded, and one that is empty, end nothing.
func TestSyncDoesNotBelieveALostList(t *testing.T) {
	for _, listing := range []litellmtest.Listing{litellmtest.ListEmpty, litellmtest.ListNotLoaded} {
		b := newBench(t)
		first := b.sync(t, models.SyncOptions{})
		b.proxy.SetListing(listing)
		lost := b.sync(t, models.SyncOptions{})
		require.Equal(t, first.Counts.Added, lost.Counts.Held)
		require.NotEmpty(t, lost.Proposal)
		stats, err := b.Store.CatalogueStats(t.Context())
		require.NoError(t, err)
		require.Equal(t, first.Counts.Added, stats.Available)

		b.proxy.SetListing(litellmtest.ListAll)
		back := b.sync(t, models.SyncOptions{})
		require.Empty(t, back.Proposal)
		p, err := b.Store.Proposal(t.Context(), *lost.ProposalID)
		require.NoError(t, err)
		require.Equal(t, models.ProposalWithdrawn, p.Status)
	}
}

// An answer that is cut off, is no JSON or never comes is tried again, never taken for a list.
func TestFetchFailsWholly(t *testing.T) {
	for name, fault := range map[string]litellmtest.Fault{
		"cut off":      {Kind: litellmtest.FaultTruncated},
		"no JSON":      {Kind: litellmtest.FaultMalformed},
		"an error":     {Kind: litellmtest.FaultStatus},
		"no answer":    {Kind: litellmtest.FaultCut},
		"rate limited": {Kind: litellmtest.FaultStatus, Status: 429, RetryAfter: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			fault.Path, fault.Times = "/v2/model/info", 1
			b.proxy.Inject(fault)
			run := b.begin(t, activities.BeginSyncRunInput{Kind: models.SyncFull})
			_, err := b.env.ExecuteActivity(b.FetchCatalogue, run)
			require.Error(t, err)
			_, n, err := b.Store.LLMs(t.Context(), store.LLMQuery{Page: 1, Limit: 1, Availability: models.ModelAvailable})
			require.NoError(t, err)
			require.Zero(t, n)
			twice[activities.FetchResult](t, b, b.FetchCatalogue, run)
		})
	}
}

// One model is compared alone; it goes only while LiteLLM lists others.
func TestFetchModel(t *testing.T) {
	b := newBench(t)
	b.sync(t, models.SyncOptions{})
	page, n, err := b.Store.LLMs(t.Context(), store.LLMQuery{Page: 1, Limit: 1, Availability: models.ModelAvailable})
	require.NoError(t, err)
	refresh := func() models.SyncCounts {
		run := b.begin(t, activities.BeginSyncRunInput{Kind: models.SyncOne, Subject: page[0].ID})
		twice[activities.FetchResult](t, b, b.FetchModel, run)
		return twice[models.SyncCounts](t, b, b.MergeCatalogue, run)
	}
	require.Equal(t, models.SyncCounts{Listed: 1, Unchanged: 1}, refresh())
	for _, listing := range []litellmtest.Listing{litellmtest.ListEmpty, litellmtest.ListNotLoaded} {
		b.proxy.SetListing(listing)
		require.Equal(t, models.SyncCounts{Kept: 1}, refresh())
	}
	b.proxy.SetListing(litellmtest.ListAll)
	b.proxy.RemoveDeployments(page[0].DeploymentIDs...)
	require.Equal(t, 1, refresh().Gone)
	stats, err := b.Store.CatalogueStats(t.Context())
	require.NoError(t, err)
	require.Equal(t, n-1, stats.Available)
}

// Carrying out a proposal leaves alone what came back since.
func TestFetchProposed(t *testing.T) {
	b := newBench(t)
	first := b.sync(t, models.SyncOptions{})
	b.proxy.SetListing(litellmtest.ListEmpty)
	held := b.sync(t, models.SyncOptions{})
	_, err := b.Store.DecideProposal(t.Context(), held.RunID, models.Decision{Approve: true, By: models.Actor{ID: "ada"}})
	require.NoError(t, err)
	b.proxy.SetListing(litellmtest.ListAll)
	b.proxy.SetDeployments(b.proxy.Deployments()[:5])

	run := b.begin(t, activities.BeginSyncRunInput{Kind: models.SyncRemovals, ProposalID: held.ProposalID})
	twice[activities.FetchResult](t, b, b.FetchProposed, run)
	counts := twice[models.SyncCounts](t, b, b.MergeCatalogue, run)
	require.Equal(t, first.Counts.Added-5, counts.Gone)
	require.Equal(t, 5, counts.Unchanged)
}

// That LiteLLM does not answer is recorded, not a failure.
func TestProbe(t *testing.T) {
	b := newBench(t)
	probes := &activities.Probes{Store: b.Store, Proxy: b.Proxy}
	for _, reachable := range []bool{true, false} {
		if !reachable {
			b.proxy.Inject(litellmtest.Fault{Kind: litellmtest.FaultCut})
		}
		res, err := probes.ProbeLiteLLM(t.Context(), activities.ProbeLiteLLMInput{})
		require.NoError(t, err)
		require.Equal(t, reachable, res.Reachable)
		p, err := b.Store.Probe(t.Context())
		require.NoError(t, err)
		require.Equal(t, reachable, p.Reachable)
		require.Equal(t, reachable, p.Failure == "")
		require.True(t, p.Fresh(time.Now()))
	}
}

// A sync that LiteLLM has answered ends the word that it is away.
func TestFetchProbes(t *testing.T) {
	b := newBench(t)
	remove := b.proxy.Inject(litellmtest.Fault{Kind: litellmtest.FaultCut})
	_, err := (&activities.Probes{Store: b.Store, Proxy: b.Proxy}).ProbeLiteLLM(t.Context(), activities.ProbeLiteLLMInput{})
	require.NoError(t, err)
	remove()
	b.sync(t, models.SyncOptions{})
	p, err := b.Store.Probe(t.Context())
	require.NoError(t, err)
	require.True(t, p.Reachable)
}
