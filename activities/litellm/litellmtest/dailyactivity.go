package litellmtest

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// dailyActivity is GET /user/daily/activity. LiteLLM pages by its own rows, which have one key and
// model of a day each, so that a day may be on several pages.
func (p *Proxy) dailyActivity(r *request) answer {
	q := r.URL.Query()
	from, errFrom := time.Parse(time.DateOnly, q.Get("start_date"))
	until, errUntil := time.Parse(time.DateOnly, q.Get("end_date"))
	if errFrom != nil || errUntil != nil {
		return detail(http.StatusBadRequest, object{"error": "Please provide start_date and end_date"})
	}
	type place struct{ date, group, key string }
	var order []place
	sums := map[place]*daySum{}
	for _, c := range p.calls {
		day := c.Start.UTC().Truncate(24 * time.Hour)
		if day.Before(from) || day.After(until) || r.now.Before(c.End.Add(p.flush)) || !r.maySee(c) {
			continue
		}
		at := place{day.Format(time.DateOnly), c.Group, c.Key}
		if at.group == "" {
			at.group = unknownModel
		}
		if sums[at] == nil {
			sums[at] = &daySum{}
			order = append(order, at)
		}
		sums[at].add(c)
	}
	slices.SortStableFunc(order, func(a, b place) int { return strings.Compare(b.date, a.date) })
	page, err := pages(r, "page_size", 50, 1000, len(order))
	if err != nil {
		return err
	}
	days := map[string]object{}
	results := []object{}
	for _, at := range order[page.from:page.to] {
		groups := days[at.date]
		if groups == nil {
			groups = object{}
			days[at.date] = groups
			results = append(results, object{"date": at.date, "breakdown": object{"model_groups": groups}})
		}
		group, ok := groups[at.group].(object)
		if !ok {
			group = object{"api_key_breakdown": object{}, "metadata": object{}}
			groups[at.group] = group
		}
		group["api_key_breakdown"].(object)[at.key] = sums[at].body()
	}
	return jsonAnswer(http.StatusOK, object{
		"results": results, "metadata": object{"page": page.number, "total_pages": page.pages, "has_more": page.number < page.pages},
	})
}

// daySum is what a key had of a model on a day.
type daySum struct {
	calls, failed, prompt, completion, latency int64
	spend                                      float64
	last                                       Call
}

func (s *daySum) add(c Call) {
	s.calls++
	if c.Status != 0 {
		s.failed++
	} else {
		s.latency += c.End.Sub(c.Start).Milliseconds()
	}
	s.prompt += c.Prompt
	s.completion += c.Completion
	s.spend += c.Cost
	s.last = c
}

func (s *daySum) body() object {
	return object{
		"metrics": object{
			"spend": s.spend, "prompt_tokens": s.prompt, "completion_tokens": s.completion, "total_tokens": s.prompt + s.completion,
			"api_requests": s.calls, "failed_requests": s.failed, "successful_requests": s.calls - s.failed,
			"total_response_time_ms": s.latency, "timed_requests": s.calls - s.failed,
		},
		"metadata": object{"key_alias": s.last.Alias, "team_id": nullIf(s.last.TeamID, ""), "user_id": nullIf(s.last.UserID, ""), "user_email": nil},
	}
}
