package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/temporal"
	"github.com/litemaas/litemaas/temporal/temporaltest"
	"github.com/litemaas/litemaas/workflows"
)

// The tests make thousands of requests; a line for each would hide what failed.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	logging.Disable() // the client of Redis has a log of its own
	os.Exit(m.Run())
}

const adminKey = "ltm_admin_0123456789abcdef"

// system is a served API.
type system struct {
	*api.Server
	handler http.Handler
}

func config() api.Config {
	return api.Config{
		AdminKeys: []models.Secret{models.SecretOf("ltm_admin_another"), models.SecretOf(adminKey)}, CORSOrigins: []string{"http://localhost:3000"},
		Environment: "development", RevealMaxAge: 24 * time.Hour, LiteLLMPublicURL: "https://llm.example.com", TemporalUIURL: "http://temporal.example.com/", TemporalNamespace: "litemaas",
	}
}

// idle is an API on a database of its own, with Temporal away.
func idle(t *testing.T) system {
	t.Helper()
	return serve(storetest.New(t), &away{}, &away{})
}

func serve(s *store.Store, starter workflows.Starter, schedules workflows.Scheduler) system {
	return servePeople(s, s, starter, schedules)
}

// servePeople is serve, with the sessions of people elsewhere.
func servePeople(s *store.Store, kept api.People, starter workflows.Starter, schedules workflows.Scheduler) system {
	cfg := config()
	people, err := api.NewAuth(authConfig(), cfg.AdminKeys, kept, sealer{})
	if err != nil {
		panic(err) // the configuration is ours
	}
	srv := &api.Server{Store: s, Temporal: starter, Schedules: schedules, Auth: people, Sealer: storetest.Sealer{}, Config: cfg, Version: "1.2.3"}
	return system{srv, srv.Handler()}
}

// authConfig lets one sign in as anybody.
func authConfig() auth.Config {
	return auth.Config{
		Provider: auth.ProviderMock, Development: true, CallbackURL: "http://localhost:8081/api/auth/callback",
		FrontendURL: "http://localhost:8081", CORSOrigins: config().CORSOrigins,
	}
}

// sealer seals so that a test can see whether it was opened with what it was sealed to.
type sealer struct{}

func (sealer) Seal(plain, associated []byte) ([]byte, error) {
	return slices.Concat(associated, []byte{0}, plain), nil
}

func (sealer) Open(sealed, associated []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(sealed, append(slices.Clone(associated), 0))
	if !ok {
		return nil, errors.New("it was sealed to something else")
	}
	return plain, nil
}

// as is the header Authorization of a user of that name, with these roles if he is new.
func (s system) as(t *testing.T, username string, roles ...string) string {
	t.Helper()
	g, err := s.Auth.Flow.DevToken(t.Context(), username, roles, models.Origin{})
	require.NoError(t, err)
	return "Bearer " + g.Access.Reveal()
}

// user is the user of that name.
func (s system) user(t *testing.T, username string) models.User {
	t.Helper()
	u, err := s.Store.UserNamed(t.Context(), username)
	require.NoError(t, err)
	return u
}

// by sends a request with that header Authorization.
func (s system) by(t *testing.T, who, method, path, body string) reply {
	t.Helper()
	return s.call(t, method, path, body, "Authorization", who)
}

// running is an API with everything behind it: a worker on a real Temporal server, and a
// LiteLLM in memory.
func running(t *testing.T) (system, *litellmtest.Proxy, client.Client) {
	t.Helper()
	return runningOn(t, storetest.New(t))
}

// runningOn is running on that database.
func runningOn(t *testing.T, db *store.Store) (system, *litellmtest.Proxy, client.Client) {
	t.Helper()
	c := temporaltest.New(t)
	proxy, llm := litellmtest.New(t)
	require.NoError(t, db.SeedSyncSchedule(t.Context(), models.SyncSchedule{Interval: time.Hour}))
	w := temporal.NewWorker(c, temporal.Activities{
		SyncRuns: &activities.SyncRuns{
			Store: db, Proxy: llm, Guard: models.Guard{MaxRemovedPercent: 20, MinRemoved: 3}, ProposalTTL: time.Hour, Retention: time.Hour,
		},
		Proposals: &activities.Proposals{Store: db},
		Probes:    &activities.Probes{Store: db, Proxy: llm},
		Users:     &activities.Users{Store: db, Proxy: llm},
		Keys:      &activities.Keys{Store: db, Proxy: llm, Sealer: storetest.Sealer{}},
		Subscriptions: &activities.Subscriptions{
			Store: db, CatalogueMaxAge: 5 * time.Minute, RemindAfter: 72 * time.Hour, LapseAfter: 720 * time.Hour,
		},
		Cascades: &activities.Cascades{Store: db},
		Sessions: &activities.Sessions{Store: db, Keep: time.Hour}, AuditLog: &activities.AuditLog{Store: db}, Operations: &activities.Operations{Store: db},
		Orphans: &activities.Orphans{Store: db, Proxy: llm}, Usage: &activities.Usage{Store: db, Proxy: llm}, Budgets: &activities.Budgets{Store: db},
		Schedules: &activities.Schedules{Store: db, Tell: func(ctx context.Context, to models.SyncSchedule) error {
			return workflows.ApplySyncSchedule(ctx, c.ScheduleClient(), to)
		}},
	})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	return serve(db, c, c.ScheduleClient()), proxy, c
}

// away is a Temporal server that cannot be reached.
type away struct {
	client.ScheduleHandle
	started []string
}

var errAway = errors.New("dial tcp 10.0.0.1:7233: connection refused")

func (a *away) ExecuteWorkflow(_ context.Context, o client.StartWorkflowOptions, _ any, _ ...any) (client.WorkflowRun, error) {
	a.started = append(a.started, o.ID)
	return nil, errAway
}

func (a *away) SignalWithStartWorkflow(_ context.Context, id, _ string, _ any, _ client.StartWorkflowOptions, _ any, _ ...any) (client.WorkflowRun, error) {
	a.started = append(a.started, id)
	return nil, errAway
}

func (a *away) Create(context.Context, client.ScheduleOptions) (client.ScheduleHandle, error) {
	return nil, errAway
}

func (a *away) GetHandle(context.Context, string) client.ScheduleHandle { return a }

func (a *away) Describe(context.Context) (*client.ScheduleDescription, error) { return nil, errAway }

func (a *away) Trigger(context.Context, client.ScheduleTriggerOptions) error { return errAway }

// reply is an answer, read.
type reply struct {
	*httptest.ResponseRecorder
	t *testing.T
}

// call sends a request as an admin; header are pairs of names and values, an empty value takes
// one away.
func (s system) call(t *testing.T, method, path, body string, header ...string) reply {
	t.Helper()
	req, rec := httptest.NewRequest(method, path, strings.NewReader(body)), httptest.NewRecorder()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+adminKey)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i+1] == "" {
			req.Header.Del(header[i])
		}
	}
	s.handler.ServeHTTP(rec, req.WithContext(t.Context()))
	return reply{rec, t}
}

func (s system) get(t *testing.T, path string) reply {
	t.Helper()
	return s.call(t, http.MethodGet, path, "")
}

// is requires the status.
func (r reply) is(status int) reply {
	r.t.Helper()
	require.Equal(r.t, status, r.Code, r.Body)
	return r
}

// body is the answer's JSON object.
func (r reply) body() map[string]any {
	r.t.Helper()
	var out map[string]any
	require.NoError(r.t, json.Unmarshal(r.Body.Bytes(), &out), r.Body)
	return out
}

// at is a value in the answer's JSON, such as pagination.total.
func (r reply) at(path string) any {
	r.t.Helper()
	var value any = r.body()
	for name := range strings.SplitSeq(path, ".") {
		if list, ok := value.([]any); ok {
			require.NotEmpty(r.t, list, path)
			value = list[0] // 0 is the only index anybody asks for
			continue
		}
		object, ok := value.(map[string]any)
		require.True(r.t, ok, "%s in %s", path, r.Body)
		value = object[name]
	}
	return value
}

// problem requires a failure in the one shape, and returns the field that it blames.
func (r reply) problem(status int, code string) string {
	r.t.Helper()
	r.is(status)
	require.Equal(r.t, "application/problem+json", r.Header().Get("Content-Type"))
	require.NotContains(r.t, r.Body.String(), "dial tcp", "no cause is shown")
	require.NotContains(r.t, r.Body.String(), "SQLSTATE", "no cause is shown")
	for path, want := range map[string]any{
		"type": "about:blank", "title": http.StatusText(status), "status": float64(status), "statusCode": float64(status), "code": code,
		"error.code": code, "error.statusCode": float64(status), "error.message": r.at("message"),
		"requestId": r.Header().Get("X-Request-ID"), "error.requestId": r.Header().Get("X-Request-ID"), "error.details": r.at("details"),
	} {
		require.Equal(r.t, want, r.at(path), path)
	}
	require.NotEmpty(r.t, r.at("detail"))
	require.NotEmpty(r.t, r.at("message"))
	field, _ := r.at("details.field").(string)
	if field != "" {
		require.Equal(r.t, field, r.at("details.validation.0.field"))
		require.NotEmpty(r.t, r.at("details.validation.0.message"))
		require.NotEmpty(r.t, r.at("details.validation.0.code"))
	}
	return field
}
