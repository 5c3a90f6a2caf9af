package workflows

import (
	"context"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/models"
)

// BackfillUsageInput says what is to be read, in whole seconds, and who asks for it.
type BackfillUsageInput struct {
	From, Until time.Time
	Actor       models.Actor
	Walk        *UsageWalk `json:",omitempty"` // how far an earlier run came that this one goes on for
}

// WorkflowID is the same for all who ask for the same: they share a run.
func (in BackfillUsageInput) WorkflowID() string {
	const compact = "20060102T150405Z"
	return "backfill-usage/" + in.From.UTC().Format(compact) + "-" + in.Until.UTC().Format(compact)
}

// Summary is the run's line in the Temporal UI.
func (in BackfillUsageInput) Summary() string {
	return "Read LiteLLM's log of calls " + windowName(in.From.UTC(), in.Until.UTC()) + ", asked for by " + in.Actor.ID
}

// usageProgress is the query by which a run says how far it is.
const usageProgress = "progress"

// BackfillUsage reads what LiteLLM's log has of a length of time into the ledger. What is there
// already stays, or is corrected where it differs. It goes on where it was after any interruption.
func BackfillUsage(ctx workflow.Context, in BackfillUsageInput) (UsageReport, error) {
	if in.Walk == nil {
		in.Walk = newUsageWalk(in.From.UTC(), in.Until.UTC())
	}
	err := workflow.SetQueryHandler(ctx, usageProgress, func() (UsageReport, error) { return in.Walk.Report, nil })
	if err != nil {
		return UsageReport{}, err
	}
	more, err := in.Walk.read(ctx)
	if err == nil && more {
		err = workflow.NewContinueAsNewError(ctx, BackfillUsage, in)
	}
	return in.Walk.Report, err
}

// Querier is the part of client.Client that asks runs.
type Querier interface {
	QueryWorkflow(ctx context.Context, id, run, query string, args ...any) (converter.EncodedValue, error)
}

// BackfillProgress asks how far a run is. It is Unavailable when nobody can say: no worker runs.
func BackfillProgress(ctx context.Context, c Querier, in BackfillUsageInput) (UsageReport, error) {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	var out UsageReport
	answer, err := c.QueryWorkflow(ctx, in.WorkflowID(), "", usageProgress)
	if err == nil {
		err = answer.Get(&out)
	}
	if err != nil {
		return UsageReport{}, models.Wrap(models.Unavailable, err, "no worker says how far it is")
	}
	return out, nil
}
