package litellmtest

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Fault is something that goes wrong with calls.
type Fault struct {
	Path  string        // such as /key/info, or a pattern such as /model/{id}/update; empty: every call
	Times int           // how many calls; 0: all until it is removed
	Delay time.Duration // how long the caller waits; alone, the call is only slow
	Kind  FaultKind
	// Done lets the work be done first: the caller loses only the answer.
	Done bool

	Status     int           // of FaultStatus; 0: 500
	Message    string        // of FaultStatus; empty: LiteLLM's "Internal Server Error."
	RetryAfter time.Duration // of FaultStatus; 0: no such header
}

// FaultKind is what a caller gets instead of an answer.
type FaultKind int

// The kinds of fault.
const (
	FaultNone      FaultKind = iota // the answer
	FaultStatus                     // an error
	FaultCut                        // nothing: the connection is closed
	FaultTruncated                  // half of the answer, then the connection is closed
	FaultMalformed                  // 200 and no JSON
	FaultTwice                      // of what the Proxy sends: the same, twice
)

// Request is a call that was made.
type Request struct {
	Method, Path, Query string
	ChangedBy           string // the header litellm-changed-by
	Status              int    // 0: the caller got no answer
}

// maxRequests is how many calls are remembered.
const maxRequests = 10_000

// faults holds what shall go wrong, and what was called.
type faults struct {
	mu    sync.Mutex
	armed []*armed
	calls map[string]int
	log   []Request
}

type armed struct {
	Fault
	left int // 0: for ever
}

// Inject makes calls fail from now on and returns what ends that. Of several faults for one
// call the oldest is taken.
func (p *Proxy) Inject(f Fault) (remove func()) {
	a := &armed{f, f.Times}
	p.faults.mu.Lock()
	defer p.faults.mu.Unlock()
	p.faults.armed = append(p.faults.armed, a)
	return func() { p.faults.remove(a) }
}

// LoseNext makes the next n calls of path do their work and then answer 500: the case that a
// retry must survive.
func (p *Proxy) LoseNext(path string, n int) {
	p.Inject(Fault{Path: path, Times: n, Kind: FaultStatus, Done: true, Message: "Internal Server Error, after the work was done"})
}

// FailNext makes the next n calls of path answer with status and do nothing.
func (p *Proxy) FailNext(path string, n, status int) {
	p.Inject(Fault{Path: path, Times: n, Kind: FaultStatus, Status: status})
}

// Calls returns how often a path, or a pattern such as /model/{id}/update, was called.
func (p *Proxy) Calls(path string) int {
	p.faults.mu.Lock()
	defer p.faults.mu.Unlock()
	return p.faults.calls[path]
}

// Requests returns the calls made, the oldest first; at most the last 10,000.
func (p *Proxy) Requests() []Request {
	p.faults.mu.Lock()
	defer p.faults.mu.Unlock()
	return append([]Request(nil), p.faults.log...)
}

// note counts a call and returns what records how it ended.
func (f *faults) note(r *http.Request, pattern string) func(status int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[r.URL.Path]++
	if pattern != "" && pattern != r.URL.Path {
		f.calls[pattern]++
	}
	made := Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, ChangedBy: r.Header.Get("litellm-changed-by")}
	return func(status int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		made.Status = status
		if f.log = append(f.log, made); len(f.log) > maxRequests {
			f.log = append([]Request(nil), f.log[len(f.log)-maxRequests:]...)
		}
	}
}

// next takes the fault that a call of path has, if any.
func (f *faults) next(path, pattern string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, a := range f.armed {
		if a.Path != "" && a.Path != path && a.Path != pattern {
			continue
		}
		if a.left > 0 {
			if a.left--; a.left == 0 {
				f.armed = append(f.armed[:i:i], f.armed[i+1:]...)
			}
		}
		return a.Fault
	}
	return Fault{}
}

func (f *faults) remove(gone *armed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, a := range f.armed {
		if a == gone {
			f.armed = append(f.armed[:i:i], f.armed[i+1:]...)
			return
		}
	}
}

// before does what happens before the work, and reports whether the work is to be done.
func (f Fault) before(w http.ResponseWriter, r *http.Request, done func(int)) bool {
	if f.Done {
		return true
	}
	if !f.wait(r) {
		done(0)
		return false
	}
	if f.Kind == FaultStatus || f.Kind == FaultCut {
		f.answer(w, nil, done)
		return false
	}
	return true
}

// after gives the caller the answer, or what he gets instead.
func (f Fault) after(w http.ResponseWriter, r *http.Request, a answer, done func(int)) {
	if f.Done && !f.wait(r) {
		done(0)
		return
	}
	f.answer(w, a, done)
}

// answer writes a, or what the fault makes of it.
func (f Fault) answer(w http.ResponseWriter, a answer, done func(int)) {
	switch f.Kind {
	case FaultNone, FaultTwice:
		seen := &statusWriter{ResponseWriter: w}
		a.write(seen)
		done(seen.status)
	case FaultStatus:
		status, message := f.Status, f.Message
		if status == 0 {
			status = http.StatusInternalServerError
		}
		if message == "" {
			message = "Internal Server Error."
		}
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Seconds())))
		}
		done(status)
		proxyError(status, message, typeInternal, nil).write(w)
	case FaultCut:
		done(0)
		panic(http.ErrAbortHandler)
	case FaultTruncated:
		done(0)
		a.write(&halfWriter{ResponseWriter: w})
		_ = http.NewResponseController(w).Flush() // a writer that cannot flush sends nothing
		panic(http.ErrAbortHandler)
	case FaultMalformed:
		done(http.StatusOK)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"data": [{"model_name": "gpt-4o", `) // who hung up misses it
	}
}

// wait lets the fault's time pass and reports whether the caller is still there.
func (f Fault) wait(r *http.Request) bool {
	if f.Delay <= 0 {
		return true
	}
	timer := time.NewTimer(f.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets an http.ResponseController flush.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// halfWriter passes on the first half of what is written at once.
type halfWriter struct{ http.ResponseWriter }

func (w *halfWriter) Write(b []byte) (int, error) { return w.ResponseWriter.Write(b[:len(b)/2]) }
