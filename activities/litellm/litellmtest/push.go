package litellmtest

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Push says where a Proxy tells of calls, as LiteLLM's callback generic_api does.
type Push struct {
	Endpoint string // empty: nowhere
	Headers  map[string]string
	Every    time.Duration // 0: as LiteLLM, 5 s
}

// PushPath is where faults of what the Proxy sends are injected: as if somebody called it there.
// FaultCut and FaultStatus lose a batch, with Done the batch arrives, FaultTwice sends it twice. What
// is lost is never sent again, as by LiteLLM.
const PushPath = "generic_api"

const (
	pushedAtOnce = 512
	pushEvery    = 5 * time.Second
	pushTimeout  = 10 * time.Second
)

// pusher tells of calls, in batches.
type pusher struct {
	Push
	faults *faults

	mu    sync.Mutex
	queue []Call
	timer *time.Timer // nil: nothing waits
	under sync.WaitGroup
}

// add has a call told of, soon.
func (p *pusher) add(c Call) {
	if p.Endpoint == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, c)
	switch {
	case len(p.queue) >= pushedAtOnce:
		p.depart()
	case p.timer == nil:
		every := p.Every
		if every == 0 {
			every = pushEvery
		}
		p.timer = time.AfterFunc(every, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.depart()
		})
	}
}

// depart sends what waits, without waiting for it. The lock is held.
func (p *pusher) depart() {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	if batch := p.queue; len(batch) > 0 {
		p.queue = nil
		p.under.Go(func() { p.send(batch) })
	}
}

// flush sends what waits, and returns when all was sent.
func (p *pusher) flush() {
	p.mu.Lock()
	p.depart()
	p.mu.Unlock()
	p.under.Wait()
}

// FlushPush has what waits told of now, and returns when that is done.
func (p *Proxy) FlushPush() { p.push.flush() }

// send sends a batch, or does with it what is to go wrong.
func (p *pusher) send(batch []Call) {
	f := p.faults.next(PushPath, PushPath)
	time.Sleep(f.Delay)
	if (f.Kind == FaultCut || f.Kind == FaultStatus) && !f.Done {
		return
	}
	p.post(batch)
	if f.Kind == FaultTwice {
		p.post(batch)
	}
}

func (p *pusher) post(batch []Call) {
	payloads := make([]object, len(batch))
	for i, c := range batch {
		payloads[i] = c.payload()
	}
	body, err := json.Marshal(payloads)
	if err == nil {
		err = p.deliver(body)
	}
	if err != nil {
		slog.Warn("the LiteLLM in memory could not tell of calls, which are lost", "calls", len(batch), "error", err.Error())
	}
}

func (p *pusher) deliver(body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), pushTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range p.Headers {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		slog.Warn("who is told of calls by the LiteLLM in memory does not take them", "calls_bytes", len(body), "status", res.Status)
	}
	return nil
}

// payload is the call as it is pushed: a StandardLoggingPayload.
func (c Call) payload() object {
	id := c.ID
	var cached any
	if c.CacheHit {
		id, cached = c.ID+"_cache_hit"+pythonFloat(float64(c.End.UnixMilli())/1000), true
	}
	return object{
		"id": id, "litellm_call_id": c.CallID, "trace_id": c.CallID, "call_type": c.Type, "cache_hit": cached, "stream": nil, "status": c.status(),
		"custom_llm_provider": c.provider(), "startTime": seconds(c.Start), "endTime": seconds(c.End), "completionStartTime": seconds(c.End),
		"response_time": c.End.Sub(c.Start).Seconds(), "model": c.Model, "model_group": c.Group, "model_id": c.ModelID, "api_base": "",
		"response_cost": c.Cost, "response_cost_failure_debug_info": nil, "saved_cache_cost": 0.0,
		"prompt_tokens": c.Prompt, "completion_tokens": c.Completion, "total_tokens": c.Prompt + c.Completion,
		"request_tags": []string{}, "end_user": nil, "requester_ip_address": "127.0.0.1", "error_str": nullIf(c.Error, ""),
		"error_information": c.errorInformation(),
		"metadata": object{
			"user_api_key_hash": c.Key, "user_api_key_alias": c.Alias, "user_api_key_user_id": nullIf(c.UserID, ""),
			"user_api_key_team_id": nullIf(c.TeamID, ""), "user_api_key_end_user_id": nil, "spend_logs_metadata": nil,
		},
	}
}

// seconds is a time as Python writes it.
func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
