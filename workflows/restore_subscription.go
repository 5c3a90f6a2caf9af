package workflows

import (
	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"
)

// RestoreSubscriptionInput names the cascade whose cause has gone.
type RestoreSubscriptionInput struct {
	CascadeID uuid.UUID

	Done ReconcileKeysResult // what a run before this one had done
}

// WorkflowID lets a cascade be taken back by one run at a time.
func (in RestoreSubscriptionInput) WorkflowID() string {
	return "restore-subscription/" + in.CascadeID.String()
}

// Summary is the run's line in the Temporal UI.
func (RestoreSubscriptionInput) Summary() string {
	return "Have LiteLLM give back to the keys what a cascade took"
}

// RestoreSubscription undoes EndSubscription: the subscriptions are active again, what was taken
// from their owners' keys was given back in the same transaction, and LiteLLM follows. It may be
// at work while the EndSubscription of the cascade still is: whoever writes a key looks at its
// newest wish.
func RestoreSubscription(ctx workflow.Context, in RestoreSubscriptionInput) (EndSubscriptionResult, error) {
	if err := beginCascade(ctx, in.CascadeID); err != nil {
		return EndSubscriptionResult{}, err
	}
	res, more, err := settleCascade(ctx, in.CascadeID, &in.Done)
	if err == nil && more {
		err = workflow.NewContinueAsNewError(ctx, RestoreSubscription, in)
	}
	return res, err
}
