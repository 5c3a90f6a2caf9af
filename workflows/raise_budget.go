package workflows

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
)

// RaiseBudgetInput names the raise.
type RaiseBudgetInput struct{ RaiseID uuid.UUID }

// WorkflowID is the raise's.
func (in RaiseBudgetInput) WorkflowID() string { return "raise-budget/" + in.RaiseID.String() }

// Summary is the run's line in the Temporal UI.
func (RaiseBudgetInput) Summary() string { return "Raise a budget for a while, and lower it again" }

// RaiseBudgetResult says how it ended.
type RaiseBudgetResult struct{ Status models.RaiseStatus }

// RaiseBudget waits for the end of a raise, and has the budget be what it was again: also when
// nobody was there at that time. Whoever approves, denies or withdraws it changes the row, which
// signals with row-changed. What follows from each change is for EnforceBudgets to judge.
func RaiseBudget(ctx workflow.Context, in RaiseBudgetInput) (RaiseBudgetResult, error) {
	changed := workflow.GetSignalChannel(ctx, RowChanged)
	told := func() bool { return changed.Len() > 0 }
	raise, was := activities.RaiseRef{ID: in.RaiseID}, models.RaiseStatus("")
	for {
		for changed.ReceiveAsync(nil) { // drained: the next look sees all of them
		}
		r, err := local(ctx, "See how the raise stands", budgets.LookAtRaise, raise)
		if err == nil && !r.Over() && r.Left <= 0 {
			r, err = local(ctx, "End the raise", budgets.EndRaise, raise)
		}
		if err != nil {
			return RaiseBudgetResult{}, err
		}
		workflow.SetCurrentDetails(ctx, raiseDetails(r))
		if r.Status != was && r.Status != models.RaisePending {
			was = r.Status
			if err := nudge(ctx, EnforceBudgets, EnforceBudgetsInput{}); err != nil {
				return RaiseBudgetResult{}, err
			}
		}
		switch {
		case told():
		case r.Over():
			return RaiseBudgetResult{r.Status}, nil
		default:
			// A clock that is a little behind the database's would find it not over, and look again.
			until := workflow.AwaitOptions{Timeout: max(r.Left, time.Millisecond), TimerOptions: workflow.TimerOptions{Summary: "Sleep until the raise ends"}}
			if _, err := workflow.AwaitWithOptions(ctx, until, told); err != nil {
				return RaiseBudgetResult{}, err
			}
		}
	}
}

func raiseDetails(r activities.RaiseState) string {
	switch r.Status {
	case models.RaisePending:
		return fmt.Sprintf("**Waiting for an admin** to approve %s USD more, until %s at most.", r.Amount, clockTime(r.UntilAt))
	case models.RaiseActive:
		return fmt.Sprintf("**Raised by %s USD** until %s. Then the budget is what it was.", r.Amount, clockTime(r.UntilAt))
	case models.RaiseEnded, models.RaiseWithdrawn:
		return "**The budget is what it was.**"
	case models.RaiseDenied:
		return "**Denied.** The budget stays as it is."
	}
	return "The budget is gone."
}
