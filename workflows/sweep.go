package workflows

import (
	"fmt"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
)

// SweepInput is empty: the whole database is swept.
type SweepInput struct{}

// WorkflowID is the beginning of the ID of each sweep; Temporal adds the time.
func (SweepInput) WorkflowID() string { return "sweep" }

// Summary is the run's line in the Temporal UI.
func (SweepInput) Summary() string { return "Start what was wished for and not begun" }

// SweepResult counts what was found.
type SweepResult struct {
	Reachable bool // LiteLLM answers
	Lapsed    int  // proposals that nobody answered in time
	Removals  int  // approved proposals started again
	Users     bool // users were waiting, and are followed now
	Wanted    int  // subscriptions that are provisioned again
	Moved     int  // subscriptions to models that are gone, or back
	Cascades  int  // that are followed again
	Keys      bool // API keys were
	Orphans   bool // keys that are not ours were
	Budgets   bool `json:",omitzero"` // budgets were, and are judged now
	Schedule  bool // the sync schedule had to be told to Temporal
}

// Sweep looks once a minute at what the rows wish for and nobody is doing: its process died
// between the commit and the start, or its run gave up. It is the other half of "record the
// wish, then start", so it is not optional.
func Sweep(ctx workflow.Context, _ SweepInput) (SweepResult, error) {
	var res SweepResult
	probe, err := local(ctx, "See whether LiteLLM answers", probes.ProbeLiteLLM, activities.ProbeLiteLLMInput{})
	if err != nil {
		return res, err
	}
	res.Reachable = probe.Reachable
	due, err := local(ctx, "Close proposals that nobody answered, find approved ones that nobody carries out", proposals.DueProposals, activities.DueProposalsInput{})
	if err != nil {
		return res, err
	}
	res.Lapsed = due.Lapsed
	for _, id := range due.ToApply {
		if err := begin(ctx, ApplyRemovals, ApplyRemovalsInput{ProposalID: id, Actor: models.System("Sweep")}); err != nil {
			return res, err
		}
		res.Removals++
	}
	if res.Reachable && knows(ctx, changeSweepUsers) {
		if res.Users, err = sweepUsers(ctx); err != nil {
			return res, err
		}
	}
	if knows(ctx, changeSweepSubscriptions) {
		if err := sweepSubscriptions(ctx, &res); err != nil {
			return res, err
		}
	}
	if res.Reachable && knows(ctx, changeSweepKeys) {
		if res.Keys, err = sweepKeys(ctx); err != nil {
			return res, err
		}
	}
	if res.Reachable && knows(ctx, changeSweepOrphans) {
		if res.Orphans, err = sweepOrphans(ctx); err != nil {
			return res, err
		}
	}
	if knows(ctx, changeSweepBudgets) {
		if res.Budgets, err = sweepBudgets(ctx); err != nil {
			return res, err
		}
	}
	told, err := local(ctx, "Tell Temporal of a changed sync schedule", schedules.TellSyncSchedule, activities.TellSyncScheduleInput{})
	res.Schedule = told.Told
	workflow.SetCurrentDetails(ctx, sweepDetails(res))
	return res, err
}

func sweepDetails(r SweepResult) string {
	return fmt.Sprintf("LiteLLM answers: %t. Lapsed proposals: %d. Removals started again: %d. Users were waiting: %t. API keys: %t; keys that are not ours: %t; budgets: %t.\n\n"+
		"Subscriptions that are provisioned: %d; that models took along, or gave back: %d. Cascades that are followed: %d.",
		r.Reachable, r.Lapsed, r.Removals, r.Users, r.Keys, r.Orphans, r.Budgets, r.Wanted, r.Moved, r.Cascades)
}

// sweepUsers starts ReconcileUsers if there is anybody for it.
func sweepUsers(ctx workflow.Context) (bool, error) {
	found, err := local(ctx, "See whether users wait whom LiteLLM does not follow", users.UnsettledUsers, activities.UnsettledUsersInput{Limit: 1})
	if err != nil || len(found.IDs) == 0 {
		return false, err
	}
	return true, begin(ctx, ReconcileUsers, ReconcileUsersInput{})
}

// sweepKeys starts ReconcileKeys if there is anything for it.
func sweepKeys(ctx workflow.Context) (bool, error) {
	found, err := local(ctx, "See whether API keys wait that LiteLLM does not follow", keys.UnsettledKeys, activities.UnsettledKeysInput{Limit: 1})
	if err != nil || len(found.IDs) == 0 {
		return false, err
	}
	return true, begin(ctx, ReconcileKeys, ReconcileKeysInput{})
}

// sweepOrphans starts QuarantineOrphans if there is anything for it, and ends the quarantines whose
// time is over.
func sweepOrphans(ctx workflow.Context) (bool, error) {
	found, err := local(ctx, "See whether keys that are not ours wait to be blocked, released or deleted", orphans.DueOrphans, activities.DueOrphansInput{Limit: 1})
	if err != nil || len(found.Hashes) == 0 {
		return false, err
	}
	return true, begin(ctx, QuarantineOrphans, QuarantineOrphansInput{})
}

// sweepBudgets starts EnforceBudgets if there is anything for it: also while LiteLLM is away, as we
// refuse by ourselves.
func sweepBudgets(ctx workflow.Context) (bool, error) {
	found, err := local(ctx, "See whether budgets are due, over, or wait for LiteLLM", budgets.BudgetsWait, activities.BudgetsWaitInput{})
	if err != nil || !found.Wait {
		return false, err
	}
	return true, begin(ctx, EnforceBudgets, EnforceBudgetsInput{})
}

// sweptAtOnce is how many runs one sweep starts of a kind; the next one starts more.
const sweptAtOnce = 200

// sweepSubscriptions provisions what is wanted, moves what a sync that died left where it was,
// and starts the cascades that wait for LiteLLM.
func sweepSubscriptions(ctx workflow.Context, res *SweepResult) error {
	wanted, err := local(ctx, "Find subscriptions that nobody provisions", subscriptions.UnprovisionedSubscriptions,
		activities.UnprovisionedSubscriptionsInput{Limit: sweptAtOnce})
	if err != nil {
		return err
	}
	res.Wanted = len(wanted.IDs)
	var runs []workflow.ChildWorkflowFuture
	for _, id := range wanted.IDs {
		runs = append(runs, launch(ctx, ProvisionSubscription, ProvisionSubscriptionInput{SubscriptionID: id, Actor: models.System("Sweep")}))
	}
	if err := allBegun(ctx, runs); err != nil {
		return err
	}
	ended, restored, err := cascadeModels(ctx)
	res.Moved = ended + restored
	if err != nil || !res.Reachable {
		return err
	}
	left, err := local(ctx, "Find cascades that nobody follows", cascades.UnsettledCascades, activities.UnsettledCascadesInput{Limit: sweptAtOnce})
	if err != nil {
		return err
	}
	res.Cascades = len(left.Cascades)
	return startCascades(ctx, left.Cascades)
}

// begin starts wf as a child that outlives its parent, unless it runs already.
func begin[In Input](ctx workflow.Context, wf any, in In) error {
	return begun(ctx, launch(ctx, wf, in))
}

// launch has wf started as a child that outlives its parent.
func launch[In Input](ctx workflow.Context, wf any, in In) workflow.ChildWorkflowFuture {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:        in.WorkflowID(),
		ParentClosePolicy: enums.PARENT_CLOSE_POLICY_ABANDON,
		StaticSummary:     brief(in.Summary()),
	})
	return workflow.ExecuteChildWorkflow(ctx, wf, in)
}

// nudge is begin for a workflow that follows a row: a run that is open already is signalled, so that
// it looks at the row once more.
func nudge[In Input](ctx workflow.Context, wf any, in In) error {
	return nudged(ctx, launch(ctx, wf, in), wf, in)
}

// nudged waits until a child has started, or signals the one that runs already. One that ends just
// then is started anew.
func nudged[In Input](ctx workflow.Context, run workflow.ChildWorkflowFuture, wf any, in In) error {
	for {
		err := run.GetChildWorkflowExecution().Get(ctx, nil)
		if !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
			return err
		}
		if workflow.SignalExternalWorkflow(ctx, in.WorkflowID(), "", RowChanged, nil).Get(ctx, nil) == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		run = launch(ctx, wf, in)
	}
}

// begun waits until a child has started. One that runs already is as good.
func begun(ctx workflow.Context, run workflow.ChildWorkflowFuture) error {
	err := run.GetChildWorkflowExecution().Get(ctx, nil)
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		return nil
	}
	return err
}

// allBegun is begun for many.
func allBegun(ctx workflow.Context, runs []workflow.ChildWorkflowFuture) error {
	for _, run := range runs {
		if err := begun(ctx, run); err != nil {
			return err
		}
	}
	return nil
}
