package bench_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/api/ratelimit"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/workflows"
)

// askers is how many people the callers ask for, in turn.
const askers = 1_000

// benchPeople measures what it costs to know who asks, beside a bare Gin handler that takes his
// word for it.
func benchPeople(b *testing.B, w io.Writer, sessions, audited int) {
	fmt.Fprintf(w, `## Who is asking

`+"`GET /auth/me`"+`, with %d live sessions of %d people and %d rows in the audit log; %d callers on open connections ask in
the names of %d people by turns. *Bare* is a Gin handler that finds the answer in a map, by the header Authorization, and
sends the same bytes, header and body, encoded with encoding/json: it looks at no token, no session and no limit, and has
nothing of what is left out above. *Body* is the same without our %d headers. SQL is the statements that reach Postgres
for each request, counted on their way, from when a process begins to know people.

| who asks | ours | bare | ratio | body | ratio | SQL |
|---|---:|---:|---:|---:|---:|---:|
`, sessions, sessions/models.MaxSessions, audited, callers, askers, ourHeaders)
	b.Run("people", func(b *testing.B) {
		progress("%d sessions and %d rows of audit", sessions, audited)
		address := storetest.URL(b)
		c := newCrowd(b, address, sessions, audited)
		c.measure(b, w, address, "is remembered, as changes are told", true)
		c.measure(b, w, address, "is looked up, as nothing is told", false)
	})
	fmt.Fprintln(w)
}

// crowd is people with sessions, by their headers Authorization.
type crowd struct {
	headers []string
	people  map[string]bareMe
}

// bareMe is a person as our API answers it.
type bareMe struct {
	ID       string   `json:"id"`
	Username string   `json:"username"`
	Email    string   `json:"email"`
	Name     string   `json:"name"`
	Roles    []string `json:"roles"`
}

// newCrowd fills a database.
func newCrowd(b *testing.B, address string, sessions, audited int) *crowd {
	b.Helper()
	db := storetest.SQL(b, address)
	for _, fill := range []struct {
		sql  string
		args []any
	}{
		{`INSERT INTO users (id, username, email, email_verified, full_name, oauth_provider, oauth_id, observed_generation)
			SELECT gen_random_uuid(), 'person-' || n, 'person-' || n || '@example.com', true, 'Person ' || n, 'oidc', n, 1
			FROM generate_series(1, $1::int) n`, []any{sessions / models.MaxSessions}},
		{`INSERT INTO user_roles (user_id, role_id, source, granted_by) SELECT id, 'user', 'idp', 'sign-in' FROM users`, nil},
		{`INSERT INTO sessions (id, user_id, provider, auth_time, ip, created_at, user_agent, last_seen_at, expires_at)
			SELECT gen_random_uuid(), id, 'oidc', now(), '192.0.2.1', now(), 'bench', now(), now() + interval '1 day'
			FROM users, generate_series(1, $1::int) WHERE is_active`, []any{models.MaxSessions}},
		{`INSERT INTO audit (actor, via, action, resource_type, resource_id, detail)
			SELECT 'person-' || n % 10000, 'api', 'LOGIN', 'AUTH', n, '{"provider": "oidc"}' FROM generate_series(1, $1::int) n`, []any{audited}},
		{"VACUUM ANALYZE", nil},
	} {
		_, err := db.ExecContext(b.Context(), fill.sql, fill.args...)
		require.NoError(b, err)
	}
	st, people := known(b, address)
	defer st.Close()
	tokens, err := auth.NewTokens(auth.Config{}, people.Keys)
	require.NoError(b, err)
	rows, err := db.QueryContext(b.Context(), "SELECT DISTINCT ON (user_id) id FROM sessions ORDER BY user_id LIMIT $1", askers)
	require.NoError(b, err)
	defer rows.Close()
	c := &crowd{people: map[string]bareMe{}}
	for rows.Next() {
		var session uuid.UUID
		require.NoError(b, rows.Scan(&session))
		p, err := st.Principal(b.Context(), session)
		require.NoError(b, err)
		token, err := tokens.Issue(b.Context(), p, time.Hour)
		require.NoError(b, err)
		header := "Bearer " + token.Reveal()
		c.headers = append(c.headers, header)
		c.people[header] = bareMe{p.UserID.String(), p.Username, p.Email, p.Name, p.Roles}
	}
	require.NoError(b, rows.Err())
	return c
}

// known is what knows people, on a store of its own.
func known(b *testing.B, address string) (*store.Store, *api.Auth) {
	b.Helper()
	st, err := store.Open(b.Context(), store.Config{URL: models.SecretOf(address), MaxConns: callers})
	require.NoError(b, err)
	return st, knows(b, st)
}

// knows is what knows people by a store.
func knows(b *testing.B, st *store.Store) *api.Auth {
	b.Helper()
	people, err := api.NewAuth(auth.Config{}, nil, st, open{})
	require.NoError(b, err)
	return people
}

// open seals nothing.
type open struct{}

func (open) Seal(plain, _ []byte) ([]byte, error)  { return plain, nil }
func (open) Open(sealed, _ []byte) ([]byte, error) { return sealed, nil }

const (
	mePath     = "/api/v1/auth/me"
	ourHeaders = 14         // beside those that any handler sends
	turns      = 4 * rounds // of a quarter of the time, so that what else the machine does hits all alike
)

// measure writes one line of the table.
func (c *crowd) measure(b *testing.B, w io.Writer, address, name string, told bool) {
	b.Helper()
	ours, stop := c.serve(b, address, told)
	defer stop()
	want := load(b, ours+mePath, 0, c.headers[0])
	for _, usual := range []string{"Content-Length", "Content-Type", "Date"} {
		want.header.Del(usual)
	}
	require.Len(b, want.header, ourHeaders)
	bare, body := httptest.NewServer(c.bare(want.header)), httptest.NewServer(c.bare(nil))
	defer bare.Close()
	defer body.Close()
	urls := []string{body.URL, bare.URL, ours}
	for _, url := range urls {
		require.Equal(b, string(want.body), string(load(b, url+mePath, 0, c.headers[0]).body), "the same bytes")
	}
	rates := make([][]float64, len(urls))
	for range turns {
		for i, url := range urls {
			got := load(b, url+mePath, lasting/4, c.headers...)
			rates[i] = append(rates[i], got.perSecond)
		}
	}
	least, same, us := median(rates[0]), median(rates[1]), median(rates[2])
	fmt.Fprintf(w, "| %s | %.0f/s | %.0f/s | %.0f %% | %.0f/s | %.0f %% | %.2f |\n",
		name, us, same, 100*us/same, least, 100*us/least, c.statements(b, address, told))
}

// statements is how many statements a request takes.
func (c *crowd) statements(b *testing.B, address string, told bool) float64 {
	b.Helper()
	counter := count(b, address)
	ours, stop := c.serve(b, counter.url, told)
	defer stop()
	load(b, ours+mePath, 0, c.headers...) // by then it reads the keys, and listens
	before := counter.n.Load()
	seen := load(b, ours+mePath, lasting, c.headers...)
	return float64(counter.n.Load()-before) / float64(seen.calls)
}

var (
	most      = ratelimit.Rate{Requests: 1_000_000, Per: time.Second}
	limitless = api.Limits{IP: most, User: most, Team: most, APIKey: most}
)

// serve serves the API, with limits that nobody comes to; it hears of changes, or does not.
func (c *crowd) serve(b *testing.B, address string, told bool) (url string, stop func()) {
	b.Helper()
	return c.serveOn(b, address, told, nil)
}

// serveOn is serve, with workflows on that server.
func (c *crowd) serveOn(b *testing.B, address string, told bool, on workflows.Starter) (url string, stop func()) {
	b.Helper()
	st, people := known(b, address)
	ctx, end := context.WithCancel(b.Context())
	var listening sync.WaitGroup
	if told {
		listening.Go(func() { people.Run(ctx) })
	}
	cfg := api.Config{Limits: limitless}
	web := httptest.NewServer((&api.Server{Store: st, Auth: people, Config: cfg, Temporal: on}).Handler())
	return web.URL, func() {
		web.Close()
		end()
		listening.Wait()
		st.Close()
	}
}

// bare answers the request with as little as can be, and these headers.
func (c *crowd) bare(header http.Header) http.Handler {
	r := gin.New()
	r.GET(mePath, func(g *gin.Context) {
		if me, ok := c.people[g.GetHeader("Authorization")]; ok {
			maps.Copy(g.Writer.Header(), header)
			write(g, me)
		}
	})
	return r
}
