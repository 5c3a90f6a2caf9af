package workflows

import (
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/models"
)

// AutoSyncInput is empty: the clock asks for everything.
type AutoSyncInput struct{}

// WorkflowID is the beginning of the ID of each scheduled run; Temporal adds the time.
func (AutoSyncInput) WorkflowID() string { return "auto-sync" }

// Summary is the run's line in the Temporal UI.
func (AutoSyncInput) Summary() string { return "The clock asks for a full sync" }

// AutoSyncResult says how it went. Report is nil when a sync was under way already.
type AutoSyncResult struct{ Report *SyncResult }

// AutoSync is what the schedule starts. It runs FullSync under the one ID that all syncs
// share, which a schedule cannot do by itself: it gives every run an ID of its own.
func AutoSync(ctx workflow.Context, _ AutoSyncInput) (AutoSyncResult, error) {
	in := FullSyncInput{Trigger: models.SyncBySchedule, Actor: models.System("AutoSync")}
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:        in.WorkflowID(),
		ParentClosePolicy: enums.PARENT_CLOSE_POLICY_ABANDON,
		StaticSummary:     brief(in.Summary()),
	})
	var report SyncResult
	err := workflow.ExecuteChildWorkflow(ctx, FullSync, in).Get(ctx, &report)
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		workflow.SetCurrentDetails(ctx, "A sync was under way already; it does for this time too.")
		return AutoSyncResult{}, nil
	}
	return AutoSyncResult{&report}, err
}
