package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/temporal"
	"github.com/litemaas/litemaas/workflows"
)

const schedulePath = "/api/v1/sync/schedule"

// next is when the schedule will run, as soon as Temporal knows.
func (s system) next(t *testing.T) string {
	t.Helper()
	var at string
	require.Eventually(t, func() bool {
		at, _ = s.get(t, schedulePath).is(http.StatusOK).body()["nextRunAt"].(string)
		return at != ""
	}, 30*time.Second, 50*time.Millisecond)
	return at
}

// The schedule is read and changed; what a change leaves out stays, and Temporal follows.
func TestSyncSchedule(t *testing.T) {
	s, _, c := running(t)
	require.NoError(t, temporal.EnsureSchedules(t.Context(), c.ScheduleClient(), s.Store))
	rep := s.get(t, schedulePath).is(http.StatusOK)
	for name, want := range map[string]any{"intervalMinutes": 60.0, "jitterSeconds": 0.0, "paused": false, "note": "", "updatedBy": "system", "applied": true} {
		require.Equal(t, want, rep.at(name), name)
	}
	next, err := time.Parse(time.RFC3339, s.next(t))
	require.NoError(t, err)
	require.WithinRange(t, next, time.Now(), time.Now().Add(time.Hour))
	require.Equal(t, s.next(t), s.get(t, "/api/v1/sync/health").at("nextRunAt"))

	rep = s.call(t, http.MethodPut, schedulePath, `{"intervalMinutes": 90, "jitterSeconds": 12.5, "paused": true, "note": "holiday"}`).is(http.StatusOK)
	for name, want := range map[string]any{"intervalMinutes": 90.0, "jitterSeconds": 12.5, "paused": true, "note": "holiday", "applied": true} {
		require.Equal(t, want, rep.at(name), name)
	}
	require.Regexp(t, `^admin-key-`, rep.at("updatedBy"))
	require.NotContains(t, rep.body(), "nextRunAt")
	require.NotContains(t, s.get(t, "/api/v1/sync/health").body(), "nextRunAt")
	state, err := workflows.SyncScheduleState(t.Context(), c.ScheduleClient())
	require.NoError(t, err)
	require.Equal(t, models.ScheduleState{Paused: true, Note: "holiday"}, state)

	rep = s.call(t, http.MethodPut, schedulePath, `{"paused": false, "note": ""}`).is(http.StatusOK)
	require.EqualValues(t, 90, rep.at("intervalMinutes"))
	require.NotEmpty(t, s.next(t))
}

// Who pauses the schedule in Temporal's own UI is found out.
func TestSyncSchedulePausedElsewhere(t *testing.T) {
	s, _, c := running(t)
	require.NoError(t, temporal.EnsureSchedules(t.Context(), c.ScheduleClient(), s.Store))
	require.NotContains(t, s.get(t, schedulePath).body(), "pausedInTemporal")
	h := c.ScheduleClient().GetHandle(t.Context(), workflows.AutoSyncInput{}.WorkflowID())
	require.NoError(t, h.Pause(t.Context(), client.SchedulePauseOptions{Note: "by hand"}))
	rep := s.get(t, schedulePath).is(http.StatusOK)
	require.Equal(t, false, rep.at("paused"))
	require.Equal(t, true, rep.at("pausedInTemporal"))
}

// The schedule runs when it is told to, paused or not; before a worker has made it there is none.
func TestTriggerSyncSchedule(t *testing.T) {
	s, _, c := running(t)
	s.call(t, http.MethodPost, schedulePath+"/trigger", "").problem(http.StatusNotFound, "NOT_FOUND")
	require.NoError(t, temporal.EnsureSchedules(t.Context(), c.ScheduleClient(), s.Store))
	s.call(t, http.MethodPut, schedulePath, `{"paused": true}`).is(http.StatusOK)
	rep := s.call(t, http.MethodPost, schedulePath+"/trigger", "").is(http.StatusAccepted)
	require.Equal(t, "/api/v1/sync/runs", rep.Header().Get("Location"))
	require.NotEmpty(t, rep.at("message"))
	require.Eventually(t, func() bool {
		runs := s.get(t, rep.Header().Get("Location")+"?status=completed")
		return len(ids(runs)) == 1 && runs.at("data.0.trigger") == "schedule"
	}, 30*time.Second, 50*time.Millisecond)
}

// With Temporal away the setting stands and is known to be told yet; reads leave out what only
// Temporal knows.
func TestSyncScheduleWithoutTemporal(t *testing.T) {
	s := idle(t)
	require.NoError(t, s.Store.SeedSyncSchedule(t.Context(), models.SyncSchedule{Interval: time.Hour}))
	require.NoError(t, s.Store.ObserveSyncSchedule(t.Context(), 1))
	require.EqualValues(t, 0, s.get(t, "/api/v1/sync/health").is(http.StatusOK).at("unsettled.count"))
	rep := s.call(t, http.MethodPut, schedulePath, `{"intervalMinutes": 30}`).is(http.StatusAccepted)
	require.EqualValues(t, 30, rep.at("intervalMinutes"))
	require.Equal(t, false, rep.at("applied"))
	rep = s.get(t, schedulePath).is(http.StatusOK)
	require.EqualValues(t, 30, rep.at("intervalMinutes"))
	require.NotContains(t, rep.body(), "nextRunAt")
	require.NotContains(t, rep.body(), "pausedInTemporal")
	health := s.get(t, "/api/v1/sync/health").is(http.StatusOK)
	require.Equal(t, "setting/sync_schedule", health.at("unsettled.items.0.subject"))
	require.NotContains(t, health.body(), "nextRunAt")
}
