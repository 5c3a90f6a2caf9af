package temporal

import (
	"context"

	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/workflows"
)

// EnsureSchedules makes the server's schedules agree with the settings. Every worker does so
// when it starts: the settings rule, never the server.
func EnsureSchedules(ctx context.Context, c workflows.Scheduler, s *store.Store) error {
	for _, apply := range []func(context.Context, workflows.Scheduler) error{
		workflows.ApplySweepSchedule, workflows.ApplyExpireSchedule, workflows.ApplyCleanSchedule,
	} {
		if err := apply(ctx, c); err != nil {
			return err
		}
	}
	sync, err := s.SyncSchedule(ctx)
	if err != nil {
		return err
	}
	if err := workflows.ApplySyncSchedule(ctx, c, sync); err != nil {
		return err
	}
	return s.ObserveSyncSchedule(ctx, sync.Generation)
}
