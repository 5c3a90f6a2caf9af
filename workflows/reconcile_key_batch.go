package workflows

import (
	"fmt"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
)

// ReconcileKeyBatchInput names new API keys that were made at about the same time.
type ReconcileKeyBatchInput struct {
	BatchID uuid.UUID
	KeyIDs  []uuid.UUID
}

// WorkflowID is that of this batch alone.
func (in ReconcileKeyBatchInput) WorkflowID() string { return "keys/" + in.BatchID.String() }

// Summary is the run's line in the Temporal UI.
func (in ReconcileKeyBatchInput) Summary() string {
	return fmt.Sprintf("Make %d new API keys at LiteLLM", len(in.KeyIDs))
}

// ReconcileKeyBatchResult says which keys are left to runs of their own: one that LiteLLM refuses,
// or that changed meanwhile, or all when LiteLLM does not answer. Those runs are `key/<id>`; when
// LiteLLM does not answer, whoever waits starts them, or Sweep when it is back.
type ReconcileKeyBatchResult struct{ Left []uuid.UUID }

// ReconcileKeyBatch is ReconcileKey for new keys, which LiteLLM can hear of from nobody else: all
// by one activity, and one statement.
func ReconcileKeyBatch(ctx workflow.Context, in ReconcileKeyBatchInput) (ReconcileKeyBatchResult, error) {
	var done ReconcileKeysResult
	left, err := settleKeyBatch(ctx, activities.ApplyKeysInput{IDs: in.KeyIDs, New: true}, &done)
	workflow.SetCurrentDetails(ctx, keysDetails(done))
	return ReconcileKeyBatchResult{left}, err
}
