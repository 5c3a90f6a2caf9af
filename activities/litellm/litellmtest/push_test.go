package litellmtest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
)

// told is who is told of calls.
type told struct {
	mu      sync.Mutex
	batches [][]map[string]any
	headers http.Header
}

func (l *told) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var batch []map[string]any
	if json.NewDecoder(r.Body).Decode(&batch) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	l.batches, l.headers = append(l.batches, batch), r.Header
}

func (l *told) calls() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.batches {
		n += len(b)
	}
	return n
}

// pushing is a proxy that tells somebody of calls when it is flushed, or has many.
func pushing(t *testing.T) (*litellmtest.Proxy, *told, string) {
	t.Helper()
	l := &told{}
	to := httptest.NewServer(l)
	t.Cleanup(to.Close)
	p, err := litellmtest.NewProxy(litellmtest.Options{Push: litellmtest.Push{
		Endpoint: to.URL, Headers: map[string]string{"x-secret": "hush"}, Every: time.Hour,
	}})
	require.NoError(t, err)
	at := httptest.NewServer(p)
	t.Cleanup(at.Close)
	return p, l, at.URL
}

func say(t *testing.T, url, path, key, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
}

// What is pushed looks like what LiteLLM pushes, and has the ids of the log, save of what the cache
// answered.
func TestPushedPayloads(t *testing.T) {
	p, l, url := pushing(t)
	say(t, url, "/chat/completions", litellmtest.MasterKey, `{"model": "gpt-4o", "messages": [{"role": "user", "content": "Good day!"}]}`)
	say(t, url, "/embeddings", litellmtest.MasterKey, `{"model": "bge-m3", "input": "Good day!"}`)
	say(t, url, "/chat/completions", "sk-of-nobody", `{"model": "gpt-4o", "messages": []}`)
	p.Log(litellmtest.Call{ID: "chatcmpl-1", CallID: "call-1", Type: "acompletion", CacheHit: true, Group: "gpt-4o", Model: "openai/gpt-4o", Start: time.Now(), End: time.Now()})
	p.FlushPush()
	require.Equal(t, "hush", l.headers.Get("X-Secret"))
	require.Len(t, l.batches, 1)
	batch := l.batches[0]
	require.Len(t, batch, 4)

	recordedKinds := map[string]string{}
	for _, one := range recorded(t) {
		for name, value := range flat("", one) {
			if kind := kindOf(value); kind != "null" {
				recordedKinds[name] = kind
			} else if recordedKinds[name] == "" {
				recordedKinds[name] = kind
			}
		}
	}
	for i, call := range p.Logged() {
		for name, value := range flat("", batch[i]) {
			require.Contains(t, recordedKinds, name)
			if kind := kindOf(value); kind != "null" {
				require.Equal(t, recordedKinds[name], kind, name)
			}
		}
		id := batch[i]["id"].(string)
		require.Equal(t, call.CacheHit, id != call.ID)
		require.True(t, strings.HasPrefix(id, call.ID))
		require.Equal(t, call.CallID, batch[i]["litellm_call_id"])
	}
	require.Equal(t, "failure", batch[2]["status"])
}

// recorded is what a LiteLLM 1.108.11 pushed.
func recorded(t *testing.T) (list []map[string]any) {
	t.Helper()
	raw, err := os.ReadFile("../testdata/pushed.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &list))
	return list
}

func flat(before string, in map[string]any) map[string]any {
	out := map[string]any{}
	for name, value := range in {
		if inner, ok := value.(map[string]any); ok && name == "metadata" {
			for n, v := range flat(before+name+".", inner) {
				out[n] = v
			}
			continue
		}
		out[before+name] = value
	}
	return out
}

func kindOf(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case string:
		return "text"
	case float64:
		return "number"
	case bool:
		return "flag"
	case []any:
		return "list"
	}
	return "object"
}

// A batch can get lost, only its answer can, or it can arrive twice. LiteLLM never tries again, and
// sends when there are 512.
func TestPushFaults(t *testing.T) {
	p, l, _ := pushing(t)
	for _, test := range []struct {
		fault litellmtest.Fault
		comes int
	}{
		{litellmtest.Fault{Kind: litellmtest.FaultCut}, 0},
		{litellmtest.Fault{Kind: litellmtest.FaultCut, Done: true}, 1},
		{litellmtest.Fault{Kind: litellmtest.FaultTwice}, 2},
	} {
		before := l.calls()
		test.fault.Path, test.fault.Times = litellmtest.PushPath, 1
		p.Inject(test.fault)
		p.Log(litellmtest.Call{ID: "a"})
		p.FlushPush()
		require.Equal(t, test.comes, l.calls()-before)
	}
	before := l.calls()
	p.Log(make([]litellmtest.Call, 600)...)
	require.Eventually(t, func() bool { return l.calls() == before+512 }, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, p.Close())
	require.Equal(t, before+600, l.calls())
}
