package api

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/litemaas/litemaas/api/ratelimit"
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
