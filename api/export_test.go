package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api/ratelimit"
	"github.com/litemaas/litemaas/models"
)

// Routes returns the method and path of every route of a server.
func Routes(s *Server) []string {
	var out []string
	for _, r := range s.router().engine.Routes() {
		out = append(out, r.Method+" "+r.Path)
	}
	return out
}

// Caller is a caller as requests count against him.
type Caller struct {
	ID, User, APIKey string
	Teams            []string
}

// Counted serves / to one caller, and counts his requests.
func Counted(l Limits, c ratelimit.Counter, who Caller) http.Handler {
	e := gin.New()
	e.Use(frame(newMeter(&Server{}), nil), func(c *gin.Context) {
		requestOf(c.Request.Context()).caller = caller{id: who.ID, user: who.User, teams: who.Teams, apiKey: who.APIKey}
	})
	e.GET("/", limiter{l, c}.count(ordinary), func(c *gin.Context) { c.Status(http.StatusNoContent) })
	return e
}

// WithRoute is the handler of a server that has one more route: GET /api/v1/limited, with a
// limit of its own.
func WithRoute(s *Server, of string) http.Handler {
	r := s.router()
	route(r, public.limited(class(of)).get("/api/v1/limited", "limited", "Do what costs much"),
		func(context.Context, *struct{}) (*struct{}, error) { return nil, nil })
	return r
}

// Origin is where a request comes from, to who trusts those proxies.
func Origin(r *http.Request, trusted ...netip.Prefix) (netip.Addr, bool) {
	return proxies(trusted).origin(r)
}

// WithMutation is the handler of a server that has one more route, POST /api/v1/tries, for who
// may do everything.
func WithMutation(s *Server, do func(context.Context) (string, error)) http.Handler {
	r := s.router()
	type tried struct {
		Body struct {
			Said string `json:"said"`
		}
	}
	route(r, may("admin:system").post("/api/v1/tries", "try", "Try something"), func(ctx context.Context, _ *struct{}) (*tried, error) {
		said, err := do(ctx)
		out := &tried{}
		out.Body.Said = said
		return out, err
	})
	return r
}

// Operation is the operation that the request of ctx carries out.
func Operation(ctx context.Context) uuid.UUID { return requestOf(ctx).deed.Operation }

// WaitingUsage is how many events wait to be recorded, or are being recorded.
func WaitingUsage(s *Server) int {
	c := &s.usage.collector
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.events
}

// RecentUsage counts the usage of the last hour by a clock, and keeps so many sums. What is returned
// looks at it, and says what each user used in each span, from when on, and how many sums are kept.
func RecentUsage(l UsageLedger, now func() time.Time, most int) func(context.Context, require.TestingT) (map[uuid.UUID][3]models.RecentUsage, int64, int) {
	r := newRecentUsage(l)
	r.now, r.most = now, most
	r.forget(now().Unix())
	return func(ctx context.Context, t require.TestingT) (map[uuid.UUID][3]models.RecentUsage, int64, int) {
		require.NoError(t, r.look(ctx, 0))
		groups, _, since := r.sum(func(o *usageOwner) (string, bool) { return o.user.String(), true })
		out := map[uuid.UUID][3]models.RecentUsage{}
		for id, spans := range groups {
			var sums [3]models.RecentUsage
			for i, s := range spans {
				sums[i] = models.RecentUsage{Requests: s.requests, Failed: s.failed, Prompt: s.prompt, Completion: s.completion, Cost: s.cost, LatencyMS: s.latencyMS}
			}
			out[uuid.MustParse(id)] = sums
		}
		return out, since, r.entries
	}
}

// SendTwice is what a stream sends of the same, so long after another.
func SendTwice(t require.TestingT, after time.Duration) string {
	rec := httptest.NewRecorder()
	w := eventWriter{to: patient{rec, http.NewResponseController(rec)}}
	require.NoError(t, w.send(usageRealtimeBody{At: time.Now()}))
	w.sent = w.sent.Add(-after)
	require.NoError(t, w.send(usageRealtimeBody{At: time.Now().Add(after)}))
	return regexp.MustCompile(`\{.*\}`).ReplaceAllString(rec.Body.String(), "{…}")
}
