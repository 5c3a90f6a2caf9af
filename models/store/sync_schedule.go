package store

import (
	"context"
	"time"

	"github.com/litemaas/litemaas/models"
)

const syncScheduleKey = "sync_schedule"

// syncScheduleValue is a schedule as it is stored.
type syncScheduleValue struct {
	Interval string `json:"interval"`
	Jitter   string `json:"jitter"`
	Paused   bool   `json:"paused"`
	Note     string `json:"note"`
}

// SyncSchedule returns when the catalogue is compared by the clock; it is NotFound until
// SeedSyncSchedule has run.
func (s *Store) SyncSchedule(ctx context.Context) (models.SyncSchedule, error) {
	var v syncScheduleValue
	row, err := s.setting(ctx, syncScheduleKey, &v)
	if err != nil {
		return models.SyncSchedule{}, err
	}
	out := models.SyncSchedule{
		Paused: v.Paused, Note: v.Note,
		Generation: row.Generation, ObservedGeneration: row.ObservedGeneration,
		UpdatedAt: row.UpdatedAt, UpdatedBy: row.UpdatedBy,
	}
	if out.Interval, err = time.ParseDuration(v.Interval); err == nil {
		out.Jitter, err = time.ParseDuration(v.Jitter)
	}
	if err != nil {
		return out, models.Wrap(models.Internal, err, "setting %s", syncScheduleKey)
	}
	return out, nil
}

// SetSyncSchedule stores a new schedule one generation on and returns it. Temporal is not
// told: whoever tells it then calls ObserveSyncSchedule.
func (s *Store) SetSyncSchedule(ctx context.Context, to models.SyncSchedule, by models.Actor) (models.SyncSchedule, error) {
	if err := to.Check(); err != nil {
		return to, err
	}
	v := syncScheduleValue{Interval: to.Interval.String(), Jitter: to.Jitter.String(), Paused: to.Paused, Note: to.Note}
	if err := s.set(ctx, syncScheduleKey, "UPDATE_SYNC_SCHEDULE", v, by); err != nil {
		return to, err
	}
	return s.SyncSchedule(ctx)
}

// SeedSyncSchedule stores the configured schedule if there is none yet: from then on, the
// row is the setting.
func (s *Store) SeedSyncSchedule(ctx context.Context, from models.SyncSchedule) error {
	if err := from.Check(); err != nil {
		return err
	}
	return s.InTx(ctx, func(tx *Store) error {
		if err := tx.lock(ctx, syncScheduleKey); err != nil {
			return err
		}
		_, err := tx.SyncSchedule(ctx)
		if models.KindOf(err) != models.NotFound || err == nil {
			return err
		}
		_, err = tx.SetSyncSchedule(ctx, from, models.System("configuration"))
		return err
	})
}

// ObserveSyncSchedule records that Temporal was told of that generation.
func (s *Store) ObserveSyncSchedule(ctx context.Context, generation int64) error {
	return s.observe(ctx, syncScheduleKey, generation)
}
