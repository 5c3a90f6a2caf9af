package workflows

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/litemaas/litemaas/models"
)

// Scheduler is the part of client.ScheduleClient that we use.
type Scheduler interface {
	Create(ctx context.Context, o client.ScheduleOptions) (client.ScheduleHandle, error)
	GetHandle(ctx context.Context, id string) client.ScheduleHandle
}

const (
	sweepEvery  = time.Minute // how soon a wish that nobody follows is found
	expireEvery = time.Minute // how late a subscription may expire
	cleanEvery  = time.Hour
	cleanJitter = 5 * time.Minute // not all that the clock does is done on the hour
)

// ApplySweepSchedule makes Temporal sweep once a minute.
func ApplySweepSchedule(ctx context.Context, c Scheduler) error {
	return apply(ctx, c, schedule(sweepEvery, 0, Sweep, SweepInput{}))
}

// ApplyExpireSchedule makes Temporal do once a minute what is due to subscriptions.
func ApplyExpireSchedule(ctx context.Context, c Scheduler) error {
	return apply(ctx, c, schedule(expireEvery, 0, Expire, ExpireInput{}))
}

// ApplyCleanSchedule makes Temporal clean once an hour.
func ApplyCleanSchedule(ctx context.Context, c Scheduler) error {
	return apply(ctx, c, schedule(cleanEvery, cleanJitter, Clean, CleanInput{}))
}

// ApplyCollectSchedule makes Temporal read LiteLLM's log of calls that often.
func ApplyCollectSchedule(ctx context.Context, c Scheduler, every time.Duration) error {
	return apply(ctx, c, schedule(every, 0, CollectUsage, CollectUsageInput{}))
}

// ApplySyncSchedule makes Temporal's schedule of syncs agree with s.
func ApplySyncSchedule(ctx context.Context, c Scheduler, s models.SyncSchedule) error {
	o := schedule(s.Interval, s.Jitter, AutoSync, AutoSyncInput{})
	o.Paused, o.Note = s.Paused, s.Note
	return apply(ctx, c, o)
}

// SyncScheduleState says what Temporal's schedule of syncs will do next. It is NotFound
// before a worker has made it.
func SyncScheduleState(ctx context.Context, c Scheduler) (models.ScheduleState, error) {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	d, err := c.GetHandle(ctx, AutoSyncInput{}.WorkflowID()).Describe(ctx)
	if err != nil {
		return models.ScheduleState{}, scheduleError(err)
	}
	out := models.ScheduleState{Paused: d.Schedule.State.Paused, Note: d.Schedule.State.Note}
	if !out.Paused && len(d.Info.NextActionTimes) > 0 {
		out.Next = &d.Info.NextActionTimes[0]
	}
	return out, nil
}

// TriggerSyncSchedule makes Temporal's schedule of syncs run now, paused or not. It is NotFound
// before a worker has made the schedule.
func TriggerSyncSchedule(ctx context.Context, c Scheduler) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	return scheduleError(c.GetHandle(ctx, AutoSyncInput{}.WorkflowID()).Trigger(ctx, client.ScheduleTriggerOptions{}))
}

// schedule starts wf every d. Should a run still be open, its turn is skipped.
func schedule[In Input](every, jitter time.Duration, wf any, in In) client.ScheduleOptions {
	id := in.WorkflowID()
	return client.ScheduleOptions{
		ID:   id,
		Spec: client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: every}}, Jitter: jitter},
		Action: &client.ScheduleWorkflowAction{
			ID: id, Workflow: wf, Args: []any{in}, TaskQueue: TaskQueue, StaticSummary: brief(in.Summary()),
		},
		Overlap:       enums.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: every, // after an outage, one run makes up for all
	}
}

// apply creates the schedule, or corrects the one that is there.
func apply(ctx context.Context, c Scheduler, want client.ScheduleOptions) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	_, err := c.Create(ctx, want)
	if errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		err = c.GetHandle(ctx, want.ID).Update(ctx, client.ScheduleUpdateOptions{
			DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
				s := in.Description.Schedule
				s.Spec, s.Action = &want.Spec, want.Action
				s.Policy.Overlap, s.Policy.CatchupWindow = want.Overlap, want.CatchupWindow
				s.State.Paused, s.State.Note = want.Paused, want.Note
				return &client.ScheduleUpdate{Schedule: &s}, nil
			},
		})
	}
	return scheduleError(err)
}

func scheduleError(err error) error {
	switch {
	case err == nil:
		return nil
	case isNotFound(err):
		return models.Wrap(models.NotFound, err, "the schedule does not exist yet; a worker makes it when it starts")
	}
	return models.Wrap(models.Unavailable, err, "the workflow engine does not answer")
}

// brief keeps a summary within what Temporal stores of one (400 bytes).
func brief(summary string) string {
	const most = 200
	if r := []rune(summary); len(r) > most {
		return fmt.Sprintf("%s…", string(r[:most]))
	}
	return summary
}
