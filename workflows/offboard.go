package workflows

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
)

// OffboardInput says who is to be held back, and why.
type OffboardInput struct {
	UserID uuid.UUID
	Hold   models.Hold   // the reason that is added; empty: models.HoldOffboarded
	Why    string        // in words, for the audit log
	Grace  time.Duration // how long he keeps his access yet
	Actor  models.Actor
}

// WorkflowID is that of Reinstate, too: of what is asked for about a user, the last counts.
func (in OffboardInput) WorkflowID() string { return "offboard-user/" + in.UserID.String() }

// Summary is the run's line in the Temporal UI.
func (in OffboardInput) Summary() string {
	return "Take a user's access away, asked for by " + in.Actor.ID
}

func (OffboardInput) overrules() {}

// OffboardResult is where the user ended up.
type OffboardResult struct {
	Holds  []models.Hold     // all reasons why he may do nothing; none: he may
	Status models.UserStatus // whether LiteLLM was seen to agree
}

// Offboard takes a user's access away, in such a way that Reinstate can give it back: once the
// grace has ended, his sessions and tokens end with his row's commit, and LiteLLM lets him spend
// nothing. To cancel the run in the grace is to let him keep his access; cancelled later, he
// stays held. Another Offboard, or Reinstate, takes the place of one that is under way. The
// kinds are those of store.DeactivateUser.
//
// The row is the wish: what hangs on a user (keys, subscriptions) is held in the same transaction,
// each thing by a reason of its own, and LiteLLM follows on his keys beside him.
func Offboard(ctx workflow.Context, in OffboardInput) (OffboardResult, error) {
	if err := workflow.UpsertTypedSearchAttributes(ctx, attrSubject.ValueSet(in.UserID.String())); err != nil {
		return OffboardResult{}, err
	}
	if err := grace(ctx, in.Grace); err != nil {
		return OffboardResult{}, err
	}
	held, err := local(ctx, "Hold the user back, and end his sessions and tokens", users.DeactivateUser, activities.UserHoldInput{
		ID: in.UserID, Hold: cmp.Or(in.Hold, models.HoldOffboarded), Why: in.Why, Actor: in.Actor,
	})
	if err != nil {
		return OffboardResult{}, err
	}
	return followHolds(ctx, in.UserID, held)
}

// grace waits until the user has had his time.
func grace(ctx workflow.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	until := workflow.Now(ctx).Add(d).UTC().Format("2006-01-02 15:04 MST")
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("**The user keeps his access until %s.**\n\n"+
		"- to take it away now: deactivate him without a grace\n- to let him keep it: reinstate him, or cancel this run\n", until))
	err := workflow.NewTimerWithOptions(ctx, d, workflow.TimerOptions{Summary: "The user keeps his access until this ends"}).Get(ctx, nil)
	if err != nil {
		workflow.SetCurrentDetails(ctx, "The run was cancelled before the user's time was over: **he keeps his access**.")
	}
	return err
}

// followHolds has LiteLLM follow the row of a user whose holds changed, and on his keys.
func followHolds(ctx workflow.Context, id uuid.UUID, now activities.UserHoldResult) (OffboardResult, error) {
	outcome, details := "active", "**The user may sign in** and spend."
	if len(now.Holds) > 0 {
		words := make([]string, len(now.Holds))
		for i, h := range now.Holds {
			words[i] = string(h)
		}
		outcome, details = "held", "**The user is held back**, because of: "+strings.Join(words, ", ")+". His sessions and tokens have ended."
	}
	workflow.SetCurrentDetails(ctx, details+"\n\n**Waiting until LiteLLM agrees**: see the run `"+ReconcileUserInput{id}.WorkflowID()+"`, and those of his keys.")
	res := OffboardResult{Holds: now.Holds}
	keys, settled := workflow.NewFuture(ctx)
	if knows(ctx, changeHoldCascades) {
		workflow.Go(ctx, func(ctx workflow.Context) { settled.SetError(followCascades(ctx, id)) })
	} else {
		settled.SetValue(nil)
	}
	followed, err := followUser(ctx, id)
	if err == nil {
		err = keys.Get(ctx, nil)
	}
	if err != nil {
		workflow.SetCurrentDetails(ctx, details+"\n\nLiteLLM was not seen to agree: "+escape(kinded(err).Message)+".")
		return res, err
	}
	res.Status = followed.Status
	workflow.SetCurrentDetails(ctx, details+"\n\nLiteLLM was seen to agree.")
	return res, workflow.UpsertTypedSearchAttributes(ctx, attrOutcome.ValueSet(outcome))
}
