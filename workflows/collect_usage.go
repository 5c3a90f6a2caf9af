package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
)

// CollectUsageInput is empty: the ledger says up to where LiteLLM's log was read.
type CollectUsageInput struct {
	Walk *UsageWalk `json:",omitempty"` // how far an earlier run came that this one goes on for
}

// WorkflowID is the beginning of the ID of each run; Temporal adds the time.
func (CollectUsageInput) WorkflowID() string { return "collect-usage" }

// Summary is the run's line in the Temporal UI.
func (CollectUsageInput) Summary() string { return "Read LiteLLM's log of calls into the ledger" }

// CollectUsage reads what LiteLLM's log has got since it was read last, and a while before, into the
// ledger, and compares it with what LiteLLM has pushed. While LiteLLM is away it waits, and then
// reads all that it missed. What is due then it has done: budgets are judged, keys are held.
func CollectUsage(ctx workflow.Context, in CollectUsageInput) (UsageReport, error) {
	if in.Walk == nil {
		plan, err := local(ctx, "See up to where LiteLLM's log was read", usage.PlanUsage, activities.PlanUsageInput{})
		if err != nil {
			return UsageReport{}, err
		}
		in.Walk = newUsageWalk(plan.From, plan.Until)
	}
	more, err := in.Walk.read(ctx)
	if err == nil && more {
		err = workflow.NewContinueAsNewError(ctx, CollectUsage, in)
	}
	return in.Walk.Report, err
}

// usageStep is how long a window is, when length is to be read: windows of the grid are compared one
// by one, of what is long ago an hour at once.
func usageStep(length time.Duration) time.Duration {
	const far = 3 * time.Hour
	if length > far {
		return time.Hour
	}
	return activities.UsageGrid
}
