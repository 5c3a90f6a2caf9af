package workflows

import (
	"fmt"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
)

// SweepInput is empty: the whole database is swept.
type SweepInput struct{}

// WorkflowID is the beginning of the ID of each sweep; Temporal adds the time.
func (SweepInput) WorkflowID() string { return "sweep" }

// Summary is the run's line in the Temporal UI.
func (SweepInput) Summary() string { return "Start what was wished for and not begun" }

// SweepResult counts what was found.
type SweepResult struct {
	Reachable bool // LiteLLM answers
	Lapsed    int  // proposals that nobody answered in time
	Removals  int  // approved proposals started again
	Schedule  bool // the sync schedule had to be told to Temporal
}

// Sweep looks once a minute at what the rows wish for and nobody is doing: its process died
// between the commit and the start, or its run gave up. It is the other half of "record the
// wish, then start", so it is not optional.
func Sweep(ctx workflow.Context, _ SweepInput) (SweepResult, error) {
	var res SweepResult
	probe, err := local(ctx, "See whether LiteLLM answers", probes.ProbeLiteLLM, activities.ProbeLiteLLMInput{})
	if err != nil {
		return res, err
	}
	res.Reachable = probe.Reachable
	due, err := local(ctx, "Close proposals that nobody answered, find approved ones that nobody carries out", proposals.DueProposals, activities.DueProposalsInput{})
	if err != nil {
		return res, err
	}
	res.Lapsed = due.Lapsed
	for _, id := range due.ToApply {
		if err := begin(ctx, ApplyRemovals, ApplyRemovalsInput{ProposalID: id, Actor: models.System("Sweep")}); err != nil {
			return res, err
		}
		res.Removals++
	}
	told, err := local(ctx, "Tell Temporal of a changed sync schedule", schedules.TellSyncSchedule, activities.TellSyncScheduleInput{})
	res.Schedule = told.Told
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("LiteLLM answers: %t. Lapsed proposals: %d. Removals started again: %d.", res.Reachable, res.Lapsed, res.Removals))
	return res, err
}

// begin starts wf as a child that outlives its parent, unless it runs already.
func begin[In Input](ctx workflow.Context, wf any, in In) error {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:        in.WorkflowID(),
		ParentClosePolicy: enums.PARENT_CLOSE_POLICY_ABANDON,
		StaticSummary:     brief(in.Summary()),
	})
	err := workflow.ExecuteChildWorkflow(ctx, wf, in).GetChildWorkflowExecution().Get(ctx, nil)
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		return nil
	}
	return err
}
