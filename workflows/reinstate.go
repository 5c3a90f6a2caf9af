package workflows

import (
	"cmp"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
)

// ReinstateInput says who gets his access back.
type ReinstateInput struct {
	UserID uuid.UUID
	Hold   models.Hold // the reason that is lifted; empty: models.HoldOffboarded
	Why    string      // in words, for the audit log
	Actor  models.Actor
}

// WorkflowID is that of Offboard, which it undoes.
func (in ReinstateInput) WorkflowID() string { return OffboardInput{UserID: in.UserID}.WorkflowID() }

// Summary is the run's line in the Temporal UI.
func (in ReinstateInput) Summary() string {
	return "Give a user his access back, asked for by " + in.Actor.ID
}

func (ReinstateInput) overrules() {}

// Reinstate undoes Offboard: it takes the place of one that is under way, lifts its reason, and
// has LiteLLM follow. While there are other reasons the user still may do nothing. The sessions
// that ended do not come back: he signs in. The kinds are those of store.ReinstateUser.
//
// What Offboard held with the user (keys, subscriptions) is given back in the same transaction.
func Reinstate(ctx workflow.Context, in ReinstateInput) (OffboardResult, error) {
	if err := workflow.UpsertTypedSearchAttributes(ctx, attrSubject.ValueSet(in.UserID.String())); err != nil {
		return OffboardResult{}, err
	}
	left, err := local(ctx, "Lift the reason that holds the user back", users.ReinstateUser, activities.UserHoldInput{
		ID: in.UserID, Hold: cmp.Or(in.Hold, models.HoldOffboarded), Why: in.Why, Actor: in.Actor,
	})
	if err != nil {
		return OffboardResult{}, err
	}
	return followHolds(ctx, in.UserID, left)
}
