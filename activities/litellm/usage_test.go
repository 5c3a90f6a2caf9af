package litellm_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
)

// recorded serves what a LiteLLM 1.108.11 answered.
func recorded(t *testing.T, file, frame string) *litellm.Client {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + file)
	require.NoError(t, err)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, frame, raw) }))
	t.Cleanup(srv.Close)
	return litellm.New(litellm.Config{URL: srv.URL})
}

// Calls that LiteLLM pushed, and that are in its log, have the same names in our ledger: those that
// were answered, streamed, refused, embedded, answered by the cache, or whose caller chose an id.
func TestPushedAndLoggedAreTheSame(t *testing.T) {
	began := time.Date(2026, 11, 26, 2, 0, 0, 0, time.UTC)
	logs, err := recorded(t, "spend_logs.json", `{"data": %s, "total": 17}`).SpendLogs(t.Context(), began, began.Add(time.Hour), 1)
	require.NoError(t, err)
	require.Zero(t, logs.Strange)
	require.True(t, logs.Last)
	logged := map[uuid.UUID]models.UsageEvent{}
	for _, e := range logs.Events {
		require.NoError(t, e.Check(began))
		logged[e.ID()] = e
	}
	require.Len(t, logged, 17)

	raw, err := os.ReadFile("testdata/pushed.json")
	require.NoError(t, err)
	var pushed []struct {
		ID, Status, Model string
		CallID            string     `json:"litellm_call_id"`
		Group             string     `json:"model_group"`
		Cost              models.USD `json:"response_cost"`
		StartTime         float64
		Completion        int64 `json:"completion_tokens"`
		Metadata          struct {
			Key  string `json:"user_api_key_hash"`
			User string `json:"user_api_key_user_id"`
		}
	}
	require.NoError(t, json.Unmarshal(raw, &pushed))
	require.Len(t, pushed, 17)
	hits := 0
	for _, p := range pushed {
		at := time.UnixMicro(int64(math.Round(p.StartTime * 1e6))).Truncate(time.Millisecond) // as the ledger has it
		e, ok := logged[models.UsageEvent{RequestID: p.ID, CallID: p.CallID, At: at}.ID()]
		require.True(t, ok, p.ID)
		require.Equal(t, p.Status == "failure", e.Failed == 1)
		require.Equal(t, models.CalledModel(p.Group, p.Model, p.Status == "failure"), e.Model)
		require.Equal(t, models.UsedKey(p.Metadata.Key), e.KeyHash)
		require.Equal(t, p.Metadata.User, e.UserID)
		require.Equal(t, p.Cost, *e.Cost)
		require.Equal(t, p.Completion, e.Completion)
		require.WithinDuration(t, time.UnixMilli(int64(p.StartTime*1000)), e.At, 100*time.Millisecond)
		if strings.Contains(p.ID, "_cache_hit") {
			require.NotEqual(t, p.ID, e.RequestID)
			hits++
		}
	}
	require.Equal(t, 3, hits)
}

// Sums of a day are by key and model. What is no key of LiteLLM's is nobody's.
func TestRecordedDailyActivity(t *testing.T) {
	day := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	list, err := recorded(t, "daily_activity.json", "%s").DailyActivity(t.Context(), day.Add(5*time.Hour))
	require.NoError(t, err)
	var requests, failed, tokens int64
	var cost models.USD
	for _, e := range list {
		require.NoError(t, e.Check(day.Add(24*time.Hour)))
		require.Equal(t, day, e.At)
		require.Equal(t, "daily/2026-11-26/"+e.KeyHash+"/"+e.Model, e.RequestID)
		require.NotEqual(t, "unknown-model", e.Model)
		requests, failed, tokens, cost = requests+e.Requests, failed+e.Failed, tokens+e.Prompt+e.Completion, cost+*e.Cost
	}
	require.Equal(t, []int64{35, 14, 562}, []int64{requests, failed, tokens})
	require.Equal(t, "0.0025654", cost.String())
}
