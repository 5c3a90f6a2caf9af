// Package api is the HTTP face: it checks who is asking and what they ask, then reads the
// store, or records a wish and starts the workflow that fulfils it.
package api

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/litemaas/litemaas/api/ratelimit"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/workflows"
)

// Server serves the HTTP API.
type Server struct {
	Store     *store.Store
	Temporal  workflows.Starter
	Schedules workflows.Scheduler
	Auth      *Auth // nil: nobody is known
	Config    Config
	Counter   ratelimit.Counter // of requests; nil: in memory
	UI        *UI               // nil: none is served
	Sealer    models.Sealer     // of the secrets of API keys
	Ledger    UsageLedger       // of usage; nil: Store
	Version   string            // of this program

	started time.Time
	keys    *workflows.KeyBatches
	usage   *usage
}

// patience is how long a request waits for its workflow. The web UI gives up after 30 s.
const patience = 20 * time.Second

// Handler returns the whole API.
func (s *Server) Handler() http.Handler { return s.router() }

// router builds the API from its table of routes.
func (s *Server) router() *router {
	s.started = time.Now()
	s.keys = workflows.NewKeyBatches(s.Temporal)
	s.usage = newUsage(s)
	m := newMeter(s)
	r := newRouter(s, m)
	s.routes(r, m)
	s.peopleRoutes(r)
	s.subscriptionRoutes(r)
	s.keyRoutes(r)
	s.keyLifeRoutes(r)
	s.budgetRoutes(r)
	route(r, may("admin:api_keys").post("/api/v1/api-keys/validate", "validateKey", "See what an API key is good for"), s.validateKey)
	s.usagePushRoutes(r)
	s.usageReadRoutes(r)
	s.extAuthz(r)
	r.document()
	return r
}

func (s *Server) counter() ratelimit.Counter {
	if s.Counter == nil {
		return ratelimit.NewMemory(time.Now)
	}
	return s.Counter
}

// routes is the index of the API, with peopleRoutes, subscriptionRoutes, keyRoutes, keyLifeRoutes,
// usagePushRoutes, usageReadRoutes and budgetRoutes: every route, and who may call it.
func (s *Server) routes(r *router, m *meter) {
	route(r, public.get("/api/v1", "root", "Say what this is"), s.root)
	route(r, public.limited(free).get("/api/v1/config", "getConfig", "Read what the web UI has to know"), s.getConfig)
	route(r, public.limited(free).get("/api/v1/config/admin-analytics", "getAnalyticsConfig", "Read the bounds of the analytics pages"), s.getAnalyticsConfig)
	route(r, public.limited(free).get("/api/v1/config/api-key-defaults", "getKeyDefaults", "Read what new API keys get, and what bounds them"), s.getKeyDefaults)

	for _, at := range []endpoint{public.limited(free).under("/api/v1"), public.limited(free).under("").hidden()} { // the second for probes and Prometheus
		route(r, at.get("/health", "health", "See how the system is").or(http.StatusServiceUnavailable), s.health)
		route(r, at.get("/health/live", "healthLive", "See whether the process is alive"), s.healthLive)
		route(r, at.get("/health/ready", "healthReady", "See whether requests can be answered").or(http.StatusServiceUnavailable), s.healthReady)
		route(r, at.get("/health/metrics", "healthMetrics", "Read metrics as Prometheus text"), m.scrape)
	}
	route(r, may("admin:health").limited(free).get("/api/v1/health/status", "healthStatus", "See how each part is, and how it is configured"), s.healthStatus)

	route(r, public.get("/api/v1/models", "listModels", "List the models of the catalogue"), s.listModels)
	route(r, public.get("/api/v1/models/providers", "listProviders", "List the providers of available models"), s.listProviders)
	route(r, public.get("/api/v1/models/capabilities", "listCapabilities", "List what available models can do"), s.listCapabilities)
	route(r, public.get("/api/v1/models/health", "modelsHealth", "See whether the catalogue is up to date"), s.modelsHealth)
	route(r, may("models:read").get("/api/v1/models/validate", "validateModels", "List the models that lack what a user needs to choose"), s.validateModels)
	route(r, public.get("/api/v1/models/{id}", "getModel", "Read a model"), s.getModel)
	route(r, may("models:write").post("/api/v1/models/sync", "syncModels", "Compare everything with LiteLLM, or join the sync under way").or(http.StatusAccepted).repeatable(), s.syncModels)
	route(r, may("models:read").get("/api/v1/models/sync/stats", "syncStats", "Count the catalogue"), s.syncStats)
	route(r, may("models:write").post("/api/v1/models/refresh", "refreshModels", "Compare everything with LiteLLM, but take nothing away").or(http.StatusAccepted).repeatable(), s.refreshModels)
	route(r, may("models:write").post("/api/v1/models/{id}/refresh", "refreshModel", "Compare one model with LiteLLM").or(http.StatusAccepted).repeatable(), s.refreshModel)

	route(r, may("models:write").get("/api/v1/sync/runs", "listSyncRuns", "List sync runs, the newest first"), s.listSyncRuns)
	route(r, may("models:write").get("/api/v1/sync/runs/{id}", "getSyncRun", "Read a sync run and what it found"), s.getSyncRun)
	route(r, may("models:write").get("/api/v1/sync/runs/{id}/users", "listSyncUsers", "List what a sync run found about users"), s.listSyncUsers)
	route(r, may("models:write").get("/api/v1/sync/runs/{id}/keys", "listSyncKeys", "List what a sync run found about API keys"), s.listSyncKeys)
	route(r, may("models:write").post("/api/v1/sync/runs/{id}/decision", "decideSyncRun", "Approve or reject the removals that a run proposes").or(http.StatusAccepted), s.decideSyncRun)
	route(r, may("models:write").get("/api/v1/sync/schedule", "getSyncSchedule", "Read when syncs run by the clock"), s.getSyncSchedule)
	route(r, may("models:write").put("/api/v1/sync/schedule", "setSyncSchedule", "Change when syncs run by the clock, pause or resume it").or(http.StatusAccepted), s.setSyncSchedule)
	route(r, may("models:write").post("/api/v1/sync/schedule/trigger", "triggerSyncSchedule", "Let the schedule run now").accepted().repeatable(), s.triggerSyncSchedule)
	route(r, may("models:write").get("/api/v1/sync/health", "syncHealth", "See whether syncs go well, and what waits for a person"), s.syncHealth)

	route(r, may("models:write").get("/api/v1/sync/conflicts", "listKeyConflicts", "List fields of API keys that LiteLLM holds otherwise, and a person has to decide about"), s.listKeyConflicts)
	route(r, may("models:write").get("/api/v1/sync/conflicts/{id}", "getKeyConflict", "Read a conflict"), s.getKeyConflict)
	route(r, may("models:write").post("/api/v1/sync/conflicts/{id}/resolve", "resolveKeyConflict", "Decide whose word counts").or(http.StatusAccepted).repeatable(), s.resolveKeyConflict)
	route(r, may("models:write").get("/api/v1/sync/orphans", "listKeyOrphans", "List LiteLLM's keys that are not ours"), s.listKeyOrphans)
	route(r, may("models:write").post("/api/v1/sync/orphans/{hash}/adopt", "adoptKeyOrphan", "Make one of ours of such a key").or(http.StatusAccepted).repeatable(), s.adoptKeyOrphan)
	route(r, may("models:write").post("/api/v1/sync/orphans/{hash}/release", "releaseKeyOrphan", "Let LiteLLM take such a key again, and leave it alone").or(http.StatusAccepted).repeatable(), s.releaseKeyOrphan)
	route(r, may("models:write").delete("/api/v1/sync/orphans/{hash}", "deleteKeyOrphan", "Have such a key deleted at LiteLLM").or(http.StatusAccepted), s.deleteKeyOrphan)

	route(r, signedIn.get("/api/v1/operations", "listOperations", "List your operations, the newest first"), s.listOperations)
	route(r, signedIn.get("/api/v1/operations/{id}", "getOperation", "See how an operation went, or how far it is"), s.getOperation)

	docs := public.under("").hidden()
	route(r, docs.get("/openapi.json", "openapi", "Read the OpenAPI document"), r.openapiJSON)
	route(r, docs.get("/docs", "docs", "Try the API in a browser"), docsPage)
	route(r, docs.get("/docs/json", "docsJSON", "Read the OpenAPI document"), r.openapiJSON)
	route(r, docs.get("/docs/yaml", "docsYAML", "Read the OpenAPI document as YAML"), r.openapiYAML)
	route(r, docs.get("/docs/static/{file}", "docsFile", "Read a file of the page"), docsFile)
}

// route registers a handler; what it returns as an error is answered by fail alone.
func route[In, Out any](r *router, e endpoint, fn func(context.Context, *In) (*Out, error)) {
	routeReplayed(r, e, fn, nil)
}

// routeReplayed is route for a mutation that must not be done twice, and whose answer can be made
// anew of what it did something to: replay is given its id, as the audit log has it. That is for
// the rare case that a process died between the two, and the caller asks again by his
// Idempotency-Key.
func routeReplayed[In, Out any](r *router, e endpoint, fn func(context.Context, *In) (*Out, error), replay func(context.Context, string) (*Out, error)) {
	op := e.operation()
	huma.Register(r.api, op, func(ctx context.Context, in *In) (*Out, error) {
		out, err := perform(ctx, func(ctx context.Context) (*Out, error) { return fn(ctx, in) }, replay)
		if err != nil {
			if models.KindOf(err) == models.Forbidden && requestOf(ctx).caller.known() {
				r.auth.refused(ctx, err)
			}
			return nil, fail(ctx, err)
		}
		return out, nil
	})
	for _, status := range e.others {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Description: http.StatusText(status), Content: op.Responses[strconv.Itoa(cmp.Or(e.status, http.StatusOK))].Content}
		if status == http.StatusAccepted {
			op.Responses["202"].Headers = map[string]*huma.Param{"Location": locationParam}
		}
	}
}

func init() {
	gin.SetMode(gin.ReleaseMode)
}
