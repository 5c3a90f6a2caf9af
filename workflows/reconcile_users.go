package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
)

// ReconcileUsersInput says which users are concerned.
type ReconcileUsersInput struct {
	Fresh bool // those too whose wish was recorded just now, as nobody else follows it

	After models.Place         // where a run before this one left off
	Done  ReconcileUsersResult // and what it had done
}

// WorkflowID keeps one walk over the unsettled users open at a time.
func (ReconcileUsersInput) WorkflowID() string { return "users/unsettled" }

// Summary is the run's line in the Temporal UI.
func (ReconcileUsersInput) Summary() string {
	return "Make LiteLLM hold all users that it does not hold yet"
}

// ReconcileUsersResult counts what became of them.
type ReconcileUsersResult struct {
	Settled int
	Left    int  // to runs of their own: LiteLLM refuses them, or they changed meanwhile
	Silent  bool // LiteLLM went away: Sweep starts this again when it is back
}

const (
	// usersAtOnce is how many users make a batch: a few seconds of work for LiteLLM, and some
	// 30 kB of history.
	usersAtOnce = 200

	// manyEvents is when a walk goes on as a new run, so that no history grows long: after some
	// 7,500 users, or 200 runs of their own.
	manyEvents = 300
)

// ReconcileUsers is ReconcileUser for all users who wait and are nobody's concern: a sync found
// them different, their process died between the commit and the start, or their run gave up. It
// walks over them once, in batches: a run for each would cost the workflow engine more than the
// work costs LiteLLM. Who cannot be settled in his batch gets a run of his own.
func ReconcileUsers(ctx workflow.Context, in ReconcileUsersInput) (ReconcileUsersResult, error) {
	for {
		page, err := local(ctx, "Find users whom LiteLLM does not follow", users.UnsettledUsers, activities.UnsettledUsersInput{
			Fresh: in.Fresh, After: in.After, Limit: usersAtOnce,
		})
		if err != nil || len(page.IDs) == 0 {
			return in.Done, err
		}
		err = settleBatch(ctx, page, &in.Done)
		workflow.SetCurrentDetails(ctx, batchDetails(in.Done))
		if err != nil || in.Done.Silent {
			return in.Done, err
		}
		in.After = page.Last
		if workflow.GetInfo(ctx).GetCurrentHistoryLength() > manyEvents {
			return in.Done, workflow.NewContinueAsNewError(ctx, ReconcileUsers, in)
		}
	}
}

// settleBatch does the work for one page.
func settleBatch(ctx workflow.Context, page activities.UnsettledUsersResult, done *ReconcileUsersResult) error {
	applied, err := bulk(ctx, fmt.Sprintf("Make LiteLLM hold %d users as their rows say", len(page.IDs)),
		users.ApplyUsers, activities.ApplyUsersInput{IDs: page.IDs})
	if done.Silent = applied.Silent; err != nil || applied.Silent {
		return err
	}
	observed, err := local(ctx, "Record whom LiteLLM was seen to hold", users.ObserveUsers, activities.ObserveUsersInput{Seen: applied.Seen})
	if err != nil {
		return err
	}
	left := slices.Concat(applied.Left, observed.Behind)
	done.Settled += len(page.IDs) - len(left)
	done.Left += len(left)
	var runs []workflow.ChildWorkflowFuture
	for _, id := range left {
		runs = append(runs, launch(ctx, ReconcileUser, ReconcileUserInput{UserID: id}))
	}
	return allBegun(ctx, runs)
}

func batchDetails(done ReconcileUsersResult) string {
	text := fmt.Sprintf("Settled: **%d**. Left to runs of their own, `user/…`: %d.", done.Settled, done.Left)
	if done.Silent {
		text += "\n\n**LiteLLM does not answer.** The sweep starts this again when it does."
	}
	return text
}
