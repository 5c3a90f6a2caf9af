package workflows

import (
	"fmt"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
)

// ReconcileKeyInput names the API key whose row LiteLLM must follow. New says that the run is the
// first that LiteLLM can hear of the key from.
type ReconcileKeyInput struct {
	KeyID uuid.UUID
	New   bool `json:",omitzero"`
}

// WorkflowID makes one run at a time follow this key.
func (in ReconcileKeyInput) WorkflowID() string { return "key/" + in.KeyID.String() }

// Summary is the run's line in the Temporal UI.
func (ReconcileKeyInput) Summary() string { return "Make LiteLLM hold the API key as its row says" }

// ReconcileKeyResult is where the key ended up.
type ReconcileKeyResult struct{ Status models.KeyStatus }

// ReconcileKey makes LiteLLM hold what the key's row says: made, changed, blocked or gone. It waits
// for LiteLLM as long as it takes, a day at most. A change that arrives meanwhile has signalled,
// and a run cannot end over an unread signal, so the last wish always wins. It is a Conflict when
// LiteLLM refuses the key as it is now; its row says so then.
func ReconcileKey(ctx workflow.Context, in ReconcileKeyInput) (ReconcileKeyResult, error) {
	changed := workflow.GetSignalChannel(ctx, RowChanged)
	key := activities.ApplyKeyInput{ID: in.KeyID, New: in.New}
	for {
		for changed.ReceiveAsync(nil) { // drained: the next look sees all of them
		}
		workflow.SetCurrentDetails(ctx, applyingKeyDetails)
		applied, err := bulk(ctx, "Look at LiteLLM's key, and write what differs, until a look finds nothing", keys.ApplyKey, key)
		if err != nil {
			return ReconcileKeyResult{}, err
		}
		verdict, err := recordKey(ctx, in.KeyID, applied)
		if err != nil {
			return ReconcileKeyResult{}, err
		}
		if key.New = false; !verdict.Current || changed.Len() > 0 {
			continue
		}
		workflow.SetCurrentDetails(ctx, appliedKeyDetails(applied))
		if applied.Refused != "" {
			err = temporal.NewNonRetryableApplicationError(applied.Refused, string(models.Conflict), nil)
		}
		return ReconcileKeyResult{verdict.Status}, err
	}
}

// recordKey records what LiteLLM was seen to hold, or why it refuses.
func recordKey(ctx workflow.Context, id uuid.UUID, applied activities.ApplyKeyResult) (activities.KeyVerdict, error) {
	if applied.Refused != "" {
		return local(ctx, "Record why LiteLLM refuses the key", keys.FailKey, activities.FailKeyInput{
			ID: id, Generation: applied.Generation, Why: applied.Refused,
		})
	}
	return local(ctx, "Record that LiteLLM was seen to hold the key", keys.ObserveKey, models.KeyProof{
		ID: id, Generation: applied.Generation,
	})
}

const applyingKeyDetails = "**Bringing LiteLLM into line with the key's row.**\n\n" +
	"If LiteLLM does not answer, the run waits for it and tries again: the number of attempts and the last failure are under *Pending Activities*."

func appliedKeyDetails(a activities.ApplyKeyResult) string {
	if a.Refused != "" {
		return fmt.Sprintf("**LiteLLM refuses the key** as of generation %d of its row: %s\n\nIt is tried again when it changes, or when a full sync finds it different.",
			a.Generation, escape(a.Refused))
	}
	return fmt.Sprintf("LiteLLM was seen to hold **generation %d** of the row. Writes that it took: %d.", a.Generation, len(a.Did))
}
