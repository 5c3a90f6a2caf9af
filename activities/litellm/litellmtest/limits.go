package litellmtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// windowLength is how long LiteLLM counts before it starts at zero again.
const windowLength = time.Minute

// window counts what was used since start.
type window struct {
	start            time.Time
	requests, tokens int64
}

// limit bounds what something may use in a window.
type limit struct {
	scope, name        string // as LiteLLM words them
	rpm, tpm, parallel *int64
}

// limitsOf are the limits of a call of a model with a key, in LiteLLM's order. Those for the
// model are left out while it is not known.
func (p *Proxy) limitsOf(k *key, model string, now time.Time) []limit {
	list := []limit{{scope: "api_key", name: k.Token, rpm: k.RPM, tpm: k.TPM, parallel: k.Parallel}}
	if u := p.userNow(deref(k.UserID), now); u != nil {
		list = append(list, limit{scope: "user", name: u.ID, rpm: u.RPM, tpm: u.TPM})
	}
	if model != "" {
		list = append(list, limit{
			scope: "model_per_key", name: k.Token + ":" + model,
			rpm: k.modelLimit("model_rpm_limit", model), tpm: k.modelLimit("model_tpm_limit", model),
		})
	}
	return slices.DeleteFunc(list, func(l limit) bool { return l.rpm == nil && l.tpm == nil && l.parallel == nil })
}

func (k *key) modelLimit(name, model string) *int64 {
	var limits map[string]*int64
	if json.Unmarshal(k.Metadata[name], &limits) != nil {
		return nil
	}
	return limits[model]
}

// used is what was used of a limit in the window that holds now.
func (p *Proxy) used(l limit, now time.Time) *window {
	const many = 10_000
	id := l.scope + ":" + l.name
	w := p.windows[id]
	if w == nil || now.Sub(w.start) >= windowLength {
		if len(p.windows) > many {
			maps.DeleteFunc(p.windows, func(_ string, w *window) bool { return now.Sub(w.start) >= windowLength })
		}
		w = &window{start: now}
		p.windows[id] = w
	}
	return w
}

// exhausted refuses a call when no request is left of a limit.
func (p *Proxy) exhausted(limits []limit, now time.Time) answer {
	for _, l := range limits {
		if l.rpm != nil && p.used(l, now).requests >= *l.rpm {
			return l.exceeded("requests", *l.rpm, 0, now)
		}
		if l.parallel != nil && *l.parallel <= 0 { // a call takes no time here, so two are never under way
			return l.exceeded("max_parallel_requests", *l.parallel, 0, now)
		}
	}
	return nil
}

// reserve counts a request against all limits, and refuses one that by LiteLLM's estimate needs
// more tokens than are left.
func (p *Proxy) reserve(limits []limit, c *llmCall, now time.Time) answer {
	if err := p.exhausted(limits, now); err != nil {
		return err
	}
	for _, l := range limits {
		p.used(l, now).requests++
	}
	least := int64(4096)
	for _, l := range limits {
		if l.tpm != nil {
			least = min(least, *l.tpm)
		}
	}
	for _, l := range limits {
		if l.tpm == nil {
			continue
		}
		if left := *l.tpm - p.used(l, now).tokens; c.estimate(least) > left {
			return l.exceeded("tokens", *l.tpm, max(0, left), now)
		}
	}
	return nil
}

// exceeded is the answer to one call too many. LiteLLM always asks to wait for a whole window.
func (l limit) exceeded(what string, limit, left int64, now time.Time) answer {
	reset := now.Add(windowLength).Format("2006-01-02 15:04:05 UTC")
	a := proxyError(http.StatusTooManyRequests, fmt.Sprintf(
		"Rate limit exceeded for %s: %s. Limit type: %s. Current limit: %d, Remaining: %d. Limit resets at: %s",
		l.scope, l.name, what, limit, left, reset,
	), "throttling_error", nil)
	a.header = http.Header{
		"Retry-After": {strconv.Itoa(int(windowLength.Seconds()))}, "Rate_limit_type": {what}, "Reset_at": {reset},
	}
	return a
}

// overBudget refuses a key or a user whose budget is spent, except for what costs nothing.
func (p *Proxy) overBudget(k *key, now time.Time) answer {
	refuse := func(message string) answer {
		return proxyError(http.StatusUnprocessableEntity, message, "budget_exceeded", nil)
	}
	if k.MaxBudget != nil && k.Spend >= *k.MaxBudget {
		name := "key"
		if k.Alias != nil {
			name = *k.Alias
		}
		return refuse(fmt.Sprintf("Budget has been exceeded! Key=%s (%s) Current cost: %s, Max budget: %s",
			name, k.Name, pythonFloat(k.Spend), pythonFloat(*k.MaxBudget)))
	}
	if u := p.userNow(deref(k.UserID), now); u != nil && u.MaxBudget != nil && u.Spend >= *u.MaxBudget {
		return refuse(fmt.Sprintf("ExceededBudget: User=%s over budget. Spend=%s, Budget=%s",
			u.ID, pythonFloat(u.Spend), pythonFloat(*u.MaxBudget)))
	}
	return nil
}

// charge books what a call used.
func (p *Proxy) charge(r *request, limits []limit, tokens int64, cost float64) {
	k := r.who.key
	if k == nil {
		return
	}
	for _, l := range limits {
		p.used(l, r.now).tokens += tokens
	}
	k.Spend += cost
	k.TotalSpend += cost
	k.ActiveAt, k.UpdatedAt = new(r.now), r.now
	if u := p.userNow(deref(k.UserID), r.now); u != nil {
		u.Spend += cost
	}
}
