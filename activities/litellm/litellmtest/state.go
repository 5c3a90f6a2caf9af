package litellmtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// state is what is kept over restarts: LiteLLM's database.
type state struct {
	Order   int64
	Keys    []key
	Deleted []key
	Users   []user
	Models  []Deployment
}

// snapshot copies the state. What the copies point to is never changed, only replaced.
func (p *Proxy) snapshot() state {
	p.mu.Lock()
	defer p.mu.Unlock()
	return state{
		Order: p.order, Keys: values(p.keys), Deleted: values(p.deleted), Users: values(p.users), Models: values(p.stored),
	}
}

// values are the values of m in the order of its keys.
func values[T any](m map[string]*T) []T {
	out := make([]T, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, *m[name])
	}
	return out
}

// load takes over the state file, if there is one. Its models then replace those of the
// catalogue that are of LiteLLM's database.
func (p *Proxy) load() error {
	s, err := p.file.read()
	if s == nil || err != nil {
		return err
	}
	p.order = s.Order
	for _, k := range s.Keys {
		p.keys[k.Token] = &k
	}
	for _, k := range s.Deleted {
		p.deleted[k.Token] = &k
	}
	for _, u := range s.Users {
		p.users[u.ID] = &u
	}
	for id := range p.stored {
		p.router.drop(id)
	}
	clear(p.stored)
	for _, d := range s.Models {
		p.keep(&d)
	}
	return nil
}

// writeAfter is how long a change may wait, so that a burst is written once.
const writeAfter = 200 * time.Millisecond

// stateFile is a file that holds a state, always a whole one: the last that was written, or the
// one before it.
type stateFile struct {
	path    string
	pending atomic.Bool // a write is on its way that will see what was done until now

	mu     sync.Mutex // held while a state is taken and written, so that none overtakes a newer one
	closed bool
}

// read returns nil when there is no file.
func (f *stateFile) read() (*state, error) {
	raw, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the state of the LiteLLM in memory cannot be read: %w", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber() // a price stays as it was written
	var s state
	if err := dec.Decode(&s); err != nil {
		return nil, fmt.Errorf("%s does not hold the state of a LiteLLM in memory; remove it to start without: %w", f.path, err)
	}
	return &s, nil
}

// soon has the state written in a moment. The caller does not wait for it.
func (f *stateFile) soon(snapshot func() state) {
	if f.pending.Swap(true) {
		return
	}
	time.AfterFunc(writeAfter, func() {
		f.pending.Store(false)
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.closed {
			return
		}
		if err := f.write(snapshot()); err != nil {
			slog.Warn("the state of the LiteLLM in memory was not kept", "error", err)
		}
	})
}

// flush writes the state now, and nothing after it.
func (f *stateFile) flush(snapshot func() state) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return f.write(snapshot())
}

func (f *stateFile) write(s state) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(raw)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), f.path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // the first error says more
	}
	return err
}
