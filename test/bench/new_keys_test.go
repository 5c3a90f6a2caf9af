package bench_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/temporal"
	"github.com/litemaas/litemaas/temporal/temporaltest"
	"github.com/litemaas/litemaas/test/internal/relay"
)

// proxy is a LiteLLM that keys are made at.
type proxy struct {
	name, url, key string
}

const realProxy = "real"

// benchNewKeys measures durable creations of API keys: the request, the row, the workflow that has
// LiteLLM make the key, alone or with others, and the answer; beside LiteLLM alone.
func benchNewKeys(b *testing.B, w io.Writer) {
	fmt.Fprintf(w, `## Making API keys

`+"`POST /api-keys`"+`, answered with 201 when LiteLLM holds the key: a transaction for the wish, a run on a real Temporal server with one
activity that calls LiteLLM and one that records it, and a read. A key that comes alone has a `+"`ReconcileKey`"+`; those that come while
another is made share a `+"`ReconcileKeyBatch`"+`. *Calls* of LiteLLM and *runs* are for each key. *Alone* is `+"`/key/generate`"+` of the same
LiteLLM, called by as many callers. *CPU* is as above, with the LiteLLM in memory. %s each.

| LiteLLM | callers | keys | p50 | p99 | CPU | calls | runs | alone | p50 | p99 | ratio |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
`, creating)
	for _, p := range proxies(b) {
		b.Run("new-keys-"+p.name, func(b *testing.B) {
			progress("API keys at the LiteLLM %s", p.name)
			m := newMint(b, p)
			for _, n := range []int{1, 16, 64} {
				m.measure(b, w, n)
			}
		})
	}
	if os.Getenv("LITELLM_BASE_URL") == "" {
		fmt.Fprint(w, "\nA real LiteLLM was not asked: LITELLM_BASE_URL and LITELLM_MASTER_KEY were not set.\n")
	}
	fmt.Fprintln(w)
}

// proxies are one in memory, a slow one, and the real one that the environment names, if any.
func proxies(b *testing.B) []proxy {
	b.Helper()
	var all []proxy
	for _, delay := range []time.Duration{0, 10 * time.Millisecond} {
		p, err := litellmtest.NewProxy(litellmtest.Options{})
		require.NoError(b, err)
		p.Inject(litellmtest.Fault{Delay: delay})
		srv := httptest.NewServer(p)
		b.Cleanup(srv.Close)
		all = append(all, proxy{fmt.Sprintf("in memory, %s", delay), srv.URL, litellmtest.MasterKey})
	}
	if url := os.Getenv("LITELLM_BASE_URL"); url != "" {
		key := os.Getenv("LITELLM_MASTER_KEY")
		require.NotEmpty(b, key, "set LITELLM_MASTER_KEY to the master key of LITELLM_BASE_URL")
		all = append(all, proxy{realProxy, url, key})
	}
	return all
}

// mint is where API keys are made, by an API with a worker in the same process.
type mint struct {
	proxy
	*crowd
	engine starter
	url    string
	models []string
	next   atomic.Int64
	calls  atomic.Int64 // of LiteLLM

	mu     sync.Mutex
	hashes []string // of the keys that LiteLLM made alone
}

// starter counts the workflows that are started.
type starter struct {
	client.Client
	runs atomic.Int64
}

func (s *starter) ExecuteWorkflow(ctx context.Context, o client.StartWorkflowOptions, wf any, args ...any) (client.WorkflowRun, error) {
	s.runs.Add(1)
	return s.Client.ExecuteWorkflow(ctx, o, wf, args...)
}

// What one process of ours opens by default.
const (
	databaseConns = 20
	litellmConns  = 32
)

func newMint(b *testing.B, p proxy) *mint {
	b.Helper()
	address := storetest.URL(b)
	m := &mint{proxy: p, crowd: newCrowd(b, address, customers*models.MaxSessions, 1_000)}
	st, err := store.Open(b.Context(), store.Config{URL: models.SecretOf(address), MaxConns: databaseConns})
	require.NoError(b, err)
	b.Cleanup(st.Close)
	fill(b, st, shelf)
	m.subscribe(b, address)
	m.engine.Client = temporaltest.New(b)
	m.proxy.url = relay.To(b, p.url, m.carry)
	b.Cleanup(func() { m.melt(b, address) })
	worker := temporal.NewWorker(m.engine.Client, temporal.Activities{
		Keys: &activities.Keys{Store: st, Proxy: m.client(litellmConns), Sealer: storetest.Sealer{}},
	})
	require.NoError(b, worker.Start())
	b.Cleanup(worker.Stop)
	web := httptest.NewServer((&api.Server{
		Store: st, Auth: knows(b, st), Config: api.Config{Limits: limitless}, Temporal: &m.engine, Sealer: storetest.Sealer{},
	}).Handler())
	b.Cleanup(web.Close)
	m.url = web.URL
	for range callers {
		m.create(b, http.DefaultClient) // by then all is warm
	}
	return m
}

// subscribe gives each person two models.
func (m *mint) subscribe(b *testing.B, address string) {
	b.Helper()
	rows, err := storetest.SQL(b, address).QueryContext(b.Context(), `
		WITH two AS (SELECT id FROM models WHERE availability = 'available' ORDER BY id LIMIT 2),
		     wanted AS (INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, reset_at)
		                SELECT gen_random_uuid(), u.id, two.id, 'active', 'bench', now() + interval '1 month' FROM users u, two WHERE u.is_active)
		SELECT id FROM two ORDER BY id`)
	require.NoError(b, err)
	defer rows.Close()
	for rows.Next() {
		var id string
		require.NoError(b, rows.Scan(&id))
		m.models = append(m.models, id)
	}
	require.NoError(b, rows.Err())
	require.Len(b, m.models, 2)
}

// client calls the LiteLLM, where its calls are counted.
func (m *mint) client(conns int) *litellm.Client {
	return litellm.New(litellm.Config{URL: m.proxy.url, APIKey: models.SecretOf(m.key), MaxConns: conns})
}

// carry counts the calls that pass on their way to LiteLLM.
func (m *mint) carry(client, server net.Conn) {
	go func() {
		defer server.Close() // the other way ends, too
		r := bufio.NewReader(io.TeeReader(client, server))
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			m.calls.Add(1)
			_, _ = io.Copy(io.Discard, req.Body) // what it lacks, ReadRequest misses
		}
	}()
	_, _ = io.Copy(client, server)
}

// measure writes one line of the table.
func (m *mint) measure(b *testing.B, w io.Writer, callers int) {
	b.Helper()
	web := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	defer web.CloseIdleConnections()
	runs, calls, made := m.engine.runs.Load(), m.calls.Load(), m.next.Load()
	ours := paced(b, callers, func() error { m.create(b, web); return nil })
	made = m.next.Load() - made
	each := func(n *atomic.Int64, before int64) float64 { return float64(n.Load()-before) / float64(made) }
	asked, started := each(&m.calls, calls), each(&m.engine.runs, runs)
	fmt.Fprintf(w, "| %s | %d | %.0f/s | %s | %s | %s | %.2f | %.2f |", m.name, callers,
		ours.perSecond, millis(ours.p50), millis(ours.p99), millis(ours.cpu), asked, started)
	if m.name != realProxy { // one in memory only shows how fast a map is
		fmt.Fprintln(w, " | | | |")
		return
	}
	direct := m.client(callers)
	alone := paced(b, callers, func() error { return m.generate(b, direct) })
	fmt.Fprintf(w, " %.0f/s | %s | %s | %.0f %% |\n", alone.perSecond, millis(alone.p50), millis(alone.p99), 100*ours.perSecond/alone.perSecond)
}

// create makes the next key.
func (m *mint) create(b *testing.B, web *http.Client) {
	b.Helper()
	n := int(m.next.Add(1))
	body := fmt.Sprintf(`{"name": "key %d", "modelIds": [%q, %q]}`, n, m.models[0], m.models[1])
	post(b, web, m.url+"/api/v1/api-keys", m.headers[n%len(m.headers)], body, `"status":"active"`)
}

// generate has LiteLLM make such a key.
func (m *mint) generate(b *testing.B, llm *litellm.Client) error {
	b.Helper()
	secret, err := models.NewSecret(rand.Reader)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.hashes = append(m.hashes, secret.Hash())
	m.mu.Unlock()
	return llm.GenerateKey(b.Context(), litellm.NewKey{
		Secret: secret, UserID: m.people[m.headers[0]].ID,
		KeyLimits: litellm.KeyLimits{Models: m.models, Alias: "bench_" + uuid.NewString(), Metadata: map[string]any{"bench": true}},
	})
}

// melt removes from LiteLLM what was made there: a real one outlives us.
func (m *mint) melt(b *testing.B, address string) {
	b.Helper()
	rows, err := storetest.SQL(b, address).QueryContext(context.WithoutCancel(b.Context()), "SELECT hash FROM api_keys")
	require.NoError(b, err)
	defer rows.Close()
	for rows.Next() {
		var hash string
		require.NoError(b, rows.Scan(&hash))
		m.hashes = append(m.hashes, hash)
	}
	require.NoError(b, rows.Err())
	web := &http.Client{}
	defer web.CloseIdleConnections()
	for len(m.hashes) > 0 {
		some := m.hashes[:min(500, len(m.hashes))]
		m.hashes = m.hashes[len(some):]
		body, err := json.Marshal(map[string][]string{"keys": some})
		require.NoError(b, err)
		req, err := http.NewRequestWithContext(context.WithoutCancel(b.Context()), http.MethodPost, m.proxy.url+"/key/delete", bytes.NewReader(body))
		require.NoError(b, err)
		req.Header.Set("Authorization", "Bearer "+m.key)
		res, err := web.Do(req)
		require.NoError(b, err)
		_ = res.Body.Close()
		require.Equal(b, http.StatusOK, res.StatusCode)
	}
}
