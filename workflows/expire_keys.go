package workflows

import (
	"errors"
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
	Alarmed int `json:",omitzero"` // LiteLLM still takes them minutes after they were revoked
}

// ExpireAhead is how far a run looks ahead: past the next minute, in which Expire starts the next.
// A key that is given an end before that nudges.
const ExpireAhead = expireEvery + 15*time.Second

// ExpireKeys revokes keys in the second in which they expire: first those that were missed, then
// it sleeps until the next one's time, as long as there is one soon, or until a row with a sooner
// end signals. LiteLLM follows in batches while the run goes on with the next: a slow LiteLLM makes
// no key last longer here. The alarm for what it still takes is raised in its second, too.
func ExpireKeys(ctx workflow.Context, in ExpireKeysInput) (ExpireKeysResult, error) {
	flying, failed := 0, error(nil)
	landed := func() bool { return flying == 0 }
	changed, wakes := workflow.GetSignalChannel(ctx, RowChanged), knows(ctx, changeWakeKeys)
	told := func() bool { return wakes && changed.Len() > 0 }
	for {
		if workflow.GetInfo(ctx).GetCurrentHistoryLength() > manyEvents {
			if err := workflow.Await(ctx, landed); err != nil || failed != nil {
				return in.Done, errors.Join(failed, err)
			}
			return in.Done, workflow.NewContinueAsNewError(ctx, ExpireKeys, in)
		}
		for changed.ReceiveAsync(nil) { // drained: the next look sees all of them
		}
		due, err := local(ctx, "Revoke the API keys whose time is over", keys.EndDueKeys, activities.EndDueKeysInput{Limit: keysAtOnce, Ahead: ExpireAhead})
		if err != nil {
			return in.Done, err
		}
		in.Done.Alarmed += due.Alarmed
		workflow.SetCurrentDetails(ctx, expireKeysDetails(in.Done, due.Next))
		switch {
		case len(due.IDs) > 0:
			in.Done.Ended += len(due.IDs)
			flying++
			workflow.Go(ctx, func(ctx workflow.Context) {
				defer func() { flying-- }()
				if err := followEnded(ctx, due, &in.Done); err != nil {
					failed = err
				}
			})
		case failed != nil, due.Next == nil && (landed() || !wakes):
			if err := workflow.Await(ctx, landed); err != nil {
				return in.Done, err
			}
			if failed == nil && told() {
				continue
			}
			workflow.SetCurrentDetails(ctx, expireKeysDetails(in.Done, nil))
			return in.Done, failed
		default:
			if err := sleep(ctx, due.Next, told, landed); err != nil {
				return in.Done, err
			}
		}
	}
}

// sleep waits until the next key's time, or a row tells of a sooner one. Where there is none soon,
// it waits for the batches, and looks again each minute while they take long.
func sleep(ctx workflow.Context, next *time.Duration, told, landed func() bool) error {
	ctx, wake := workflow.WithCancel(ctx)
	defer wake() // takes the timer away
	until := workflow.AwaitOptions{Timeout: expireEvery, TimerOptions: workflow.TimerOptions{Summary: "Let LiteLLM follow"}}
	if next == nil {
		_, err := workflow.AwaitWithOptions(ctx, until, func() bool { return told() || landed() })
		return err
	}
	// A clock that is a little behind the database's would find nothing due, and look again.
	until.Timeout, until.TimerOptions.Summary = max(*next, time.Millisecond), "Sleep until the next API key expires, or an alarm is due"
	_, err := workflow.AwaitWithOptions(ctx, until, told)
	return err
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
	text := fmt.Sprintf("Revoked: **%d**. LiteLLM refuses: %d. Left to runs of their own, `key/…`, or to the sweep: %d. LiteLLM still takes, minutes after their end: **%d**.",
		done.Ended, done.Settled, done.Left, done.Alarmed)
	if next != nil {
		text += fmt.Sprintf("\n\n**Sleeping %s**, until something is due.", next.Round(time.Millisecond))
	}
	return text
}
