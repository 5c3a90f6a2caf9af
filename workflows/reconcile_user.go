package workflows

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
)

// ReconcileUserInput names the user whose row LiteLLM must follow.
type ReconcileUserInput struct{ UserID uuid.UUID }

// WorkflowID makes one run at a time follow this user.
func (in ReconcileUserInput) WorkflowID() string { return "user/" + in.UserID.String() }

// Summary is the run's line in the Temporal UI.
func (ReconcileUserInput) Summary() string { return "Make LiteLLM hold the user as his row says" }

// ReconcileUserResult is where the user ended up.
type ReconcileUserResult struct{ Status models.UserStatus }

// ReconcileUser makes LiteLLM hold what the user's row says. It waits for LiteLLM as long as it
// takes, a day at most. A change that arrives meanwhile has signalled, and a run cannot end over
// an unread signal, so the last wish always wins. It is a Conflict when LiteLLM refuses the user
// as he is now; his row says so then.
func ReconcileUser(ctx workflow.Context, in ReconcileUserInput) (ReconcileUserResult, error) {
	changed := workflow.GetSignalChannel(ctx, RowChanged)
	for {
		for changed.ReceiveAsync(nil) { // drained: the next look sees all of them
		}
		workflow.SetCurrentDetails(ctx, applyingDetails)
		applied, err := bulk(ctx, "Look at LiteLLM's user, and write what differs, until a look finds nothing", users.ApplyUser, activities.UserRef{ID: in.UserID})
		if err != nil {
			return ReconcileUserResult{}, err
		}
		verdict, err := recordUser(ctx, in.UserID, applied)
		if err != nil {
			return ReconcileUserResult{}, err
		}
		if !verdict.Current || changed.Len() > 0 {
			continue
		}
		workflow.SetCurrentDetails(ctx, appliedDetails(applied))
		if applied.Refused != "" {
			err = temporal.NewNonRetryableApplicationError(applied.Refused, string(models.Conflict), nil)
		}
		return ReconcileUserResult{verdict.Status}, err
	}
}

// recordUser records what LiteLLM was seen to hold, or why it refuses.
func recordUser(ctx workflow.Context, id uuid.UUID, applied activities.ApplyUserResult) (activities.UserVerdict, error) {
	if applied.Refused != "" {
		return local(ctx, "Record why LiteLLM refuses the user", users.FailUser, activities.FailUserInput{
			ID: id, Generation: applied.Generation, Why: applied.Refused,
		})
	}
	return local(ctx, "Record that LiteLLM was seen to hold the user", users.ObserveUser, activities.ObserveUserInput{
		ID: id, Generation: applied.Generation,
	})
}

const applyingDetails = "**Bringing LiteLLM into line with the user's row.**\n\n" +
	"If LiteLLM does not answer, the run waits for it and tries again: the number of attempts and the last failure are under *Pending Activities*."

func appliedDetails(a activities.ApplyUserResult) string {
	if a.Refused != "" {
		return fmt.Sprintf("**LiteLLM refuses the user** as of generation %d of his row: %s\n\nHe is tried again when he changes, or when a full sync finds him different.",
			a.Generation, escape(a.Refused))
	}
	return fmt.Sprintf("LiteLLM was seen to hold **generation %d** of the row. Writes that it took: %d.", a.Generation, len(a.Did))
}

// followUser runs ReconcileUser, and waits until LiteLLM holds what the row says. A run that is
// open already may have begun before the row changed, so another follows it.
func followUser(ctx workflow.Context, id uuid.UUID) (ReconcileUserResult, error) {
	const longest = 10 * time.Minute
	for pause := time.Second; ; pause = min(2*pause, longest) {
		res, ended, err := follow(ctx, ReconcileUser, ReconcileUserInput{UserID: id}, pause, "Another run is at work on the user; let it end")
		if ended || err != nil {
			return res, err
		}
	}
}
