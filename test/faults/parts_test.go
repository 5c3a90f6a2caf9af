package faults_test

import (
	"context"
	"crypto/rand"
	"math/big"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/cmd/postgrestest"
)

// mortal is a system every part of which can be killed, save Temporal: worker and API, which are
// processes of their own, LiteLLM, and a Postgres that keeps its data as in production.
type mortal struct {
	*system
	sealer sealer
	url    string // of the API
	parts  []*part
}

// part is what can be killed, and started again.
type part struct {
	name  string
	kill  func()             // as kill -9 does
	start func(t *testing.T) // returns when it answers
	kills int
}

func startMortal(t *testing.T, settings ...string) *mortal {
	t.Helper()
	postgres := postgrestest.Start(t, freePort(t))
	llm := &liteLLM{proxy: newProxy(t), address: local(freePort(t))}
	llm.proxy.Inject(litellmtest.Fault{Delay: slowness, Done: true})
	llm.start(t)
	t.Cleanup(llm.kill)
	api := local(freePort(t))
	m := &mortal{system: assemble(t, postgres.URL, llm.proxy, "http://"+llm.address), url: "http://" + api}
	m.settings = append(m.settings, settings...)
	m.sealer = sealer{m.keyset(t)}
	migrate := exec.Command(m.binary, "migrate")
	migrate.Env, migrate.Dir = m.settings, t.TempDir()
	out, err := migrate.CombinedOutput()
	require.NoError(t, err, string(out))
	m.parts = []*part{
		m.runs("worker", func(*testing.T) {}, "worker"),
		m.runs("API", m.awaitAPI, "serve", "--no-worker", "--listen", api),
		{name: "LiteLLM", kill: llm.kill, start: llm.start},
		{name: "Postgres", kill: postgres.Kill, start: func(t *testing.T) { postgres.Restart(t) }},
	}
	for _, p := range m.parts[:2] {
		p.start(t)
	}
	return m
}

// runs is a part that is a process of the built program.
func (m *mortal) runs(name string, await func(*testing.T), args ...string) *part {
	p := &part{name: name}
	p.start = func(t *testing.T) {
		t.Helper()
		p.kill = m.process(t, args...)
		await(t)
	}
	return p
}

func (m *mortal) awaitAPI(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		res, err := http.Get(m.url + "/api/v1/health/live")
		return err == nil && res.Body.Close() == nil && res.StatusCode == http.StatusOK
	}, patience, 20*time.Millisecond, "the API does not answer")
}

// down is how long a part is away.
const down = time.Second

// strike kills the next part, and starts it again after a moment.
func (m *mortal) strike(t *testing.T, turn int) {
	t.Helper()
	p := m.parts[turn%len(m.parts)]
	p.kills++
	p.kill()
	time.Sleep(down)
	p.start(t)
}

// liteLLM is a LiteLLM that is killed as seen from outside: nobody listens any more, and all
// connections end. What it had begun it may still do, without being able to say so, as what was
// sent to its database is still done there; and that database outlives it.
type liteLLM struct {
	proxy   *litellmtest.Proxy
	address string
	calls   atomic.Int64
	web     *http.Server
}

// slowness is how long it takes to do something, and how long it takes to say so.
const slowness = 15 * time.Millisecond

// ServeHTTP implements http.Handler. By turns it is slow before it does what it is asked, and after.
func (l *liteLLM) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if l.calls.Add(1)%2 == 0 {
		time.Sleep(slowness)
	}
	l.proxy.ServeHTTP(w, r)
}

func (l *liteLLM) start(t *testing.T) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", l.address)
	require.NoError(t, err)
	web := &http.Server{Handler: l, ReadHeaderTimeout: time.Minute}
	go func() { _ = web.Serve(listener) }() // until it is killed
	l.web = web
}

func (l *liteLLM) kill() { _ = l.web.Close() }

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePort is a port that stays free while nobody listens on it: none of those that systems give
// to connections.
func freePort(t *testing.T) int {
	t.Helper()
	for {
		n, err := rand.Int(rand.Reader, big.NewInt(10_000))
		require.NoError(t, err)
		port := 20_000 + int(n.Int64())
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", local(port))
		if err == nil {
			require.NoError(t, l.Close())
			return port
		}
	}
}

// sealer is a models.Sealer with the keyset of the processes.
type sealer struct{ tink.AEAD }

// Seal implements models.Sealer.
func (s sealer) Seal(plain, to []byte) ([]byte, error) { return s.Encrypt(plain, to) }

// Open implements models.Sealer.
func (s sealer) Open(sealed, to []byte) ([]byte, error) { return s.Decrypt(sealed, to) }
