package api

import (
	"context"
	"net/http"
	"time"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

type syncScheduleBody struct {
	IntervalMinutes  float64    `json:"intervalMinutes" doc:"From one sync to the next."`
	JitterSeconds    float64    `json:"jitterSeconds" doc:"A sync starts up to this much late."`
	Paused           bool       `json:"paused"`
	Note             string     `json:"note" doc:"Why it is paused, in words."`
	UpdatedAt        time.Time  `json:"updatedAt"`
	UpdatedBy        string     `json:"updatedBy"`
	Applied          bool       `json:"applied" doc:"Whether the workflow engine has been told of it. If not, it will be within minutes of being back."`
	NextRunAt        *time.Time `json:"nextRunAt,omitempty" doc:"Left out while paused, or while the workflow engine does not answer."`
	PausedInTemporal *bool      `json:"pausedInTemporal,omitempty" doc:"What the workflow engine says, where it differs: somebody used its web UI."`
}

type syncScheduleResponse struct {
	Status int
	Body   syncScheduleBody
}

// newSyncSchedule is the setting, and what Temporal makes of it, as far as it answers.
func (s *Server) newSyncSchedule(ctx context.Context, status int, set models.SyncSchedule) *syncScheduleResponse {
	out := &syncScheduleResponse{status, syncScheduleBody{
		IntervalMinutes: set.Interval.Minutes(), JitterSeconds: set.Jitter.Seconds(), Paused: set.Paused, Note: set.Note,
		UpdatedAt: set.UpdatedAt.UTC(), UpdatedBy: set.UpdatedBy, Applied: set.ObservedGeneration >= set.Generation,
	}}
	if status == http.StatusAccepted { // it has just not answered
		return out
	}
	state, err := s.scheduleState(ctx)
	if err != nil {
		return out
	}
	out.Body.NextRunAt = utc(state.Next)
	if state.Paused != set.Paused {
		out.Body.PausedInTemporal = &state.Paused
	}
	return out
}

func (s *Server) getSyncSchedule(ctx context.Context, _ *struct{}) (*syncScheduleResponse, error) {
	set, err := s.Store.SyncSchedule(ctx)
	if models.KindOf(err) == models.NotFound {
		err = models.Errorf(models.NotFound, "there is no schedule yet; a worker makes it when it starts")
	}
	if err != nil {
		return nil, err
	}
	return s.newSyncSchedule(ctx, http.StatusOK, set), nil
}

type setSyncScheduleRequest struct {
	Body struct {
		IntervalMinutes *float64 `json:"intervalMinutes,omitempty" minimum:"1" maximum:"43200" doc:"From one sync to the next."`
		JitterSeconds   *float64 `json:"jitterSeconds,omitempty" minimum:"0" doc:"A sync starts up to this much late."`
		Paused          *bool    `json:"paused,omitempty"`
		Note            *string  `json:"note,omitempty" maxLength:"500" pattern:"^[^\\x00]*$" patternDescription:"text" doc:"Why it is paused, in words."`
	}
}

// setSyncSchedule changes what the request names and leaves the rest. With Temporal away the
// setting stands, and the answer is 202: Sweep tells Temporal when it is back.
func (s *Server) setSyncSchedule(ctx context.Context, in *setSyncScheduleRequest) (*syncScheduleResponse, error) {
	to, err := s.Store.SyncSchedule(ctx)
	if err != nil && models.KindOf(err) != models.NotFound {
		return nil, err
	}
	if v := in.Body.IntervalMinutes; v != nil {
		to.Interval = time.Duration(*v * float64(time.Minute))
	}
	if v := in.Body.JitterSeconds; v != nil {
		to.Jitter = time.Duration(*v * float64(time.Second))
	}
	if v := in.Body.Paused; v != nil {
		to.Paused = *v
	}
	if v := in.Body.Note; v != nil {
		to.Note = *v
	}
	set, err := s.Store.SetSyncSchedule(ctx, to, actor(ctx))
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if set, err = s.tellSchedule(ctx, set); models.KindOf(err) == models.Unavailable {
		status, err = http.StatusAccepted, nil
	}
	if err != nil {
		return nil, err
	}
	return s.newSyncSchedule(ctx, status, set), nil
}

// tellSchedule tells Temporal of the setting, and again should it have changed meanwhile:
// whoever tells last has then told the newest.
func (s *Server) tellSchedule(ctx context.Context, set models.SyncSchedule) (models.SyncSchedule, error) {
	for {
		if err := workflows.ApplySyncSchedule(ctx, s.Schedules, set); err != nil {
			return set, err
		}
		if err := s.Store.ObserveSyncSchedule(ctx, set.Generation); err != nil {
			return set, err
		}
		current, err := s.Store.SyncSchedule(ctx)
		if err != nil || current.Generation == set.Generation {
			return current, err
		}
		set = current
	}
}

type triggerResponse struct {
	Location string `header:"Location"`
	Body     struct {
		Message string `json:"message"`
	}
}

// triggerSyncSchedule lets the schedule run now, also while it is paused. A sync that is under
// way does for it.
func (s *Server) triggerSyncSchedule(ctx context.Context, _ *struct{}) (*triggerResponse, error) {
	if err := workflows.TriggerSyncSchedule(ctx, s.Schedules); err != nil {
		return nil, err
	}
	out := &triggerResponse{Location: "/api/v1/sync/runs"}
	out.Body.Message = "the schedule starts a sync; see GET /api/v1/sync/runs"
	return out, nil
}
