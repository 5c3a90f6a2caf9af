package auth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api/auth"
)

// wire is what lies between us and a provider: it can be cut, and change what goes through.
type wire struct {
	mu     sync.Mutex
	cut    func(r *http.Request) bool                 // nil: never
	change func(answer map[string]any) map[string]any // of the token endpoint; nil: nothing
	last   map[string]any                             // that the token endpoint answered
	calls  []string                                   // method and path
}

// through returns the configuration with the wire to its provider.
func (w *wire) through(c auth.Config) auth.Config {
	c.HTTP = &http.Client{Transport: w}
	return c
}

// set changes the wire.
func (w *wire) set(change func(*wire)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w)
}

// answered is the last answer of the token endpoint.
func (w *wire) answered() map[string]any {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.last)
}

func (w *wire) idToken(t *testing.T) string {
	t.Helper()
	token, ok := w.answered()["id_token"].(string)
	require.True(t, ok)
	return token
}

func (w *wire) called(what string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, c := range w.calls {
		if strings.Contains(c, what) {
			n++
		}
	}
	return n
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, r.Method+" "+r.URL.Path)
	if w.cut != nil && w.cut(r) {
		return nil, errors.New("cut")
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/token") {
		return res, err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		return nil, err
	}
	answer := map[string]any{}
	if json.Unmarshal(body, &answer) == nil && w.change != nil {
		if answer = w.change(answer); answer["id_token"] != nil {
			res.StatusCode, res.Status = http.StatusOK, "200 OK"
		}
		if body, err = json.Marshal(answer); err != nil {
			return nil, err
		}
	}
	w.last = answer
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	res.Header.Del("Content-Length")
	return res, nil
}
