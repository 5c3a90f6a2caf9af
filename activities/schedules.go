package activities

import (
	"context"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Schedules tells Temporal of the schedules that admins set.
type Schedules struct {
	Store *store.Store
	Tell  func(context.Context, models.SyncSchedule) error // makes Temporal's schedule agree
}

// TellSyncScheduleInput is empty.
type TellSyncScheduleInput struct{}

// TellSyncScheduleResult says whether Temporal had to be told.
type TellSyncScheduleResult struct{ Told bool }

// TellSyncSchedule makes Temporal's schedule agree with the setting if Temporal has not been
// told of its last change. A schedule that somebody paused in the Temporal UI meanwhile stays
// paused until the setting changes or a worker starts.
func (a *Schedules) TellSyncSchedule(ctx context.Context, _ TellSyncScheduleInput) (TellSyncScheduleResult, error) {
	s, err := a.Store.SyncSchedule(ctx)
	if err != nil || s.ObservedGeneration >= s.Generation {
		return TellSyncScheduleResult{}, err
	}
	if err := a.Tell(ctx, s); err != nil {
		return TellSyncScheduleResult{}, err
	}
	return TellSyncScheduleResult{true}, a.Store.ObserveSyncSchedule(ctx, s.Generation)
}
