package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
)

// EnforceBudgetsInput says what a run before this one had done: the rows say what is due.
type EnforceBudgetsInput struct {
	Done EnforceBudgetsResult `json:",omitzero"`
}

// WorkflowID is the same for all: there is one run at a time.
func (EnforceBudgetsInput) WorkflowID() string { return "enforce-budgets" }

// Summary is the run's line in the Temporal UI.
func (EnforceBudgetsInput) Summary() string { return "Judge the budgets that are due" }

// EnforceBudgetsResult counts what was done.
type EnforceBudgetsResult struct{ Judged, Held, Released, Rolled int }

// judgedAtOnce is how many budgets one step judges.
const judgedAtOnce = 200

// EnforceBudgets judges the budgets that are due, whose period is over, or whose hold begins; and
// has a run of its own look after each that is held or slowed, waits for its hold, or that LiteLLM
// has to follow. It is nudged by whoever makes a budget due, and by Sweep, which overlooks none.
func EnforceBudgets(ctx workflow.Context, in EnforceBudgetsInput) (EnforceBudgetsResult, error) {
	changed := workflow.GetSignalChannel(ctx, RowChanged)
	for {
		for changed.ReceiveAsync(nil) { // drained: the next look sees all of them
		}
		page, err := local(ctx, "Judge the budgets that are due", budgets.JudgeBudgets, activities.JudgeBudgetsInput{Limit: judgedAtOnce})
		if err != nil {
			return in.Done, err
		}
		in.Done.add(page)
		workflow.SetCurrentDetails(ctx, in.Done.details())
		if err := nudgeBudgets(ctx, page.Runs); err != nil {
			return in.Done, err
		}
		if !page.More && changed.Len() == 0 {
			left, err := local(ctx, "Find budgets that nobody looks after", budgets.UnsettledBudgets, activities.UnsettledBudgetsInput{Limit: sweptAtOnce})
			if err == nil {
				err = nudgeBudgets(ctx, left.Runs)
			}
			if err != nil || changed.Len() == 0 {
				return in.Done, err
			}
		}
		if workflow.GetInfo(ctx).GetCurrentHistoryLength() > manyEvents && changed.Len() == 0 {
			return in.Done, workflow.NewContinueAsNewError(ctx, EnforceBudgets, in)
		}
	}
}

// nudgeBudgets has budgets looked after, each by a run of its own that outlives this one.
func nudgeBudgets(ctx workflow.Context, found []activities.BudgetRun) error {
	runs := make([]workflow.ChildWorkflowFuture, len(found))
	for i, b := range found {
		runs[i] = launch(ctx, EnforceBudget, EnforceBudgetInput{b})
	}
	for i, b := range found {
		if err := nudged(ctx, runs[i], EnforceBudget, EnforceBudgetInput{b}); err != nil {
			return err
		}
	}
	return nil
}

func (r *EnforceBudgetsResult) add(page activities.JudgeBudgetsResult) {
	r.Judged += page.Judged
	r.Held += page.Held
	r.Released += page.Released
	r.Rolled += page.Rolled
}

func (r *EnforceBudgetsResult) details() string {
	return fmt.Sprintf("Judged: **%d**. Held: %d. Released: %d. Periods that were over: %d.\n\n"+
		"Each that is held has a run of its own, `enforce-budget/…`.", r.Judged, r.Held, r.Released, r.Rolled)
}
