package workflows

import (
	"context"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
)

// The activities, as nil pointers: workflows only need their names. The worker holds the
// real ones.
var (
	syncRuns      *activities.SyncRuns
	proposals     *activities.Proposals
	schedules     *activities.Schedules
	probes        *activities.Probes
	users         *activities.Users
	subscriptions *activities.Subscriptions
	cascades      *activities.Cascades
	keys          *activities.Keys
	sessions      *activities.Sessions
	auditLog      *activities.AuditLog
	sealedValues  *activities.SealedValues
	operations    *activities.Operations
	orphans       *activities.Orphans
	usage         *activities.Usage
	budgets       *activities.Budgets
)

// A short database step is a local activity: no round trip through the server, nothing for
// a person to watch. A LiteLLM step, or one that may take long, is a regular one: its
// progress and its retries show in the UI.

// patience outlasts an outage; after it the run fails, and a schedule, the sweep or a person
// starts it again.
const patience = 24 * time.Hour

// local runs a database activity that answers; summary is its line in the Temporal UI. The
// compiler checks that in fits it.
func local[In, Out any](ctx workflow.Context, summary string, act func(context.Context, In) (Out, error), in In) (Out, error) {
	var out Out
	err := workflow.ExecuteLocalActivity(viaStore(ctx, summary), act, in).Get(ctx, &out)
	return out, err
}

// localRun runs a database activity that only acts.
func localRun[In any](ctx workflow.Context, summary string, act func(context.Context, In) error, in In) error {
	return workflow.ExecuteLocalActivity(viaStore(ctx, summary), act, in).Get(ctx, nil)
}

func viaStore(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		Summary:                brief(summary),
		StartToCloseTimeout:    10 * time.Second,
		ScheduleToCloseTimeout: patience,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, MaximumInterval: time.Minute},
	})
}

// bulk runs an activity that may take minutes and beats while it works; summary is its line
// in the Temporal UI. A worker that dies is noticed after two missed beats.
func bulk[In, Out any](ctx workflow.Context, summary string, act func(context.Context, In) (Out, error), in In) (Out, error) {
	return regular(ctx, summary, patience, act, in)
}

// regular is bulk with a patience of its own.
func regular[In, Out any](ctx workflow.Context, summary string, within time.Duration, act func(context.Context, In) (Out, error), in In) (Out, error) {
	var out Out
	err := workflow.ExecuteActivity(viaProxy(ctx, summary, within), act, in).Get(ctx, &out)
	return out, err
}

// regularRun is regular for an activity that only acts.
func regularRun[In any](ctx workflow.Context, summary string, within time.Duration, act func(context.Context, In) error, in In) error {
	return workflow.ExecuteActivity(viaProxy(ctx, summary, within), act, in).Get(ctx, nil)
}

func viaProxy(ctx workflow.Context, summary string, within time.Duration) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout:    30 * time.Minute,
		HeartbeatTimeout:       2 * activities.BeatEvery,
		ScheduleToCloseTimeout: within,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, MaximumInterval: 30 * time.Second},
		Summary:                brief(summary),
	})
}

// runID is the run as our rows name it: Temporal's run ID, which a reset does not change.
func runID(ctx workflow.Context) uuid.UUID {
	name := workflow.GetInfo(ctx).OriginalRunID
	id, err := uuid.Parse(name)
	if err != nil { // only the test environment names runs otherwise
		return uuid.NewSHA1(uuid.NameSpaceOID, []byte(name))
	}
	return id
}
