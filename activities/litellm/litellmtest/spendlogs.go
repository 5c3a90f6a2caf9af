package litellmtest

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

// countedLogs is where LiteLLM stops to count.
const countedLogs = 10_000

// spendLogs is GET /spend/logs/v2.
func (p *Proxy) spendLogs(r *request) answer {
	q := r.URL.Query()
	by, err := sortOf(cmp.Or(q.Get("sort_by"), "startTime"), cmp.Or(q.Get("sort_order"), "desc"))
	if err != nil {
		return err
	}
	if !q.Has("start_date") || !q.Has("end_date") {
		return proxyError(http.StatusBadRequest, "Start date and end date are required", "bad_request", "None")
	}
	from, err := dateOf(q.Get("start_date"))
	if err != nil {
		return err
	}
	until, err := dateOf(q.Get("end_date"))
	if err != nil {
		return err
	}
	var found []Call
	for _, c := range p.calls {
		written := !r.now.Before(c.End.Add(p.flush))
		if written && !c.Start.Before(from) && !c.Start.After(until) && c.matches(q.Get) && r.maySee(c) {
			found = append(found, c)
		}
	}
	slices.SortStableFunc(found, by)
	page, err := pages(r, "page_size", 50, 1000, len(found))
	if err != nil {
		return err
	}
	rows := make([]object, 0, page.to-page.from)
	for _, c := range found[page.from:page.to] {
		rows = append(rows, c.row())
	}
	total := min(page.total, countedLogs)
	return jsonAnswer(http.StatusOK, object{
		"data": rows, "total": total, "page": page.number, "page_size": page.size,
		"total_pages": (total + page.size - 1) / page.size, "total_is_capped": page.total > countedLogs,
	})
}

// maySee reports whether the caller may look at a call: his own, if he is no admin.
func (r *request) maySee(c Call) bool {
	if r.who.role == roleAdmin || r.who.role == roleViewer {
		return true
	}
	return r.who.key.UserID != nil && c.UserID == *r.who.key.UserID
}

// matches reports whether a call is what the query asks for.
func (c Call) matches(asked func(string) string) bool {
	for name, is := range map[string]string{
		"api_key": c.Key, "user_id": c.UserID, "team_id": c.TeamID, "request_id": c.ID,
		"model": c.Model, "model_id": c.ModelID, "model_group": c.Group, "status_filter": c.status(),
	} {
		if want := asked(name); want != "" && want != is {
			return false
		}
	}
	return true
}

// sortOf is the order that is asked for.
func sortOf(field, order string) (func(a, b Call) int, answer) {
	fields := map[string]func(a, b Call) int{
		"spend":               func(a, b Call) int { return cmp.Compare(a.Cost, b.Cost) },
		"total_tokens":        func(a, b Call) int { return cmp.Compare(a.Prompt+a.Completion, b.Prompt+b.Completion) },
		"startTime":           func(a, b Call) int { return a.Start.Compare(b.Start) },
		"endTime":             func(a, b Call) int { return a.End.Compare(b.End) },
		"request_duration_ms": func(a, b Call) int { return cmp.Compare(a.End.Sub(a.Start), b.End.Sub(b.Start)) },
		"ttft_ms":             func(a, b Call) int { return cmp.Compare(a.End.Sub(a.Start), b.End.Sub(b.Start)) },
		"model":               func(a, b Call) int { return strings.Compare(a.Model, b.Model) },
	}
	by := fields[field]
	switch {
	case by == nil:
		return nil, proxyError(http.StatusBadRequest, "Invalid sort_by: "+field+". Must be one of: endTime, model, request_duration_ms, spend, startTime, total_tokens, ttft_ms", "bad_request", "sort_by")
	case strings.EqualFold(order, "asc"):
		return by, nil
	case strings.EqualFold(order, "desc"):
		return func(a, b Call) int { return by(b, a) }, nil
	}
	return nil, proxyError(http.StatusBadRequest, "Invalid sort_order: "+order+". Must be one of: asc, desc", "bad_request", "sort_order")
}

// dateOf reads a time or a day.
func dateOf(text string) (time.Time, answer) {
	for _, layout := range []string{time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, strings.TrimSpace(text)); err == nil {
			return t, nil
		}
	}
	return time.Time{}, proxyError(http.StatusBadRequest, "Invalid date format: "+text+". Expected: 'YYYY-MM-DD' or 'YYYY-MM-DD HH:MM:SS'", typeInternal, nil)
}

// row is the call as the log shows it.
func (c Call) row() object {
	model, cached, breakdown := c.Model, any(nil), any(nil)
	switch {
	case c.CacheHit:
		cached = "True"
	case c.Status != 0:
		cached = "False"
	default:
		breakdown = object{"total_cost": c.Cost, "original_cost": c.Cost}
	}
	if c.Group == "" && c.Type != "" && !strings.HasPrefix(c.Type, "/") {
		model = unknownModel
	}
	return object{
		"request_id": c.logID(), "litellm_call_id": c.CallID, "call_type": c.Type, "api_key": c.Key, "user": c.UserID, "team_id": c.TeamID,
		"organization_id": "", "end_user": "", "spend": c.Cost, "prompt_tokens": c.Prompt, "completion_tokens": c.Completion, "total_tokens": c.Prompt + c.Completion,
		"startTime": c.Start.UTC().Format(logTime), "endTime": c.End.UTC().Format(logTime), "completionStartTime": c.End.UTC().Format(logTime),
		"request_duration_ms": c.End.Sub(c.Start).Milliseconds(), "model": model, "model_id": c.ModelID, "model_group": c.Group,
		"custom_llm_provider": c.provider(), "api_base": "", "cache_hit": cached, "cache_key": "Cache OFF", "status": c.status(),
		"request_tags": []string{}, "requester_ip_address": "127.0.0.1", "session_id": c.CallID, "agent_id": nil, "mcp_namespaced_tool_name": nil,
		"metadata": object{
			"status": nullIf(c.status(), "success"), "user_api_key": c.Key, "user_api_key_alias": c.Alias,
			"user_api_key_user_id": nullIf(c.UserID, ""), "user_api_key_team_id": nullIf(c.TeamID, ""),
			"litellm_call_id": c.CallID, "cost_breakdown": breakdown, "error_information": c.errorInformation(),
		},
	}
}

// logTime is how the log writes a time.
const logTime = "2006-01-02T15:04:05.000000+00:00"

// unknownModel is what the log has where no model is known.
const unknownModel = "unknown-model"

// logID is the request id in the log: of what the cache answered, another than what is pushed.
func (c Call) logID() string {
	if !c.CacheHit {
		return c.ID
	}
	return c.ID + "_cache_hit" + pythonFloat(float64(c.End.UnixMilli()+2)/1000)
}

func (c Call) errorInformation() any {
	if c.Status == 0 {
		return nil
	}
	return object{"error_code": pythonFloat(float64(c.Status))[:3], "error_message": c.Error, "error_class": "ProxyException", "traceback": "", "llm_provider": ""}
}

// nullIf is the text, or null instead of one.
func nullIf(text, instead string) any {
	if text == instead {
		return nil
	}
	return text
}
