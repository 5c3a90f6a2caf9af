package workflows

import "go.temporal.io/sdk/workflow"

// EnforceBudgetsInput is empty: the rows say what is due.
type EnforceBudgetsInput struct{}

// WorkflowID is the same for all: there is one run at a time.
func (EnforceBudgetsInput) WorkflowID() string { return "enforce-budgets" }

// Summary is the run's line in the Temporal UI.
func (EnforceBudgetsInput) Summary() string { return "Judge the budgets that are due" }

// EnforceBudgetsResult counts what was done.
type EnforceBudgetsResult struct{ Judged, Held, Released, Rolled int }

// EnforceBudgets judges the budgets that are due.
func EnforceBudgets(ctx workflow.Context, _ EnforceBudgetsInput) (EnforceBudgetsResult, error) {
	panic("contract")
}
