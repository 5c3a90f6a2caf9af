package temporal_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/temporal"
	"github.com/litemaas/litemaas/workflows"
)

var update = flag.Bool("update", false, "record the histories anew")

// The history of a real run holds no row and no credential and stays small, whatever the
// size of the catalogue. Recorded with -update, it is what TestReplay replays.
func TestHistories(t *testing.T) {
	s := start(t)
	ada := models.Actor{ID: "ada", Via: "test"}
	s.proxy.SetDeployments(litellmtest.Generated(2_500))
	full := run(t, s, workflows.FullSync, by(models.SyncOptions{}))
	s.record(t, "full_sync", "full-sync", full.RunID.String())

	s.proxy.SetListing(litellmtest.ListEmpty)
	held := run(t, s, workflows.FullSync, by(models.SyncOptions{}))
	s.record(t, "full_sync_held", "full-sync", held.RunID.String())
	_, err := s.store.DecideProposal(t.Context(), held.RunID, models.Decision{Approve: true, By: ada})
	require.NoError(t, err)
	removals := workflows.ApplyRemovalsInput{ProposalID: *held.ProposalID, Actor: ada}
	s.record(t, "apply_removals", removals.WorkflowID(), run(t, s, workflows.ApplyRemovals, removals).RunID.String())

	s.proxy.SetListing(litellmtest.ListAll)
	one := workflows.RefreshModelInput{ModelID: s.proxy.Deployments()[0].Name, Actor: ada}
	s.record(t, "refresh_model", one.WorkflowID(), run(t, s, workflows.RefreshModel, one).RunID.String())

	require.NoError(t, temporal.EnsureSchedules(t.Context(), s.client.ScheduleClient(), s.store))
	run(t, s, workflows.Sweep, workflows.SweepInput{})
	s.record(t, "sweep", workflows.SweepInput{}.WorkflowID(), "")
	run(t, s, workflows.AutoSync, workflows.AutoSyncInput{})
	s.record(t, "auto_sync", workflows.AutoSyncInput{}.WorkflowID(), "")
}

// run runs a workflow to its end.
func run[In workflows.Input, Out any](t *testing.T, s system, wf func(workflow.Context, In) (Out, error), in In) Out {
	t.Helper()
	r, err := workflows.Start(t.Context(), s.client, wf, in)
	require.NoError(t, err)
	out, err := r.Wait(t.Context(), time.Minute)
	require.NoError(t, err)
	return out
}

// record looks at what Temporal kept of a run, and keeps it for TestReplay.
func (s system) record(t *testing.T, name, workflowID, runID string) {
	t.Helper()
	h := historyOf(t, s.client, workflowID, runID)
	require.Less(t, len(h.Events), 50, name)
	raw, err := protojson.MarshalOptions{Multiline: true}.Marshal(h)
	require.NoError(t, err)
	require.Less(t, len(raw), 64<<10, name)
	require.NotContains(t, string(raw), litellmtest.MasterKey, "no credential")
	raw = regexp.MustCompile(`"identity": *"[^"]*"`).ReplaceAll(raw, []byte(`"identity": "worker"`)) // it names the machine
	if *update {
		require.NoError(t, os.MkdirAll("testdata/history", 0o755))
		require.NoError(t, os.WriteFile(filepath.Join("testdata/history", name+".json"), raw, 0o644))
	}
}

// historyOf is what Temporal recorded of a run; of the last one when runID is empty.
func historyOf(t *testing.T, c client.Client, workflowID, runID string) *history.History {
	t.Helper()
	var h history.History
	events := c.GetWorkflowHistory(t.Context(), workflowID, runID, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(t, err)
		h.Events = append(h.Events, e)
	}
	return &h
}
