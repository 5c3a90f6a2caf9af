package models

import "time"

// SyncSchedule is when the catalogue is compared by the clock. The row is the wish:
// Generation counts changes, ObservedGeneration is the last one that Temporal was told of.
type SyncSchedule struct {
	Interval time.Duration // from one run to the next
	Jitter   time.Duration // a run starts up to this much late, so that replicas of LiteLLM's users do not ask together
	Paused   bool
	Note     string // why it is paused, in words

	Generation, ObservedGeneration int64
	UpdatedAt                      time.Time
	UpdatedBy                      string
}

// The bounds of a schedule.
const (
	MinSyncInterval = time.Minute
	MaxSyncInterval = 30 * 24 * time.Hour
)

// Check reports what is wrong with the schedule; the error is Invalid and names the field.
func (s SyncSchedule) Check() error {
	switch {
	case s.Interval < MinSyncInterval || s.Interval > MaxSyncInterval:
		return Errorf(Invalid, "the interval must be between 1 minute and 30 days").On("intervalMinutes")
	case s.Jitter < 0 || s.Jitter >= s.Interval:
		return Errorf(Invalid, "the jitter must be zero or more, and less than the interval").On("jitterSeconds")
	case len(s.Note) > 500:
		return Errorf(Invalid, "the note must have at most 500 characters").On("note")
	}
	return nil
}

// ScheduleState is what Temporal says of a schedule.
type ScheduleState struct {
	Paused bool
	Note   string
	Next   *time.Time // nil while paused
}
