package litellm

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"time"

	"github.com/litemaas/litemaas/models"
)

const (
	// MaxSpendLogs is where LiteLLM stops to count the calls of a window: if there seem to be so
	// many, there may be more.
	MaxSpendLogs = 10_000

	// spendLogsPage is how many calls LiteLLM tells of at once, at most. It writes some 3 kB for each.
	spendLogsPage = 1000
)

// SpendLogs is one page of LiteLLM's log of the calls that began in a window.
type SpendLogs struct {
	Events  []models.UsageEvent // that have passed Check, the oldest first
	Strange int                 // entries that the ledger cannot take
	Total   int                 // of the window, as far as LiteLLM counts: MaxSpendLogs stands for that and more
	Last    bool                // there is no page behind it
}

// SpendLogs reads one page, from 1, of LiteLLM's log of the calls that began from a second on until,
// not including, another. A call is in it some time after it has ended (proxy_batch_write_at, 10 s),
// so that a window may grow for as long as a call may take. Pages behind the 10,000th call can be read
// too, but each is slower than the one before. NoRoute means a LiteLLM of before the log: see
// DailyActivity.
func (c *Client) SpendLogs(ctx context.Context, from, until time.Time, page int) (SpendLogs, error) {
	query := url.Values{
		"start_date": {from.UTC().Format(time.DateTime)}, "end_date": {until.UTC().Format(time.DateTime)},
		"page": {strconv.Itoa(page)}, "page_size": {strconv.Itoa(spendLogsPage)},
		"sort_by": {"startTime"}, "sort_order": {"asc"},
	}
	var out SpendLogs
	read, now := 0, time.Now()
	rest, err := c.rows(ctx, "/spend/logs/v2", query, func(raw json.RawMessage) error {
		read++
		var row spendRow
		bad := json.Unmarshal(raw, &row)
		switch e := row.event(); {
		case bad != nil:
			out.Strange++
		case !models.CallsModel(row.CallType):
		case e.Check(now) != nil:
			out.Strange++
		case e.At.Before(until): // LiteLLM counts the end in
			out.Events = append(out.Events, e)
		}
		return nil
	})
	if err != nil {
		return SpendLogs{}, err
	}
	out.Total, out.Last = rest["total"], read < spendLogsPage
	return out, nil
}

// spendRow is a call in the words of LiteLLM's log.
type spendRow struct {
	RequestID  string `json:"request_id"`
	CallID     string `json:"litellm_call_id"` // later versions
	CallType   string `json:"call_type"`
	Status     string // later versions
	KeyHash    string `json:"api_key"`
	User       string
	TeamID     string `json:"team_id"`
	Model      string
	ModelGroup string `json:"model_group"`
	Provider   string `json:"custom_llm_provider"`
	StartTime  stamp
	EndTime    stamp
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
	Spend      *models.USD
	CacheHit   string `json:"cache_hit"`
	Metadata   struct {
		Status    string
		CallID    string          `json:"litellm_call_id"`
		Breakdown json.RawMessage `json:"cost_breakdown"` // later versions; null: the cost could not be found
	}
}

// event is the call in our words.
func (r spendRow) event() models.UsageEvent {
	failed := cmp.Or(r.Status, r.Metadata.Status) == "failure"
	e := models.UsageEvent{
		RequestID: r.RequestID, CallID: cmp.Or(r.CallID, r.Metadata.CallID), KeyHash: models.UsedKey(r.KeyHash), UserID: r.User, TeamID: r.TeamID,
		Model: models.CalledModel(r.ModelGroup, r.Model, failed), Provider: r.Provider,
		Requests: 1, Prompt: r.Prompt, Completion: r.Completion, Cost: r.Spend,
	}
	if failed {
		e.Failed = 1
	}
	if r.StartTime.at != nil {
		e.At = r.StartTime.at.Truncate(time.Millisecond)
		if r.EndTime.at != nil {
			e.Latency = max(0, r.EndTime.at.Sub(e.At))
		}
	}
	if e.Cost != nil && *e.Cost == 0 && !failed && r.CacheHit != "True" && string(r.Metadata.Breakdown) == "null" {
		e.Cost = nil
	}
	return e
}
