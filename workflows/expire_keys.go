package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
)

// ExpireKeysInput says what a run before this one had done.
type ExpireKeysInput struct{ Done ExpireKeysResult }

// WorkflowID keeps one run open at a time.
func (ExpireKeysInput) WorkflowID() string { return "expire-keys" }

// Summary is the run's line in the Temporal UI.
func (ExpireKeysInput) Summary() string { return "Revoke API keys in the second in which they expire" }

// ExpireKeysResult counts what became of the keys.
type ExpireKeysResult struct {
	Ended   int
	Settled int // LiteLLM refuses them
	Left    int // to runs of their own, or to the sweep
}

// expireAhead is how far a run looks ahead: past the next minute, in which Expire starts the next.
const expireAhead = expireEvery + 15*time.Second

// ExpireKeys revokes keys in the second in which they expire: first those that were missed, then
// it sleeps until the next one's time, as long as there is one soon. LiteLLM follows in batches
// while the run goes on with the next: a slow LiteLLM makes no key last longer here.
func ExpireKeys(ctx workflow.Context, in ExpireKeysInput) (ExpireKeysResult, error) {
	batches, failed := workflow.NewWaitGroup(ctx), error(nil)
	for {
		if workflow.GetInfo(ctx).GetCurrentHistoryLength() > manyEvents {
			if batches.Wait(ctx); failed != nil {
				return in.Done, failed
			}
			return in.Done, workflow.NewContinueAsNewError(ctx, ExpireKeys, in)
		}
		due, err := local(ctx, "Revoke the API keys whose time is over", keys.EndDueKeys, activities.EndDueKeysInput{Limit: keysAtOnce, Ahead: expireAhead})
		if err != nil {
			return in.Done, err
		}
		workflow.SetCurrentDetails(ctx, expireKeysDetails(in.Done, due.Next))
		switch {
		case len(due.IDs) > 0:
			in.Done.Ended += len(due.IDs)
			batches.Add(1)
			workflow.Go(ctx, func(ctx workflow.Context) {
				defer batches.Done()
				if err := followEnded(ctx, due, &in.Done); err != nil {
					failed = err
				}
			})
		case due.Next == nil, failed != nil:
			batches.Wait(ctx)
			workflow.SetCurrentDetails(ctx, expireKeysDetails(in.Done, nil))
			return in.Done, failed
		default:
			// A clock that is a little behind the database's would find nothing due, and look again.
			until := workflow.TimerOptions{Summary: "Sleep until the next API key expires"}
			if err := workflow.NewTimerWithOptions(ctx, max(*due.Next, time.Millisecond), until).Get(ctx, nil); err != nil {
				return in.Done, err
			}
		}
	}
}

// followEnded has LiteLLM follow on a batch of keys, and adds to done what became of them.
func followEnded(ctx workflow.Context, due activities.EndDueKeysResult, done *ExpireKeysResult) error {
	for ids := due.IDs; len(ids) > 0; {
		page := ids[:min(len(ids), keysAtOnce)]
		ids = ids[len(page):]
		var settled ReconcileKeysResult
		if err := settleKeys(ctx, activities.ApplyKeysInput{IDs: page}, &settled); err != nil {
			return err
		}
		if settled.Silent { // the sweep starts them when LiteLLM is back
			settled.Left = len(page)
		}
		done.Settled += settled.Settled
		done.Left += settled.Left
	}
	return nil
}

func expireKeysDetails(done ExpireKeysResult, next *time.Duration) string {
	text := fmt.Sprintf("Revoked: **%d**. LiteLLM refuses: %d. Left to runs of their own, `key/…`, or to the sweep: %d.", done.Ended, done.Settled, done.Left)
	if next != nil {
		text += fmt.Sprintf("\n\n**Sleeping %s**, until the next one expires.", next.Round(time.Millisecond))
	}
	return text
}
