package bench_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/models/store/storetest"
)

const (
	verifyPath = "/ext-authz/v1/models"
	perSecond  = 5_000 // of the calls whose answers are timed
)

// benchVerify measures what it costs a gateway to ask whether a key may be used, beside a Gin
// handler that says yes to everything.
func benchVerify(b *testing.B, w io.Writer, keys int) {
	fmt.Fprintf(w, `## Whether a key may be used

`+"`GET %s`"+`, as a gateway asks it: %d keys of %d people, with two models each, all of which are remembered; %d callers on open
connections, each key in its turn. *Constant* is a Gin handler that answers 200 to everything, with no headers of its own;
*with headers* is the same with the headers that we send. p50 and p99 are of calls that are made %d times a second,
whether those before were answered or not, from when each was due.

| | calls | p50 | p99 |
|---|---:|---:|---:|
`, verifyPath, keys, keys/keysEach, callers, perSecond)
	b.Run("verify", func(b *testing.B) { benchKeys(b, w, keys) })
	fmt.Fprintln(w)
}

const keysEach = 10 // of a person

func benchKeys(b *testing.B, w io.Writer, n int) {
	progress("%d API keys", n)
	address := storetest.URL(b)
	headers := fillKeys(b, address, n)
	st, people := known(b, address)
	defer st.Close()
	ctx, end := context.WithCancel(b.Context())
	var listening sync.WaitGroup
	listening.Go(func() { people.Run(ctx) })
	defer listening.Wait()
	defer end()
	gateways := api.VerifyConfig{ExtAuthz: true, Prefix: "/ext-authz", Gateways: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	ours := httptest.NewServer((&api.Server{Store: st, Auth: people, Config: api.Config{Verify: gateways}}).Handler())
	defer ours.Close()
	want := load(b, ours.URL+verifyPath, 100*time.Millisecond, headers[0]) // by then it listens

	before := heap()
	began := time.Now()
	learn(b, people, headers)
	learnt, each := time.Since(began), float64(heap()-before)/float64(n)

	sent := want.header.Clone()
	for _, usual := range []string{"Content-Length", "Date"} {
		sent.Del(usual)
	}
	constant, dressed := httptest.NewServer(yes(nil)), httptest.NewServer(yes(sent))
	defer constant.Close()
	defer dressed.Close()
	names, urls := []string{"constant", "constant, with headers", "ours"}, []string{constant.URL, dressed.URL, ours.URL}
	rates := make([][]float64, len(urls))
	for range turns {
		for i, url := range urls {
			rates[i] = append(rates[i], load(b, url+verifyPath, lasting/4, headers...).perSecond)
		}
	}
	us := median(rates[2])
	for i, url := range urls {
		took := atPace(b, url+verifyPath, 2*lasting, headers)
		fmt.Fprintf(w, "| %s | %.0f/s | %s | %s |\n", names[i], median(rates[i]), ms(took[len(took)/2]), ms(took[len(took)*99/100]))
	}
	fmt.Fprintf(w, `
That is %.0f %% of the constant, and %.0f %% of it with headers. A key that is remembered takes %.0f bytes, with its share of
its owner. The first time, %d were read from the database in %s: %.0f a second.
`, 100*us/median(rates[0]), 100*us/median(rates[1]), each, n, learnt.Round(100*time.Millisecond), float64(n)/learnt.Seconds())
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

// heap is how much of it is in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// fillKeys fills a database, past the triggers and foreign keys that would take minutes, and
// returns a header Authorization for each key.
func fillKeys(b *testing.B, address string, n int) []string {
	b.Helper()
	conn, err := storetest.SQL(b, address).Conn(b.Context())
	require.NoError(b, err)
	defer conn.Close()
	for _, sql := range []string{
		"SET session_replication_role = replica",
		`INSERT INTO models (id, provider, backend_model_name, api_base, litellm_model_id, deployment_ids, features, model_info, litellm_params)
			SELECT 'model-' || n, 'openai', '', '', '', '[]', '[]', '{}', '{}' FROM generate_series(0, 9) n`,
		`INSERT INTO users (id, username, oauth_provider, oauth_id, observed_generation)
			SELECT ('00000000-0000-4000-9000-' || lpad(n::text, 12, '0'))::uuid, 'person-' || n, 'oidc', n, 1 FROM generate_series(0, $1::int / 10 - 1) n`,
		`INSERT INTO user_roles (user_id, role_id, source, granted_by) SELECT id, 'user', 'idp', 'sign-in' FROM users WHERE oauth_provider = 'oidc' AND $1::int > 0`,
		`INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, reset_at, quota_requests, quota_tokens)
			SELECT gen_random_uuid(), u.id, 'model-' || m, 'active', 'bench', now() + interval '1 day', 10000, 1000000
			FROM users u, generate_series(0, 1) m WHERE u.oauth_provider = 'oidc' AND $1::int > 0`,
		`INSERT INTO api_keys (id, user_id, name, alias, hash, prefix, sealed, observed_generation, tpm_limit)
			SELECT ('00000000-0000-4000-a000-' || lpad(n::text, 12, '0'))::uuid, ('00000000-0000-4000-9000-' || lpad((n / 10)::text, 12, '0'))::uuid,
			       'key ' || n, 'key-' || n, encode(sha256(('sk-bench-' || lpad(n::text, 38, '0'))::bytea), 'hex'), 'sk-benc', '', 1, 100000
			FROM generate_series(0, $1::int - 1) n`,
		"INSERT INTO api_key_models (api_key_id, model_id) SELECT k.id, 'model-' || m FROM api_keys k, generate_series(0, 1) m WHERE $1::int > 0",
		"VACUUM ANALYZE",
	} {
		var args []any
		if sql[0] == 'I' && sql[12] != 'm' {
			args = []any{n}
		}
		_, err := conn.ExecContext(b.Context(), sql, args...)
		require.NoError(b, err)
	}
	headers := make([]string, n)
	for i := range headers {
		headers[i] = fmt.Sprintf("Bearer sk-bench-%038d", i)
	}
	return headers
}

// learn lets it remember every key.
func learn(b *testing.B, people *api.Auth, headers []string) {
	b.Helper()
	var wg sync.WaitGroup
	var next atomic.Int64
	for range callers {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(headers); i = next.Add(1) - 1 {
				if _, err := people.APIKeys.Key(b.Context(), headers[i][len("Bearer "):]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// yes answers 200 to everything, with these headers.
func yes(header http.Header) http.Handler {
	r := gin.New()
	r.GET(verifyPath, func(g *gin.Context) {
		maps.Copy(g.Writer.Header(), header)
		g.Status(http.StatusOK)
	})
	return r
}

// atPace asks for url a fixed number of times a second as long as d, with the headers Authorization
// by turns. It returns how long each answer took since it was due, sorted.
func atPace(b *testing.B, url string, d time.Duration, headers []string) []time.Duration {
	b.Helper()
	const askers = 64
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: askers}}
	defer client.CloseIdleConnections()
	took := make([]time.Duration, int(d.Seconds()*perSecond))
	var wg sync.WaitGroup
	start := time.Now().Add(10 * time.Millisecond)
	for asker := range askers {
		wg.Go(func() {
			for i := asker; i < len(took); i += askers {
				due := start.Add(time.Duration(i) * time.Second / perSecond)
				time.Sleep(time.Until(due))
				if !fetch(b, client, url, headers[(i*7919)%len(headers)]) {
					return
				}
				took[i] = time.Since(due)
			}
		})
	}
	wg.Wait()
	slices.Sort(took)
	return took
}

// fetch asks once, and reports whether all was well.
func fetch(b *testing.B, client *http.Client, url, header string) bool {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		b.Error(err)
		return false
	}
	req.Header["Authorization"] = []string{header}
	res, err := client.Do(req)
	if err != nil {
		b.Error(err)
		return false
	}
	_, err = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close() // it was read
	if err != nil || res.StatusCode != http.StatusOK {
		b.Errorf("%s: %d %v", url, res.StatusCode, err)
		return false
	}
	return true
}
