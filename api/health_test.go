package api_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// up makes LiteLLM known to answer.
func (s system) up(t *testing.T) {
	t.Helper()
	require.NoError(t, s.Store.RecordProbe(t.Context(), models.Probe{Reachable: true, Latency: 12 * time.Millisecond, Version: "1.81.0", CheckedAt: time.Now()}))
}

// gone is an API whose database is away.
func gone(t *testing.T) system {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{URL: models.SecretOf("postgres://nobody@127.0.0.1:1/none?connect_timeout=1"), MaxConns: 2})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	return serve(db, &away{}, &away{})
}

// Health has LiteMaaS's shape, says what is ill, and is 200 as long as requests can be answered.
func TestHealth(t *testing.T) {
	s := idle(t)
	for _, path := range []string{"/health", "/api/v1/health"} {
		s.up(t)
		rep := s.get(t, path).is(http.StatusOK)
		for at, want := range map[string]any{
			"status": "healthy", "version": "1.2.3", "checks": map[string]any{"database": "healthy", "litellm": "healthy", "auth": "healthy"},
			"details.environment": "development", "details.litellmMetrics.latencyMs": 12.0,
		} {
			require.Equal(t, want, rep.at(at), at)
		}
		require.Positive(t, rep.at("details.uptime"))
		require.Positive(t, rep.at("details.memoryUsage.heapUsed"))
		s.down(t)
		rep = s.get(t, path).is(http.StatusOK)
		require.Equal(t, "unhealthy", rep.at("status"))
		require.Equal(t, "unhealthy", rep.at("checks.litellm"))
	}
}

// Without a database everything that needs it is 503, and what does not need it works.
func TestWithoutDatabase(t *testing.T) {
	s := gone(t)
	ill := s.get(t, "/health").is(http.StatusServiceUnavailable)
	require.Equal(t, "unhealthy", ill.at("status"))
	require.Equal(t, "unhealthy", ill.at("checks.database"))
	require.Equal(t, false, s.get(t, "/health/ready").is(http.StatusServiceUnavailable).at("ready"))
	require.Equal(t, true, s.get(t, "/health/live").is(http.StatusOK).at("alive"))
	metrics := s.get(t, "/health/metrics").is(http.StatusOK).Body.String()
	require.Contains(t, metrics, "litemaas_uptime_seconds")
	require.NotContains(t, metrics, "litemaas_litellm_reachable")
	for _, path := range []string{"/api/v1/models", "/api/v1/models/x", "/api/v1/models/health", "/api/v1/sync/runs", "/api/v1/sync/health", "/api/v1/health/status", "/api/v1/sync/schedule"} {
		s.get(t, path).problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
	}
	s.get(t, "/api/v1/config").is(http.StatusOK)
}

// The status page of an admin names every part.
func TestHealthStatus(t *testing.T) {
	s := idle(t)
	s.up(t)
	s.fill(t, some(t)...)
	rep := s.get(t, "/api/v1/health/status").is(http.StatusOK)
	for at, want := range map[string]any{
		"services.database.status": "healthy", "services.litellm.status": "healthy", "services.litellm.version": "1.81.0",
		"services.auth.adminKeys": 2.0, "metrics.availableModels": 6.0, "configuration.environment": "development",
		"configuration.corsOrigins.0": "http://localhost:3000", "configuration.temporalNamespace": "litemaas",
	} {
		require.Equal(t, want, rep.at(at), at)
	}
	require.NotContains(t, rep.Body.String(), "ltm_admin_")
}

// Metrics are Prometheus text: requests by route and status, and what the rows say.
func TestMetrics(t *testing.T) {
	s := idle(t)
	s.up(t)
	s.fill(t, some(t)...)
	s.fill(t)
	s.get(t, "/api/v1/models/a/b")
	s.call(t, "BREW", "/api/v1/teapot", "")
	rep := s.get(t, "/api/v1/health/metrics").is(http.StatusOK)
	require.True(t, strings.HasPrefix(rep.Header().Get("Content-Type"), "text/plain; version=0.0.4; charset=utf-8"), rep.Header())
	samples := map[string]string{}
	for lines := bufio.NewScanner(rep.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok && name != "#" {
			samples[name] = value
		}
	}
	for name, want := range map[string]string{
		`litemaas_http_request_duration_seconds_count{method="GET",route="/api/v1/models/:id",status="404"}`: "1",
		`litemaas_http_request_duration_seconds_count{method="other",route="none",status="404"}`:             "1",
		`litemaas_litellm_reachable`:                                     "1",
		`litemaas_open_proposals`:                                        "1",
		`litemaas_models{availability="available"}`:                      "6",
		`litemaas_models{availability="unavailable"}`:                    "0",
		`litemaas_build_info{environment="development",version="1.2.3"}`: "1",
	} {
		require.Equal(t, want, samples[name], name)
	}
	for _, name := range []string{"litemaas_last_sync_age_seconds", "go_goroutines", "process_open_fds", "litemaas_uptime_seconds"} {
		require.Contains(t, samples, name)
	}
}

// The catalogue's health says since when it is right, and what wants attention.
func TestModelsHealth(t *testing.T) {
	s := idle(t)
	rep := s.get(t, "/api/v1/models/health").is(http.StatusOK)
	require.Equal(t, "degraded", rep.at("status"))
	require.Contains(t, rep.body(), "lastSync")
	require.Nil(t, rep.at("lastSync"))
	require.Equal(t, []any{"LiteLLM is not reachable", "no sync has completed yet"}, rep.at("issues"), "the reasons are for admins")
	require.Equal(t, "LiteLLM is not reachable: nobody has looked for some minutes: does a worker run?", s.get(t, "/api/v1/sync/health").at("issues.0"))

	run := s.fill(t, some(t)...)
	rep = s.get(t, "/api/v1/models/health").is(http.StatusOK)
	require.Equal(t, map[string]any{
		"status": "healthy", "lastSync": run.FinishedAt.UTC().Format(time.RFC3339Nano), "modelsCount": 6.0, "litellmConnected": true, "issues": []any{},
	}, rep.body(), "a sync that has just completed has talked to LiteLLM")
	s.down(t)
	require.Equal(t, []any{"LiteLLM is not reachable"}, s.get(t, "/api/v1/models/health").at("issues"))
	require.Equal(t, []any{"LiteLLM is not reachable: LiteLLM does not answer"}, s.get(t, "/api/v1/sync/health").at("issues"))
}

// Stats and validation count what is there.
func TestSyncStatsAndValidate(t *testing.T) {
	s := idle(t)
	require.Equal(t, map[string]any{"totalModels": 0.0, "availableModels": 0.0, "unavailableModels": 0.0, "lastSyncAt": nil},
		s.get(t, "/api/v1/models/sync/stats").is(http.StatusOK).body())
	s.fill(t, some(t)...)
	run := s.fill(t, some(t)[1:]...)
	require.Equal(t, map[string]any{
		"totalModels": 6.0, "availableModels": 5.0, "unavailableModels": 1.0, "lastSyncAt": run.FinishedAt.UTC().Format(time.RFC3339Nano),
	}, s.get(t, "/api/v1/models/sync/stats").is(http.StatusOK).body())
	s.fill(t, some(t)...)
	rep := s.get(t, "/api/v1/models/validate").is(http.StatusOK)
	require.EqualValues(t, 1, rep.at("validModels"))
	require.Len(t, rep.at("invalidModels"), 5)
	require.NotContains(t, rep.at("invalidModels"), "gpt-4.1")
	require.EqualValues(t, 0, rep.at("orphanedSubscriptions"))
	s.as(t, "ada", user)
	_, err := s.Store.RequestSubscription(t.Context(), store.NewSubscription{UserID: s.user(t, "ada").ID, ModelID: "gpt-4.1"}, models.System("test"))
	require.NoError(t, err)
	s.fill(t, some(t)[1:]...)
	require.EqualValues(t, 1, s.get(t, "/api/v1/models/validate").at("orphanedSubscriptions"))
}

// The health of syncs has everything that an operator wants to know at once.
func TestSyncHealth(t *testing.T) {
	s := idle(t)
	s.up(t)
	require.NoError(t, s.Store.SeedSyncSchedule(t.Context(), models.SyncSchedule{Interval: time.Hour}))
	require.NoError(t, s.Store.ObserveSyncSchedule(t.Context(), 1))
	s.fill(t, some(t)[1:]...)
	run := s.fill(t, some(t)...)
	rep := s.get(t, "/api/v1/sync/health").is(http.StatusOK)
	for at, want := range map[string]any{
		"status": "healthy", "issues": []any{}, "lastSuccess.runId": run.ID.String(), "litellm.reachable": true, "litellm.latencyMs": 12.0,
		"litellm.version": "1.81.0", "drift.added": 1.0, "drift.unchanged": 5.0, "unsettled": map[string]any{"count": 0.0, "items": []any{}},
	} {
		require.Equal(t, want, rep.at(at), at)
	}
	require.Less(t, rep.at("lastSuccess.ageSeconds"), 60.0)
	for _, name := range []string{"running", "proposal", "nextRunAt"} {
		require.NotContains(t, rep.body(), name)
	}
	broken := models.SyncRun{ID: uuid.New(), WorkflowID: "full-sync", Kind: models.SyncFull, Trigger: models.SyncBySchedule}
	require.NoError(t, s.Store.BeginSyncRun(t.Context(), broken, time.Hour))
	require.Equal(t, broken.ID.String(), s.get(t, "/api/v1/sync/health").at("running.id"))
	require.NoError(t, s.Store.FailSyncRun(t.Context(), broken.ID, "no luck"))
	require.Equal(t, []any{"the last sync failed: no luck"}, s.get(t, "/api/v1/sync/health").at("issues"))
}

// With LiteLLM down every GET answers as ever, and nobody asks LiteLLM.
func TestReadsNeedNoLiteLLM(t *testing.T) {
	s, proxy, _ := running(t)
	run := s.keyed(t, "k", http.MethodPost, "/api/v1/models/sync", "{}").is(http.StatusOK)
	op := s.get(t, "/api/v1/operations").at("data.0.id").(string)
	who := s.as(t, "ada", admin)
	sub := s.by(t, who, http.MethodPost, "/api/v1/subscriptions", `{"modelId": "gpt-4o"}`).is(http.StatusCreated)
	key := s.by(t, who, http.MethodPost, "/api/v1/api-keys", `{"modelIds": ["gpt-4o"], "maxBudget": 1}`).is(http.StatusCreated)
	s.down(t)
	proxy.Inject(litellmtest.Fault{Kind: litellmtest.FaultCut})
	before := len(proxy.Requests())
	purse := s.by(t, who, http.MethodGet, "/api/v1/budgets/mine", "").is(http.StatusOK).at("data.0.id").(string)
	fill := strings.NewReplacer("budgets/:id", "budgets/"+purse, "conflicts/:id", "conflicts/"+uuid.NewString(), "api-keys/:id", "api-keys/"+id(key), "operations/:id", "operations/"+op, "subscriptions/:id", "subscriptions/"+id(sub), "runs/:id", "runs/"+run.at("runId").(string), "users/:id", "users/"+s.user(t, "ada").ID.String(),
		":id", "gpt-4o", ":file", "swagger-ui.css")
	for line := range access {
		if path, ok := strings.CutPrefix(line, "GET "); ok && path != "/api/auth/callback" && !strings.HasSuffix(path, "/stream") { // which has no end
			want := http.StatusOK
			if strings.Contains(path, "/conflicts/") {
				want = http.StatusNotFound // there is none
			}
			s.by(t, who, http.MethodGet, fill.Replace(path), "").is(want)
		}
	}
	require.Len(t, proxy.Requests(), before)
}
