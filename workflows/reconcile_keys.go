package workflows

import (
	"fmt"
	"slices"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
)

// ReconcileKeysInput says which API keys are concerned.
type ReconcileKeysInput struct {
	Fresh bool // those too whose wish was recorded just now, as nobody else follows it

	After models.Place        // where a run before this one left off
	Done  ReconcileKeysResult // and what it had done
}

// WorkflowID keeps one walk over the unsettled keys open at a time.
func (ReconcileKeysInput) WorkflowID() string { return "keys/unsettled" }

// Summary is the run's line in the Temporal UI.
func (ReconcileKeysInput) Summary() string {
	return "Make LiteLLM hold all API keys as their rows say"
}

// ReconcileKeysResult counts what became of them.
type ReconcileKeysResult struct {
	Settled int
	Left    int  // to runs of their own: LiteLLM refuses them, or they changed meanwhile
	Silent  bool // LiteLLM went away: Sweep starts this again when it is back
}

// keysAtOnce is how many keys make a batch: a few seconds of work for LiteLLM, and some 40 kB of
// history.
const keysAtOnce = 200

// ReconcileKeys is ReconcileKey for all keys that wait and are nobody's concern: a sync found
// them different, their process died between the commit and the start, or their run gave up. It
// walks over them once, in batches; see ReconcileUsers.
func ReconcileKeys(ctx workflow.Context, in ReconcileKeysInput) (ReconcileKeysResult, error) {
	for {
		page, err := local(ctx, "Find API keys that LiteLLM does not follow", keys.UnsettledKeys, activities.UnsettledKeysInput{
			Fresh: in.Fresh, After: in.After, Limit: keysAtOnce,
		})
		if err != nil || len(page.IDs) == 0 {
			return in.Done, err
		}
		err = settleKeys(ctx, activities.ApplyKeysInput{IDs: page.IDs}, &in.Done)
		workflow.SetCurrentDetails(ctx, keysDetails(in.Done))
		if err != nil || in.Done.Silent {
			return in.Done, err
		}
		in.After = page.Last
		if workflow.GetInfo(ctx).GetCurrentHistoryLength() > manyEvents {
			return in.Done, workflow.NewContinueAsNewError(ctx, ReconcileKeys, in)
		}
	}
}

// settleKeys makes LiteLLM hold some keys, keysAtOnce at most, and adds to done what became of
// them. Each that is left gets a run of its own, which goes on by itself.
func settleKeys(ctx workflow.Context, batch activities.ApplyKeysInput, done *ReconcileKeysResult) error {
	_, err := settleKeyBatch(ctx, batch, done)
	return err
}

// settleKeyBatch is settleKeys, and says which keys are left: all, when LiteLLM went away.
func settleKeyBatch(ctx workflow.Context, batch activities.ApplyKeysInput, done *ReconcileKeysResult) ([]uuid.UUID, error) {
	applied, err := bulk(ctx, fmt.Sprintf("Make LiteLLM hold %d API keys as their rows say", len(batch.IDs)), keys.ApplyKeys, batch)
	if done.Silent = applied.Silent; err != nil || applied.Silent {
		return batch.IDs, err
	}
	observed, err := local(ctx, "Record which keys LiteLLM was seen to hold", keys.ObserveKeys, activities.ObserveKeysInput{Seen: applied.Seen})
	if err != nil {
		return batch.IDs, err
	}
	left := slices.Concat(applied.Left, observed.Behind)
	done.Settled += len(batch.IDs) - len(left)
	done.Left += len(left)
	var runs []workflow.ChildWorkflowFuture
	for _, id := range left {
		runs = append(runs, launch(ctx, ReconcileKey, ReconcileKeyInput{KeyID: id}))
	}
	for _, run := range runs {
		if err := begun(ctx, run); err != nil {
			return left, err
		}
	}
	return left, nil
}

func keysDetails(done ReconcileKeysResult) string {
	text := fmt.Sprintf("Settled: **%d**. Left to runs of their own, `key/…`: %d.", done.Settled, done.Left)
	if done.Silent {
		text += "\n\n**LiteLLM does not answer.** The sweep starts this again when it does."
	}
	return text
}
