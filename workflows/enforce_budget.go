package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
)

// EnforceBudgetInput names a budget, and the period in which it is looked after.
type EnforceBudgetInput struct{ activities.BudgetRun }

// WorkflowID is that of the budget in the period.
func (in EnforceBudgetInput) WorkflowID() string {
	return fmt.Sprintf("enforce-budget/%s/%s/%s", in.SubjectType, in.ID, in.StartsAt.UTC().Format(time.RFC3339))
}

// Summary is the run's line in the Temporal UI.
func (in EnforceBudgetInput) Summary() string {
	return fmt.Sprintf("Enforce the budget of the %s %s", strings.ReplaceAll(string(in.SubjectType), "_", " "), in.SubjectID)
}

// EnforceBudgetResult says how the run left the budget.
type EnforceBudgetResult struct{ Held, Throttled bool }

// longestFollow is how long a run waits, at most, before it looks again whether LiteLLM follows.
const longestFollow = 30 * time.Second

// EnforceBudget looks after a budget that is held or slowed, or soon will be: it has the keys follow
// that the budget concerns, confirms that LiteLLM does, and sleeps until the period ends, or a hold
// begins that a person has not prevented. Whoever raises the budget, or prevents its hold, changes
// the row, which signals with row-changed. When nothing is held or slowed any more, the run ends; a
// budget that is so in the next period, too, has another run there.
func EnforceBudget(ctx workflow.Context, in EnforceBudgetInput) (EnforceBudgetResult, error) {
	changed := workflow.GetSignalChannel(ctx, RowChanged)
	told := func() bool { return changed.Len() > 0 }
	if err := workflow.UpsertTypedSearchAttributes(ctx, attrSubject.ValueSet(in.SubjectID.String())); err != nil {
		return EnforceBudgetResult{}, err
	}
	for {
		for changed.ReceiveAsync(nil) { // drained: the next look sees all of them
		}
		s, err := local(ctx, "Judge the budget", budgets.JudgeBudget, activities.BudgetRef{ID: in.ID})
		if err != nil || s.Gone {
			return EnforceBudgetResult{}, err
		}
		res, wake := EnforceBudgetResult{s.Held, s.Throttled}, wakeTime(ctx, s)
		if s.Behind {
			if err := followBudget(ctx, in, s, wake, told); err != nil {
				return res, err
			}
		}
		moved := !s.StartsAt.Equal(in.StartsAt)
		if moved && s.Waits() {
			next := in
			next.StartsAt = s.StartsAt
			return res, nudge(ctx, EnforceBudget, next)
		}
		workflow.SetCurrentDetails(ctx, budgetDetails(s, ""))
		switch {
		case told():
		case workflow.GetInfo(ctx).GetCurrentHistoryLength() > manyEvents:
			return res, workflow.NewContinueAsNewError(ctx, EnforceBudget, in)
		case !s.Waits():
			return res, nil
		default:
			if err := awaitBudget(ctx, s, wake, told); err != nil {
				return res, err
			}
		}
	}
}

// farAway is when a budget is judged again that has nothing to wait for but a change of its row.
const farAway = 365 * 24 * time.Hour

// wakeTime is when a budget that was just judged has to be judged again.
func wakeTime(ctx workflow.Context, s activities.BudgetState) time.Time {
	if s.WakeIn == nil {
		return workflow.Now(ctx).Add(farAway)
	}
	// A clock that is a little behind the database's would find nothing due, and look again.
	return workflow.Now(ctx).Add(max(*s.WakeIn, time.Millisecond))
}

// awaitBudget sleeps until a budget has to be judged again, or its row changes.
func awaitBudget(ctx workflow.Context, s activities.BudgetState, wake time.Time, told func() bool) error {
	summary := "Sleep until the period ends"
	if s.HoldDueAt != nil {
		summary = "A person may prevent the hold until then"
	}
	_, err := workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{
		Timeout: max(wake.Sub(workflow.Now(ctx)), time.Millisecond), TimerOptions: workflow.TimerOptions{Summary: summary},
	}, told)
	return err
}

// followBudget has keys, users and subscriptions follow a budget, and LiteLLM follow those: until it
// was seen to on each, or the budget has to be judged again.
func followBudget(ctx workflow.Context, in EnforceBudgetInput, s activities.BudgetState, wake time.Time, told func() bool) error {
	followed, err := regular(ctx, "Have the keys follow that the budget concerns", patience, budgets.FollowBudget, activities.BudgetRef{ID: in.ID})
	if err != nil {
		return err
	}
	for pause := time.Second; ; {
		left, err := local(ctx, "Find on what LiteLLM has yet to follow", budgets.BudgetLeft, activities.BudgetLeftInput{ID: in.ID, Limit: keysAtOnce})
		if err != nil {
			return err
		}
		if left.None() {
			seen := activities.ObserveBudgetInput{ID: in.ID, Generation: followed.Generation}
			return localRun(ctx, "Record that LiteLLM was seen to follow", budgets.ObserveBudget, seen)
		}
		workflow.SetCurrentDetails(ctx, budgetDetails(s, leftDetails(left)))
		moved, err := settleLeft(ctx, in, left)
		if err != nil {
			return err
		}
		if moved {
			pause = time.Second
			continue
		}
		wait := workflow.AwaitOptions{
			Timeout: max(min(pause, wake.Sub(workflow.Now(ctx))), time.Millisecond), TimerOptions: workflow.TimerOptions{Summary: "Wait for LiteLLM, and for runs of single keys"},
		}
		if _, err := workflow.AwaitWithOptions(ctx, wait, told); err != nil {
			return err
		}
		if told() || !workflow.Now(ctx).Before(wake) || workflow.GetInfo(ctx).GetCurrentHistoryLength() > manyEvents {
			return nil
		}
		pause = min(2*pause, longestFollow)
	}
}

// settleLeft does the work for one page of what is left, and says whether it settled any key.
func settleLeft(ctx workflow.Context, in EnforceBudgetInput, left activities.BudgetLeftResult) (moved bool, err error) {
	if left.User {
		if err := begin(ctx, ReconcileUser, ReconcileUserInput{UserID: in.SubjectID}); err != nil {
			return false, err
		}
	}
	if err := startCascades(ctx, left.Cascades); err != nil || len(left.Keys) == 0 {
		return false, err
	}
	var done ReconcileKeysResult
	err = settleKeys(ctx, activities.ApplyKeysInput{IDs: left.Keys}, &done)
	return done.Settled > 0, err
}

func leftDetails(left activities.BudgetLeftResult) string {
	text := fmt.Sprintf("\n\nLiteLLM has yet to follow on **%d keys**", left.Left)
	if left.User {
		text += ", and on the user"
	}
	if n := len(left.Cascades); n > 0 {
		text += fmt.Sprintf(", and on %d cascades, `end-subscription/…` or `restore-subscription/…`", n)
	}
	return text + "."
}

// budgetDetails says how a budget stands. The Temporal UI takes dollar signs for the bounds of a formula.
func budgetDetails(s activities.BudgetState, more string) string {
	spent := fmt.Sprintf("spent %s", s.Spent)
	if s.Limit != nil {
		spent += fmt.Sprintf(" of %s", *s.Limit)
	}
	spent += " USD"
	until := "until the budget is raised"
	if s.EndsAt != nil {
		until = "until " + clockTime(*s.EndsAt)
	}
	const how = "\n\nIt goes on as soon as the budget is raised, or may be spent otherwise: the row says so by the signal `row-changed`."
	switch {
	case s.Held:
		return fmt.Sprintf("**Blocked %s**, %s.", until, spent) + more + how
	case s.HoldDueAt != nil:
		return fmt.Sprintf("**Will be blocked at %s**, unless a person prevents it; %s.", clockTime(*s.HoldDueAt), spent) + more + how
	case s.Throttled:
		return fmt.Sprintf("**Slowed %s**, %s.", until, spent) + more + how
	}
	return fmt.Sprintf("**Not blocked any more**, %s.", spent) + more
}

func clockTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
