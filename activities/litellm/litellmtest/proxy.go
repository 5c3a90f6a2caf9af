// Package litellmtest is a LiteLLM in memory: its management API with the quirks of the real
// one (1.108.11, which a conformance suite compares it with), models that answer by
// themselves, and faults to order. It serves tests and `litemaas dev`.
package litellmtest

import (
	"cmp"
	"net/http"
	"strings"
	"sync"
	"time"
)

// MasterKey is the admin key of a Proxy that was given none.
const MasterKey = "sk-master-0123456789"

// Version is the LiteLLM that this one behaves like.
const Version = "1.108.11"

// Options says how a Proxy starts.
type Options struct {
	MasterKey string       // empty: MasterKey
	Catalogue []Deployment // as if from config.yaml, save those with DB; nil: Realistic()
	StateFile string       // keeps what is written over restarts: keys, users and added models; empty: nothing is kept

	// OldVersion is a LiteLLM of before 1.100: no /v2/model/info and no /v2/user/info, null
	// takes no limit of a user or a key away, and a proxy without models answers that its list is not
	// loaded.
	OldVersion bool

	NoSpendLogs bool          // a LiteLLM without /spend/logs/v2
	FlushDelay  time.Duration // until a call that has ended is in the log; LiteLLM needs up to 10 s
	Push        Push          // where calls are told of
}

// Proxy is one LiteLLM. It is an http.Handler, safe for use by many goroutines.
type Proxy struct {
	master string
	old    bool
	logs   bool          // there is a log of calls
	flush  time.Duration // until it has a call
	file   *stateFile    // nil: nothing is kept
	faults faults
	push   pusher
	routes []route

	mu       sync.Mutex // guards what follows; nobody sleeps or writes to a client under it
	router   router
	stored   map[string]*Deployment // the models of LiteLLM's database, by id
	listing  Listing
	unserved int // how many next models are stored, but not served
	keys     map[string]*key
	deleted  map[string]*key // the archive
	users    map[string]*user
	windows  map[string]*window // rate limits, by what they limit
	calls    []Call
	order    int64 // counts creations: clocks are too coarse to sort by
}

// Listing is what a Proxy says about its models.
type Listing int

// The ways to answer.
const (
	ListAll       Listing = iota
	ListEmpty             // as if there were none
	ListNotLoaded         // 500 "LLM Model List not loaded in"
)

// NewProxy returns a proxy. It fails when the state file cannot be read.
func NewProxy(o Options) (*Proxy, error) {
	p := &Proxy{
		master: cmp.Or(o.MasterKey, MasterKey), old: o.OldVersion, logs: !o.NoSpendLogs, flush: o.FlushDelay,
		stored: map[string]*Deployment{}, keys: map[string]*key{}, deleted: map[string]*key{}, users: map[string]*user{}, windows: map[string]*window{},
	}
	catalogue := o.Catalogue
	if catalogue == nil {
		catalogue = Realistic()
	}
	p.push.Push, p.push.faults = o.Push, &p.faults
	p.serve(catalogue)
	p.routes = p.allRoutes()
	if o.StateFile != "" {
		p.file = &stateFile{path: o.StateFile}
		if err := p.load(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Close tells of the calls that wait for it, and writes what is not yet in the state file.
func (p *Proxy) Close() error {
	p.push.flush()
	if p.file == nil {
		return nil
	}
	return p.file.flush(p.snapshot)
}

// SetListing changes what the proxy says about its models from now on.
func (p *Proxy) SetListing(l Listing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listing = l
}

// access is who may call a route.
type access int

const (
	public access = iota // anyone
	caller               // any valid key
	viewer               // an admin, also one who may only look
	admin                // an admin
)

// route is one call that the proxy knows.
type route struct {
	method, path string // {x} in the path is a segment
	access       access
	do           func(*request) answer
}

// match reports whether path is one of the route's, with its variable part.
func (rt route) match(path string) (string, bool) {
	before, rest, variable := strings.Cut(rt.path, "{")
	if !variable {
		return "", rt.path == path
	}
	_, after, _ := strings.Cut(rest, "}")
	if len(path) <= len(before)+len(after) || !strings.HasPrefix(path, before) || !strings.HasSuffix(path, after) {
		return "", false
	}
	part := path[len(before) : len(path)-len(after)]
	return part, !strings.Contains(part, "/")
}

// request is a call under way.
type request struct {
	*http.Request
	part string // what stands for {x}
	who  identity
	body []byte
	now  time.Time
}

func (p *Proxy) allRoutes() []route {
	get, post, patch := http.MethodGet, http.MethodPost, http.MethodPatch
	return []route{
		{get, "/health/liveliness", public, alive},
		{get, "/health/liveness", public, alive},
		{get, "/health/readiness", public, ready},
		{get, "/health/readiness/details", viewer, readyInDetail},

		{get, "/v1/models", caller, p.modelNames},
		{get, "/models", caller, p.modelNames},
		{get, "/model/info", caller, p.modelInfo},
		{get, "/v1/model/info", caller, p.modelInfo},
		{get, "/v2/model/info", caller, p.modelInfoV2},
		{get, "/model_group/info", caller, p.modelGroups},
		{post, "/model/new", admin, p.newModel},
		{patch, "/model/{id}/update", admin, p.patchModel},
		{post, "/model/delete", admin, p.deleteModel},

		{post, "/key/generate", admin, p.generateKey},
		{post, "/key/update", admin, p.updateKey},
		{post, "/key/block", admin, p.blockKey},
		{post, "/key/unblock", admin, p.unblockKey},
		{post, "/key/delete", admin, p.deleteKeys},
		{post, "/key/regenerate", admin, regenerateKey},
		{post, "/key/{key}/regenerate", admin, regenerateKey},
		{get, "/key/info", caller, p.keyInfo},
		{get, "/key/list", viewer, p.listKeys},

		{post, "/user/new", admin, p.newUser},
		{post, "/user/update", admin, p.updateUser},
		{post, "/user/delete", admin, p.deleteUsers},
		{get, "/user/info", viewer, p.userInfo},
		{get, "/v2/user/info", viewer, p.userInfoV2},
		{get, "/user/list", viewer, p.listUsers},

		{get, "/spend/logs/v2", caller, p.spendLogs},
		{get, "/user/daily/activity", caller, p.dailyActivity},

		{post, "/chat/completions", caller, p.chat},
		{post, "/v1/chat/completions", caller, p.chat},
		{post, "/embeddings", caller, p.embed},
		{post, "/v1/embeddings", caller, p.embed},
	}
}

// route finds the route of a call, or the answer of a LiteLLM that has none.
func (p *Proxy) route(method, path string) (route, string, answer) {
	if p.old && strings.HasPrefix(path, "/v2/") || !p.logs && path == "/spend/logs/v2" {
		return route{}, "", detail(http.StatusNotFound, "Not Found")
	}
	known := false
	for _, rt := range p.routes {
		if part, ok := rt.match(path); ok {
			if rt.method == method {
				return rt, part, nil
			}
			known = true
		}
	}
	if known {
		return route{}, "", detail(http.StatusMethodNotAllowed, "Method Not Allowed")
	}
	return route{}, "", detail(http.StatusNotFound, "Not Found")
}

func alive(*request) answer { return jsonAnswer(http.StatusOK, "I'm alive!") }

func ready(*request) answer {
	return jsonAnswer(http.StatusOK, object{"status": "healthy", "db": "connected"})
}

func readyInDetail(*request) answer {
	return jsonAnswer(http.StatusOK, object{
		"status": "healthy", "db": "connected", "cache": nil, "litellm_version": Version,
		"success_callbacks": []string{}, "log_level": "WARNING", "is_detailed_debug": false,
	})
}
