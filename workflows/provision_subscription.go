package workflows

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
)

// ProvisionSubscriptionInput names the subscription that somebody wants.
type ProvisionSubscriptionInput struct {
	SubscriptionID uuid.UUID
	Actor          models.Actor
}

// WorkflowID lets a subscription be provisioned by one run at a time.
func (in ProvisionSubscriptionInput) WorkflowID() string {
	return "provision-subscription/" + in.SubscriptionID.String()
}

// Summary is the run's line in the Temporal UI.
func (in ProvisionSubscriptionInput) Summary() string {
	return "Make a subscription active, asked for by " + in.Actor.ID
}

// ProvisionSubscriptionResult is where the subscription ended up.
type ProvisionSubscriptionResult struct {
	Status models.SubscriptionStatus
	Reason string
}

const (
	// provisionAsks is how often in a row LiteLLM is asked about a model. Its word is good for
	// minutes, so more than one is needed only when we come to hear it late.
	provisionAsks = 3

	// provisionPause is how long another run is left alone, at first and at most.
	provisionPause    = 250 * time.Millisecond
	maxProvisionPause = 30 * time.Second
)

// ProvisionSubscription makes a subscription active that is wanted so: LiteLLM's word on the
// model is fresh and the model available, and LiteLLM holds the user, so that a key made a second
// later can be his. It waits for LiteLLM as long as it takes. A wish that arrives meanwhile has
// signalled, and a run cannot end over an unread signal, so no approval is overlooked; where
// nothing is wanted any more, it ends with the status as it is. It is a Conflict when LiteLLM
// refuses the user; the subscription says so then.
func ProvisionSubscription(ctx workflow.Context, in ProvisionSubscriptionInput) (ProvisionSubscriptionResult, error) {
	changed := workflow.GetSignalChannel(ctx, RowChanged)
	for {
		for changed.ReceiveAsync(nil) { // drained: the next look sees all of them
		}
		res, err := provision(ctx, in)
		if changed.Len() == 0 {
			return res, err
		}
	}
}

// provision looks what the subscription lacks and gets it, until it lacks nothing.
func provision(ctx workflow.Context, in ProvisionSubscriptionInput) (ProvisionSubscriptionResult, error) {
	asked, pause := 0, provisionPause
	for {
		p, err := local(ctx, "Make the subscription active, or see what it lacks", subscriptions.ProvisionSubscription,
			activities.ProvisionSubscriptionInput{ID: in.SubscriptionID, Actor: in.Actor})
		switch {
		case err != nil:
			return ProvisionSubscriptionResult{}, err
		case p.Done():
			return provisioned(ctx, in, p)
		case workflow.GetInfo(ctx).GetCurrentHistoryLength() > manyEvents:
			return ProvisionSubscriptionResult{}, workflow.NewContinueAsNewError(ctx, ProvisionSubscription, in)
		}
		var ended bool
		if p.StaleModel {
			if asked == provisionAsks {
				return refuseSubscription(ctx, in, "it could not be made sure that LiteLLM offers the model; please try again later")
			}
			ended, err = askForModel(ctx, p.ModelID, pause)
		} else {
			ended, err = awaitUser(ctx, p.UserID, pause)
		}
		switch why := refusal(err); {
		case why != "" && !p.StaleModel:
			return refuseSubscription(ctx, in, why)
		case err != nil:
			workflow.SetCurrentDetails(ctx, "**Failed**: "+escape(kinded(err).Message)+"\n\nThe subscription is still wanted: the sweep starts this again.")
			return ProvisionSubscriptionResult{}, err
		case !ended:
			pause = min(2*pause, maxProvisionPause)
		case p.StaleModel:
			asked++
		default: // while the user was waited for, the word on the model may have grown old
			asked = 0
		}
	}
}

// askForModel has the catalogue made sure of the model.
func askForModel(ctx workflow.Context, id string, pause time.Duration) (ended bool, err error) {
	in := RefreshModelInput{ModelID: id, Actor: models.System("ProvisionSubscription")}
	workflow.SetCurrentDetails(ctx, "**Waiting for LiteLLM's word on the model**: see the run `"+in.WorkflowID()+"`.")
	_, ended, err = follow(ctx, RefreshModel, in, pause, "Another run asks LiteLLM about the model; let it end")
	return ended, err
}

// awaitUser has LiteLLM hold the user.
func awaitUser(ctx workflow.Context, id uuid.UUID, pause time.Duration) (ended bool, err error) {
	in := ReconcileUserInput{UserID: id}
	workflow.SetCurrentDetails(ctx, "**Waiting until LiteLLM holds the user**: see the run `"+in.WorkflowID()+"`.")
	_, ended, err = follow(ctx, ReconcileUser, in, pause, "Another run is at work on the user; let it end")
	return ended, err
}

// refusal is what LiteLLM refuses, in words; empty when err is something else. A run that
// somebody cancelled or terminated is no refusal.
func refusal(err error) string {
	if app, ok := errors.AsType[*temporal.ApplicationError](err); ok && models.Kind(app.Type()) == models.Conflict {
		return app.Message()
	}
	return ""
}

// refuseSubscription records why the subscription cannot be active, and returns that.
func refuseSubscription(ctx workflow.Context, in ProvisionSubscriptionInput, why string) (ProvisionSubscriptionResult, error) {
	now, err := local(ctx, "Record why the subscription cannot be active", subscriptions.RefuseSubscription,
		activities.RefuseSubscriptionInput{ID: in.SubscriptionID, Why: why, Actor: in.Actor})
	if err != nil {
		return ProvisionSubscriptionResult{}, err
	}
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("**Refused**: %s\n\nThe subscription is %s. Its owner may ask again.", escape(why), now.Status))
	if err := closeProvision(ctx, in, "refused"); err != nil {
		return ProvisionSubscriptionResult{}, err
	}
	return ProvisionSubscriptionResult{now.Status, why}, temporal.NewNonRetryableApplicationError(why, string(models.Conflict), nil)
}

// provisioned reports where the subscription ended up.
func provisioned(ctx workflow.Context, in ProvisionSubscriptionInput, p models.Provision) (ProvisionSubscriptionResult, error) {
	details := fmt.Sprintf("The subscription is **%s**.", p.Status)
	if p.Reason != "" {
		details += " " + escape(p.Reason)
	}
	if len(p.Cascades) > 0 {
		workflow.SetCurrentDetails(ctx, details+"\n\n**Waiting until LiteLLM gives back what its keys had**: see the runs `restore-subscription/…`.")
		giveBack(ctx, p.Cascades)
	}
	workflow.SetCurrentDetails(ctx, details)
	return ProvisionSubscriptionResult{p.Status, p.Reason}, closeProvision(ctx, in, string(p.Status))
}

// giveBack has LiteLLM follow the cascades that gave something back with the subscription, and
// waits for it. The subscription is active whatever comes of it, and what fails the sweep starts
// again.
func giveBack(ctx workflow.Context, ids []uuid.UUID) {
	own, _ := workflow.NewDisconnectedContext(ctx)
	var runs []workflow.ChildWorkflowFuture
	for _, id := range ids {
		runs = append(runs, launch(own, RestoreSubscription, RestoreSubscriptionInput{CascadeID: id}))
	}
	for _, run := range runs {
		_ = workflow.Await(ctx, run.IsReady) // cancelled: the runs go on
	}
}

// closeProvision is what a person filters by.
func closeProvision(ctx workflow.Context, in ProvisionSubscriptionInput, outcome string) error {
	return workflow.UpsertTypedSearchAttributes(ctx, attrSubject.ValueSet(in.SubscriptionID.String()), attrOutcome.ValueSet(outcome))
}
