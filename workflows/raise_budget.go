package workflows

import (
	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"
)

// RaiseBudgetInput names the raise.
type RaiseBudgetInput struct{ RaiseID uuid.UUID }

// WorkflowID is the raise's.
func (in RaiseBudgetInput) WorkflowID() string { return "raise-budget/" + in.RaiseID.String() }

// Summary is the run's line in the Temporal UI.
func (RaiseBudgetInput) Summary() string { return "Raise a budget for a while, and lower it again" }

// RaiseBudgetResult says how it ended.
type RaiseBudgetResult struct{}

// RaiseBudget waits for the end of a raise.
func RaiseBudget(ctx workflow.Context, in RaiseBudgetInput) (RaiseBudgetResult, error) {
	panic("contract")
}
