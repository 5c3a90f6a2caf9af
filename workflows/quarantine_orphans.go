package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
)

// QuarantineOrphansInput says where to go on.
type QuarantineOrphansInput struct {
	After string                  // where a run before this one left off
	Done  QuarantineOrphansResult // and what it had done
}

// WorkflowID keeps one walk over them open at a time.
func (QuarantineOrphansInput) WorkflowID() string { return "keys/orphans" }

// Summary is the run's line in the Temporal UI.
func (QuarantineOrphansInput) Summary() string {
	return "Block, release or delete keys at LiteLLM that are not ours"
}

// QuarantineOrphansResult counts what became of them.
type QuarantineOrphansResult struct {
	Settled int
	Refused int  // by LiteLLM, for good
	Left    int  // are tried again later
	Silent  bool // LiteLLM went away: Sweep starts this again when it is back
}

// QuarantineOrphans makes LiteLLM follow what was decided about its keys that are not ours: a full
// sync quarantined them, their quarantine is over, or an admin released or deleted one. It walks
// over those that LiteLLM does not follow once, in batches, and again if something was decided
// meanwhile.
func QuarantineOrphans(ctx workflow.Context, in QuarantineOrphansInput) (QuarantineOrphansResult, error) {
	changed := workflow.GetSignalChannel(ctx, RowChanged)
	for {
		page, err := local(ctx, "Find keys at LiteLLM that are not ours, and are not as was decided", orphans.DueOrphans, activities.DueOrphansInput{
			After: in.After, Limit: keysAtOnce,
		})
		switch {
		case err != nil:
			return in.Done, err
		case len(page.Hashes) == 0 && changed.ReceiveAsync(nil):
			in.After = ""
			continue
		case len(page.Hashes) == 0:
			return in.Done, nil
		}
		if err := settleOrphans(ctx, page.Hashes, &in.Done); err != nil || in.Done.Silent {
			return in.Done, err
		}
		in.After = page.Hashes[len(page.Hashes)-1]
		if workflow.GetInfo(ctx).GetCurrentHistoryLength() > manyEvents {
			for changed.ReceiveAsync(nil) { // the next run begins anew
				in.After = ""
			}
			return in.Done, workflow.NewContinueAsNewError(ctx, QuarantineOrphans, in)
		}
	}
}

// settleOrphans makes LiteLLM follow a page of them, and adds to done what became of them.
func settleOrphans(ctx workflow.Context, hashes []string, done *QuarantineOrphansResult) error {
	applied, err := bulk(ctx, fmt.Sprintf("Block, release or delete %d keys that are not ours", len(hashes)),
		orphans.ApplyOrphans, activities.ApplyOrphansInput{Hashes: hashes})
	if err != nil {
		return err
	}
	if len(applied.Seen) > 0 {
		err = localRun(ctx, "Record what became of them", orphans.ObserveOrphans, activities.ObserveOrphansInput{Seen: applied.Seen})
	}
	for _, seen := range applied.Seen {
		if done.Settled++; seen.Failure != "" {
			done.Settled, done.Refused = done.Settled-1, done.Refused+1
		}
	}
	done.Left += applied.Left
	done.Silent = applied.Silent
	workflow.SetCurrentDetails(ctx, orphansDetails(*done))
	return err
}

func orphansDetails(done QuarantineOrphansResult) string {
	text := fmt.Sprintf("As was decided: **%d**. Refused by LiteLLM: %d. Tried again later: %d.\n\nWhich they are: `GET /api/v1/sync/orphans`.",
		done.Settled, done.Refused, done.Left)
	if done.Silent {
		text += "\n\n**LiteLLM does not answer.** The sweep starts this again when it does."
	}
	return text
}
