package api

import (
	"context"
	"net/http"
	"runtime/metrics"
	"time"
)

// The words for how a part is.
const (
	healthy   = "healthy"
	degraded  = "degraded" // it answers, but something wants attention
	unhealthy = "unhealthy"
)

// lookWithin is how long the database may take for a probe: who probes does not wait long.
const lookWithin = 3 * time.Second

type healthResponse struct {
	Status int
	Body   struct {
		Status    string        `json:"status" enum:"healthy,unhealthy"`
		Timestamp time.Time     `json:"timestamp"`
		Version   string        `json:"version"`
		Checks    healthChecks  `json:"checks"`
		Details   healthDetails `json:"details"`
	}
}

type healthChecks struct {
	Database string `json:"database" enum:"healthy,unhealthy"`
	LiteLLM  string `json:"litellm" enum:"healthy,unhealthy"`
	Auth     string `json:"auth" enum:"healthy,unhealthy"`
}

type healthDetails struct {
	Uptime         float64        `json:"uptime" doc:"In seconds."`
	MemoryUsage    memoryUsage    `json:"memoryUsage"`
	Environment    string         `json:"environment"`
	LiteLLMMetrics litellmMetrics `json:"litellmMetrics"`
}

type memoryUsage struct {
	HeapUsed uint64 `json:"heapUsed" doc:"In bytes."`
	Total    uint64 `json:"total" doc:"In bytes."`
}

type litellmMetrics struct {
	LatencyMS float64    `json:"latencyMs"`
	CheckedAt *time.Time `json:"checkedAt,omitempty"`
}

// health answers 200 while requests can be answered, whatever LiteLLM is like; 503 while the
// database is away. Nobody signs in elsewhere yet, so there is nothing of auth that could be ill.
func (s *Server) health(ctx context.Context, _ *struct{}) (*healthResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	v, err := s.look(ctx)
	out := &healthResponse{Status: http.StatusOK}
	b := &out.Body
	b.Checks = healthChecks{Database: healthy, LiteLLM: wellIf(v.litellm.Reachable), Auth: healthy}
	if err != nil {
		out.Status, b.Checks.Database = http.StatusServiceUnavailable, unhealthy
	}
	b.Status = wellIf(err == nil && v.litellm.Reachable)
	b.Timestamp, b.Version = time.Now().UTC(), s.Version
	b.Details = healthDetails{
		Uptime: time.Since(s.started).Seconds(), MemoryUsage: memory(), Environment: s.Config.Environment,
		LiteLLMMetrics: litellmMetrics{v.litellm.LatencyMS, v.litellm.CheckedAt},
	}
	return out, nil
}

func wellIf(ok bool) string {
	if ok {
		return healthy
	}
	return unhealthy
}

// memory is what the program uses.
func memory() memoryUsage {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}}
	metrics.Read(samples)
	return memoryUsage{samples[0].Value.Uint64(), samples[1].Value.Uint64()}
}

type liveResponse struct {
	Body struct {
		Alive bool `json:"alive"`
	}
}

func (s *Server) healthLive(context.Context, *struct{}) (*liveResponse, error) {
	out := &liveResponse{}
	out.Body.Alive = true
	return out, nil
}

type readyResponse struct {
	Status int
	Body   struct {
		Ready bool `json:"ready"`
	}
}

// healthReady answers 503 while the database is away: another replica may do better.
func (s *Server) healthReady(ctx context.Context, _ *struct{}) (*readyResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	out := &readyResponse{Status: http.StatusOK}
	out.Body.Ready = s.Store.Ping(ctx) == nil
	if !out.Body.Ready {
		out.Status = http.StatusServiceUnavailable
	}
	return out, nil
}

type statusResponse struct {
	Body struct {
		Services struct {
			Database databaseStatus `json:"database"`
			LiteLLM  litellmStatus  `json:"litellm"`
			Auth     authStatus     `json:"auth"`
		} `json:"services"`
		Metrics       statusMetrics       `json:"metrics"`
		Configuration statusConfiguration `json:"configuration"`
	}
}

type databaseStatus struct {
	Status    string  `json:"status"`
	LatencyMS float64 `json:"latencyMs"`
}

type authStatus struct {
	Status    string `json:"status"`
	AdminKeys int    `json:"adminKeys" doc:"How many are configured."`
}

type statusMetrics struct {
	Uptime            float64     `json:"uptime" doc:"In seconds."`
	MemoryUsage       memoryUsage `json:"memoryUsage"`
	TotalModels       int         `json:"totalModels"`
	AvailableModels   int         `json:"availableModels"`
	UnavailableModels int         `json:"unavailableModels"`
}

type statusConfiguration struct {
	Version           string   `json:"version"`
	Environment       string   `json:"environment"`
	LiteLLMPublicURL  string   `json:"litellmPublicUrl"`
	CORSOrigins       []string `json:"corsOrigins"`
	TemporalNamespace string   `json:"temporalNamespace"`
	TemporalUIURL     string   `json:"temporalUiUrl,omitempty"`
}

func (s *Server) healthStatus(ctx context.Context, _ *struct{}) (*statusResponse, error) {
	start := time.Now()
	if err := s.Store.Ping(ctx); err != nil {
		return nil, err
	}
	latency := time.Since(start)
	v, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	out := &statusResponse{}
	b := &out.Body
	b.Services.Database = databaseStatus{healthy, milliseconds(latency)}
	b.Services.LiteLLM = v.litellm
	b.Services.Auth = authStatus{healthy, len(s.Config.AdminKeys)}
	b.Metrics = statusMetrics{time.Since(s.started).Seconds(), memory(), v.stats.Total, v.stats.Available, v.stats.Unavailable}
	b.Configuration = statusConfiguration{
		s.Version, s.Config.Environment, s.Config.LiteLLMPublicURL, append([]string{}, s.Config.CORSOrigins...),
		s.Config.TemporalNamespace, s.Config.TemporalUIURL,
	}
	return out, nil
}

type modelsHealthResponse struct {
	Body struct {
		Status           string     `json:"status" enum:"healthy,degraded"`
		LastSync         *time.Time `json:"lastSync" doc:"When the last sync completed; null when there was none."`
		ModelsCount      int        `json:"modelsCount" doc:"How many are available."`
		LiteLLMConnected bool       `json:"litellmConnected" doc:"Whether LiteLLM answered when last looked at."`
		Issues           []string   `json:"issues"`
	}
}

func (s *Server) modelsHealth(ctx context.Context, _ *struct{}) (*modelsHealthResponse, error) {
	v, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	out := &modelsHealthResponse{}
	b := &out.Body
	b.Issues, b.LastSync, b.ModelsCount, b.LiteLLMConnected = v.issues(false), v.lastSyncAt(), v.stats.Available, v.litellm.Reachable
	b.Status = healthy
	if len(b.Issues) > 0 {
		b.Status = degraded
	}
	return out, nil
}

type validateModelsResponse struct {
	Body struct {
		ValidModels           int      `json:"validModels"`
		InvalidModels         []string `json:"invalidModels" doc:"Without provider, context length or a price."`
		OrphanedSubscriptions int      `json:"orphanedSubscriptions" doc:"Subscriptions to models that are gone."`
	}
}

// validateModels says what the catalogue lacks, and who wants what it lacks.
func (s *Server) validateModels(ctx context.Context, _ *struct{}) (*validateModelsResponse, error) {
	stats, err := s.Store.CatalogueStats(ctx)
	if err != nil {
		return nil, err
	}
	out := &validateModelsResponse{}
	if out.Body.InvalidModels, err = s.Store.IncompleteLLMs(ctx); err != nil {
		return nil, err
	}
	if out.Body.OrphanedSubscriptions, err = s.Store.OrphanedSubscriptions(ctx); err != nil {
		return nil, err
	}
	out.Body.ValidModels = stats.Available - len(out.Body.InvalidModels)
	return out, nil
}

type syncStatsResponse struct {
	Body struct {
		TotalModels       int        `json:"totalModels"`
		AvailableModels   int        `json:"availableModels"`
		UnavailableModels int        `json:"unavailableModels"`
		LastSyncAt        *time.Time `json:"lastSyncAt" doc:"When the last sync completed; null when there was none."`
	}
}

func (s *Server) syncStats(ctx context.Context, _ *struct{}) (*syncStatsResponse, error) {
	stats, err := s.Store.CatalogueStats(ctx)
	if err != nil {
		return nil, err
	}
	last, err := s.Store.LastSync(ctx)
	if err != nil {
		return nil, err
	}
	out := &syncStatsResponse{}
	b := &out.Body
	b.TotalModels, b.AvailableModels, b.UnavailableModels = stats.Total, stats.Available, stats.Unavailable
	b.LastSyncAt = view{last: last}.lastSyncAt()
	return out, nil
}

// milliseconds is d as JSON shows it, to the microsecond.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// utc is t as JSON shows it; nil stays nil.
func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC())
}
