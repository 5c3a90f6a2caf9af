package workflows

import (
	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"
)

// EndSubscriptionInput names the cascade: what ended subscriptions, one or many, and took their
// models off keys.
type EndSubscriptionInput struct {
	CascadeID uuid.UUID

	Done ReconcileKeysResult // what a run before this one had done
}

// WorkflowID lets a cascade be followed by one run at a time.
func (in EndSubscriptionInput) WorkflowID() string {
	return "end-subscription/" + in.CascadeID.String()
}

// Summary is the run's line in the Temporal UI.
func (EndSubscriptionInput) Summary() string {
	return "Have LiteLLM take from the keys what their owners are not subscribed to any more"
}

// EndSubscriptionResult is what the cascade concerned.
type EndSubscriptionResult struct{ Subscriptions, Keys int }

// EndSubscription has LiteLLM follow what has ended, or suspended, subscriptions. The rows are the
// wish, and were written with the cascade, in one transaction; here their keys are made true. It
// waits for LiteLLM as long as it takes: until then the subscriptions say that they are ending.
func EndSubscription(ctx workflow.Context, in EndSubscriptionInput) (EndSubscriptionResult, error) {
	if err := beginCascade(ctx, in.CascadeID); err != nil {
		return EndSubscriptionResult{}, err
	}
	res, more, err := settleCascade(ctx, in.CascadeID, &in.Done)
	if err == nil && more {
		err = workflow.NewContinueAsNewError(ctx, EndSubscription, in)
	}
	return res, err
}
