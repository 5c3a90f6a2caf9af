package litellmtest

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// Replica is another process of a LiteLLM, with a cache of its own: what it knew of the keys when
// it was started it goes on to believe, until it is told to look.
type Replica struct {
	URL    string
	known  map[string]bool
	looked atomic.Bool
	probes atomic.Int64
}

// Replicate serves a replica of the proxy as long as the test lives.
func (p *Proxy) Replicate(tb testing.TB) *Replica {
	tb.Helper()
	r := &Replica{known: map[string]bool{}}
	for _, hash := range p.Keys() {
		r.known[hash] = true
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.probes.Add(1)
		if key, given := presentedKey(req.Header); given && r.known[hash(key)] && !r.looked.Load() {
			jsonAnswer(http.StatusOK, object{"data": []any{}, "object": "list"}).write(w)
			return
		}
		p.ServeHTTP(w, req)
	}))
	tb.Cleanup(srv.Close)
	r.URL = srv.URL
	return r
}

// Look ends that the replica believes what it knew.
func (r *Replica) Look() { r.looked.Store(true) }

// Calls is how often the replica was called.
func (r *Replica) Calls() int { return int(r.probes.Load()) }

// Spend books dollars on a key, by its hash, as calls of models do.
func (p *Proxy) Spend(hash string, dollars float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k := p.keys[hash]; k != nil {
		changed := *k
		changed.Spend += dollars
		changed.TotalSpend += dollars
		p.keys[hash] = &changed
	}
}

// Use notes that a key was used just now, by its hash, as calls of models do.
func (p *Proxy) Use(hash string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k := p.keys[hash]; k != nil {
		changed := *k
		changed.ActiveAt = new(time.Now().UTC())
		p.keys[hash] = &changed
	}
}
