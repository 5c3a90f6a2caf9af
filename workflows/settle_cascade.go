package workflows

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
)

// maxCascadePause is how long a cascade waits, at most, while nothing goes forward.
const maxCascadePause = 30 * time.Second

// settleCascade has LiteLLM follow a cascade on every key: in batches, and by runs of their own
// those that cannot be settled in their batch. Only when none is left is the cascade observed:
// while LiteLLM is away, or a key is at work, it waits and looks again. It says whether a new run
// has to go on, because the history of this one has grown long.
func settleCascade(ctx workflow.Context, id uuid.UUID, done *ReconcileKeysResult) (res EndSubscriptionResult, more bool, err error) {
	for pause := time.Second; ; {
		page, err := local(ctx, "Find keys of the cascade that LiteLLM does not follow", cascades.CascadeKeys,
			activities.CascadeKeysInput{ID: id, Limit: keysAtOnce})
		if err != nil {
			return res, false, err
		}
		done.Silent = done.Silent && page.Left > 0
		workflow.SetCurrentDetails(ctx, cascadeDetails(page, *done))
		if page.Left == 0 {
			seen, err := local(ctx, "Record that LiteLLM was seen to follow on every key", cascades.ObserveCascade,
				activities.CascadeRef{ID: id, Generation: page.Generation})
			if err != nil || seen.Settled {
				return EndSubscriptionResult{page.Subscriptions, page.Keys}, false, err
			}
		}
		moved, err := settlePage(ctx, page, done)
		if err != nil {
			return res, false, err
		}
		if moved {
			pause = time.Second
		} else {
			workflow.SetCurrentDetails(ctx, cascadeDetails(page, *done))
			err := workflow.NewTimerWithOptions(ctx, pause, workflow.TimerOptions{Summary: "Wait for LiteLLM, and for runs of single keys"}).Get(ctx, nil)
			if err != nil {
				return res, false, err
			}
			pause = min(2*pause, maxCascadePause)
		}
		if workflow.GetInfo(ctx).GetCurrentHistoryLength() > manyEvents {
			return res, true, nil
		}
	}
}

// settlePage does the work for one page, and says whether it settled any key.
func settlePage(ctx workflow.Context, page activities.CascadeKeysResult, done *ReconcileKeysResult) (moved bool, err error) {
	if len(page.Unsettled) == 0 {
		return false, nil
	}
	before := done.Settled
	err = settleKeys(ctx, activities.ApplyKeysInput{IDs: page.Unsettled}, done)
	return done.Settled > before, err
}

// beginCascade opens a run that settles a cascade, for who looks for it in the Temporal UI.
func beginCascade(ctx workflow.Context, id uuid.UUID) error {
	return workflow.UpsertTypedSearchAttributes(ctx, attrSubject.ValueSet(id.String()))
}

// launchCascade has a cascade followed by a run of its own.
func launchCascade(ctx workflow.Context, c activities.CascadeRef) workflow.ChildWorkflowFuture {
	if c.Generation > 1 {
		return launch(ctx, RestoreSubscription, RestoreSubscriptionInput{CascadeID: c.ID})
	}
	return launch(ctx, EndSubscription, EndSubscriptionInput{CascadeID: c.ID})
}

// followCascades has LiteLLM follow on all keys of a user, and waits for it.
func followCascades(ctx workflow.Context, userID uuid.UUID) error {
	const longest = 10 * time.Minute
	for pause := time.Second; ; pause = min(2*pause, longest) {
		found, err := local(ctx, "See on what of the user's keys LiteLLM has yet to follow", cascades.UserCascades, activities.UserRef{ID: userID})
		if err != nil || len(found.Cascades) == 0 {
			return err
		}
		if err := followCascade(ctx, found.Cascades[0], pause); err != nil {
			return err
		}
	}
}

// followCascade is follow for the run of a cascade.
func followCascade(ctx workflow.Context, c activities.CascadeRef, pause time.Duration) (err error) {
	const summary = "Another run follows on these keys; let it end"
	if c.Generation > 1 {
		_, _, err = follow(ctx, RestoreSubscription, RestoreSubscriptionInput{CascadeID: c.ID}, pause, summary)
	} else {
		_, _, err = follow(ctx, EndSubscription, EndSubscriptionInput{CascadeID: c.ID}, pause, summary)
	}
	return err
}

// startCascades has cascades followed, each by a run that outlives this one.
func startCascades(ctx workflow.Context, found []activities.CascadeRef) error {
	var runs []workflow.ChildWorkflowFuture
	for _, c := range found {
		runs = append(runs, launchCascade(ctx, c))
	}
	return allBegun(ctx, runs)
}

// cascade repeats a step that moves subscriptions until it finds no more, and has LiteLLM follow
// on their keys. It returns how many were moved. What it leaves because the history has grown
// long, the clock finds a minute later.
func cascade[In any](ctx workflow.Context, summary string, within time.Duration, act func(context.Context, In) (activities.FoundCascades, error), in In) (moved int, err error) {
	for {
		found, err := regular(ctx, summary, within, act, in)
		moved += found.Subscriptions
		if err == nil {
			err = startCascades(ctx, found.Cascades)
		}
		if err != nil || !found.More || workflow.GetInfo(ctx).GetCurrentHistoryLength() > manyEvents {
			return moved, err
		}
	}
}

// cascadeModels moves the subscriptions to models that are gone, and to those that are back.
func cascadeModels(ctx workflow.Context) (ended, restored int, err error) {
	ended, err = cascade(ctx, "End the subscriptions to models that are gone", patience, cascades.CascadeVanished, activities.CascadeModelsInput{})
	if err != nil {
		return ended, 0, err
	}
	restored, err = cascade(ctx, "Give back the subscriptions to models that are back", patience, cascades.RestoreReturned, activities.CascadeModelsInput{})
	return ended, restored, err
}

func cascadeDetails(page activities.CascadeKeysResult, done ReconcileKeysResult) string {
	text := fmt.Sprintf("LiteLLM was seen to follow on **%d of %d keys**, of %d subscriptions. Cause: `%s`.",
		max(0, page.Keys-page.Left), page.Keys, page.Subscriptions, page.Cause)
	if done.Left > 0 {
		text += fmt.Sprintf(" Left to runs of their own, `key/…`: %d.", done.Left)
	}
	if done.Silent {
		text += "\n\n**LiteLLM does not answer.** The run waits for it, and tries again."
	}
	return text
}
