package bench_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

const (
	pushedAtOnce = 512 // calls, as LiteLLM sends them
	pushing      = 8 * time.Second
	pushSecret   = "a-secret-of-litellm"
)

// benchUsagePush measures how many calls LiteLLM can tell of, by HTTP.
func benchUsagePush(b *testing.B, w io.Writer) {
	address := storetest.URL(b)
	pusher := newPusher(b, address)
	fmt.Fprintf(w, `## Usage that LiteLLM pushes

`+"`POST /api/v1/usage/events`"+`, %d calls at once, as LiteLLM 1.108 writes them: %d KB each. They are of 1000 keys and 20 models,
all are new, and an answer comes behind the commit. *CPU* is this process, with the callers, for a thousand calls.

| callers | calls | MB | p50 | p99 | requests in a transaction | CPU |
|---:|---:|---:|---:|---:|---:|---:|
`, pushedAtOnce, len(pusher.call)/1000)
	b.Run("usage push", func(b *testing.B) {
		for _, callers := range []int{1, 4, 16} {
			pusher.measure(b, w, callers)
		}
	})
	fmt.Fprintln(w)
}

// pusher sends what LiteLLM sends.
type pusher struct {
	url    string
	call   []byte // with placeholders
	hashes []string
	next   atomic.Int64
}

func newPusher(b *testing.B, address string) *pusher {
	b.Helper()
	raw, err := os.ReadFile("../../models/testdata/usage_payload.json")
	require.NoError(b, err)
	var calls []json.RawMessage
	require.NoError(b, json.Unmarshal(raw, &calls))
	p := &pusher{call: calls[0]}
	for was, is := range map[string]string{
		"chatcmpl-c4342c77-b7de-4841-a27e-a4751dd4cfeb": "<id>", strings.Repeat("a", 64): "<hash>", `"model_group": "gpt-4o"`: `"model_group": "<model>"`,
		"1795659525.343545": "<began>", "1795659525.583109": "<ended>",
	} {
		p.call = bytes.ReplaceAll(p.call, []byte(was), []byte(is))
	}
	for _, header := range fillKeys(b, address, 1000) {
		sum := sha256.Sum256([]byte(strings.TrimPrefix(header, "Bearer ")))
		p.hashes = append(p.hashes, hex.EncodeToString(sum[:]))
	}
	st, err := store.Open(b.Context(), store.Config{URL: models.SecretOf(address), MaxConns: 20})
	require.NoError(b, err)
	b.Cleanup(st.Close)
	s := &api.Server{Store: st, Config: api.Config{Usage: api.UsageConfig{PushSecret: models.SecretOf(pushSecret)}}}
	srv := httptest.NewServer(s.Handler())
	b.Cleanup(srv.Close)
	p.url = srv.URL + "/api/v1/usage/events"
	return p
}

// pushBody is what LiteLLM sends at once, and where in it the ids of the calls are.
type pushBody struct {
	text []byte
	ids  []int
}

// again gives the calls ids that were not there.
func (p *pusher) again(body *pushBody) {
	id := fmt.Appendf(nil, "r%08x", p.next.Add(1))
	for _, at := range body.ids {
		copy(body.text[at:], id)
	}
}

func (p *pusher) body() *pushBody {
	now := float64(time.Now().UnixMicro()) / 1e6
	out := &pushBody{text: []byte("[")}
	for i := range pushedAtOnce {
		n := int(p.next.Add(1))
		fill := strings.NewReplacer("<id>", fmt.Sprintf("r00000000-%d", n), "<hash>", p.hashes[n%len(p.hashes)], "<model>", fmt.Sprintf("model-%d", n%20),
			"<began>", fmt.Sprintf("%.6f", now-float64(i%5)), "<ended>", fmt.Sprintf("%.6f", now))
		begin := len(out.text)
		out.text = append(out.text, fill.Replace(string(p.call))...)
		out.text = append(out.text, ',')
		for at := begin; ; at++ {
			next := bytes.Index(out.text[at:], []byte("r00000000-"))
			if next < 0 {
				break
			}
			at += next
			out.ids = append(out.ids, at)
		}
	}
	out.text[len(out.text)-1] = ']'
	return out
}

// measure pushes by some callers at once. What they send is made before, and has new ids each time.
func (p *pusher) measure(b *testing.B, w io.Writer, callers int) {
	progress("usage pushed by %d callers", callers)
	var told, sent, shared atomic.Int64
	times := make([][]time.Duration, callers)
	bodies := make([]*pushBody, callers)
	for i := range bodies {
		bodies[i] = p.body()
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers, WriteBufferSize: 64 << 10}}
	defer client.CloseIdleConnections()
	until, cpu, begun := time.Now().Add(pushing), cpuTime(), time.Now()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for time.Now().Before(until) {
				p.again(bodies[i])
				start := time.Now()
				requests, ok := p.push(b, client, bodies[i].text)
				if !ok {
					return
				}
				times[i] = append(times[i], time.Since(start))
				told.Add(pushedAtOnce)
				sent.Add(int64(len(bodies[i].text)))
				shared.Add(int64(requests))
			}
		})
	}
	wg.Wait()
	wall, used := time.Since(begun).Seconds(), cpuTime()-cpu
	all := slices.Sorted(slices.Values(slices.Concat(times...)))
	require.NotEmpty(b, all)
	fmt.Fprintf(w, "| %d | %.0f/s | %.0f/s | %s | %s | %.1f | %.1f ms |\n", callers, float64(told.Load())/wall, float64(sent.Load())/wall/1e6,
		millis(all[len(all)/2]), millis(all[len(all)*99/100]), float64(shared.Load())/float64(len(all)), float64(used.Microseconds())/float64(told.Load()))
}

// push sends a body, and says how many requests shared the transaction that recorded it.
func (p *pusher) push(b *testing.B, client *http.Client, body []byte) (int, bool) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		b.Error(err)
		return 0, false
	}
	req.Header.Set("X-Litemaas-Usage", pushSecret)
	res, err := client.Do(req)
	if err != nil {
		b.Error(err)
		return 0, false
	}
	defer res.Body.Close()
	var answer struct{ Known, Requests int }
	err = json.NewDecoder(res.Body).Decode(&answer)
	if err != nil || res.StatusCode != http.StatusOK || answer.Known > 0 {
		b.Errorf("%s %v %+v", res.Status, err, answer)
		return 0, false
	}
	return answer.Requests, true
}
