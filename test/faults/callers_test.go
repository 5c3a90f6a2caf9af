package faults_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
)

// wanted is a key that somebody asks for, and what he was told.
type wanted struct {
	owner  uuid.UUID
	bearer string // his token
	name   string // of this key alone
	llm    string
	token  string // the idempotency key

	status int    // of the answer; 0: he never got one
	body   []byte // as it came
	key    struct {
		ID, Name, KeyAlias, KeyPrefix, Key, Status string
		Models                                     []string
		Settled, IsActive                          bool
	}
	worked bool // at LiteLLM, when he had the answer
	tries  int
	took   time.Duration // until the answer
}

// callers ask for keys, as clients do that know what an idempotency key is for.
type callers struct {
	web   *http.Client
	url   string
	proxy *litellmtest.Proxy
	until time.Time // who has no answer by then gives up

	mu   sync.Mutex
	told map[int]int // how often they were told a status; 0: the connection broke, or there was none
}

const (
	// atOnce is how many ask at once; who waits longer than longWait lets another begin.
	atOnce, longWait = 32, 2 * time.Second

	// pause is how long one waits who got no answer, before he asks again.
	pause = time.Second
)

func newCallers(m *mortal, until time.Time) *callers {
	return &callers{
		web: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 4 * atOnce}},
		url: m.url, proxy: m.proxy, until: until, told: map[int]int{},
	}
}

// ask asks for all the keys, one each pace at most, and begins with none when ctx has ended. It
// returns how many it began with, and what waits until all have their answers.
func (c *callers) ask(ctx context.Context, keys []*wanted, pace time.Duration) (begun int, wait func()) {
	var running sync.WaitGroup
	next, ticks := make(chan struct{}, atOnce), time.NewTicker(pace)
	defer ticks.Stop()
	for _, k := range keys {
		next <- struct{}{}
		select {
		case <-ctx.Done():
			return begun, running.Wait
		case <-ticks.C:
		}
		begun++
		running.Go(func() {
			free := sync.OnceFunc(func() { <-next })
			defer time.AfterFunc(longWait, free).Stop()
			defer free()
			c.make(k)
		})
	}
	return begun, running.Wait
}

// make asks for a key until there is an answer.
func (c *callers) make(k *wanted) {
	begun := time.Now()
	for k.tries = 1; ; k.tries++ {
		status, again, body := c.post(k)
		c.mu.Lock()
		c.told[status]++
		c.mu.Unlock()
		if !again {
			k.status, k.body, k.took = status, body, time.Since(begun)
			_ = json.Unmarshal(body, &k.key) // what is no key is no answer, which shows
			k.worked = c.works(k.key.Key)
			return
		}
		if time.Now().After(c.until) {
			return
		}
		time.Sleep(pause)
	}
}

// post asks once. It is to be asked again when the answer does not say how it went: the API could
// not say, or is still at it.
func (c *callers) post(k *wanted) (status int, again bool, body []byte) {
	asked, err := json.Marshal(map[string]any{"name": k.name, "modelIds": []string{k.llm}})
	if err != nil {
		return 0, true, nil
	}
	req, err := http.NewRequest(http.MethodPost, c.url+"/api/v1/api-keys", bytes.NewReader(asked))
	if err != nil {
		return 0, true, nil
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", k.bearer)
	req.Header.Set("Idempotency-Key", k.token)
	res, err := c.web.Do(req)
	if err != nil {
		return 0, true, nil
	}
	defer res.Body.Close()
	if body, err = io.ReadAll(res.Body); err != nil {
		return 0, true, nil
	}
	status = res.StatusCode
	busy := status == http.StatusConflict && res.Header.Get("Retry-After") != ""
	return status, busy || status >= http.StatusInternalServerError || status == http.StatusTooManyRequests, body
}

// works reports whether LiteLLM takes calls with a key. It is asked past the door that is closed
// while it is down.
func (c *callers) works(key string) bool {
	rec := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodGet, "/v1/models", http.NoBody)
	req.Header.Set("Authorization", "Bearer "+key)
	c.proxy.ServeHTTP(rec, req)
	return rec.Code == http.StatusOK
}

// summary is what the callers of some keys were told, and how long it took.
func (c *callers) summary(keys []*wanted) string {
	if len(keys) == 0 {
		return "nothing"
	}
	answers, took, again := map[int]int{}, make([]time.Duration, len(keys)), 0
	for i, k := range keys {
		answers[k.status]++
		took[i] = k.took.Round(time.Millisecond)
		again += min(1, k.tries-1)
	}
	slices.Sort(took)
	return fmt.Sprintf("answers %v (all that was said: %v); p50 %s, p99 %s, max %s; %d had to be asked for again",
		answers, c.told, took[len(took)/2], took[len(took)*99/100], took[len(took)-1], again)
}
