package litellm

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/litemaas/litemaas/models"
)

// DailyActivity reads LiteLLM's sums of a day of UTC: one event for each key and model, which stands
// for all its calls. Its time is when the day began, its id always the same, so that what a day has
// later corrects what it had before. NoRoute means a LiteLLM that counts nothing.
func (c *Client) DailyActivity(ctx context.Context, day time.Time) ([]models.UsageEvent, error) {
	date := day.UTC().Format(time.DateOnly)
	sums := dailySums{}
	for page := 1; ; page++ {
		query := url.Values{
			"start_date": {date}, "end_date": {date}, "page": {strconv.Itoa(page)}, "page_size": {strconv.Itoa(spendLogsPage)},
		}
		var out dailyAnswer
		k := call{method: http.MethodGet, path: "/user/daily/activity", query: query, patience: listPatience * c.timeout}
		if err := c.do(ctx, k, &out); err != nil {
			return nil, err
		}
		for _, r := range out.Results {
			if r.Date == date {
				sums.add(r.Breakdown.byModel())
			}
		}
		if !out.Metadata.HasMore {
			return sums.events(date, day.UTC().Truncate(24*time.Hour)), nil
		}
	}
}

// dailyAnswer is a page of LiteLLM's sums. A day may be on several.
type dailyAnswer struct {
	Results []struct {
		Date      string
		Breakdown dailyBreakdown
	}
	Metadata struct {
		HasMore bool `json:"has_more"`
	}
}

type dailyBreakdown struct {
	ModelGroups map[string]dailyModel `json:"model_groups"` // later versions: by the name that was called
	Models      map[string]dailyModel
}

// byModel is the breakdown by the names of models that come nearest to those that were called.
func (b dailyBreakdown) byModel() map[string]dailyModel {
	if len(b.ModelGroups) > 0 {
		return b.ModelGroups
	}
	return b.Models
}

type dailyModel struct {
	Keys map[string]dailyKey `json:"api_key_breakdown"`
}

type dailyKey struct {
	Metrics struct {
		Spend      models.USD
		Prompt     int64 `json:"prompt_tokens"`
		Completion int64 `json:"completion_tokens"`
		Requests   int64 `json:"api_requests"`
		Failed     int64 `json:"failed_requests"`
		ResponseMS int64 `json:"total_response_time_ms"` // later versions
	}
	Metadata struct {
		UserID string `json:"user_id"` // later versions
		TeamID string `json:"team_id"`
	}
}

// unknownModel stands for none that LiteLLM knows of.
const unknownModel = "unknown-model"

// dailySums adds up what several pages say of a model and a key.
type dailySums map[[2]string]*models.UsageEvent

func (s dailySums) add(list map[string]dailyModel) {
	for model, m := range list {
		if model == unknownModel {
			model = ""
		}
		for key, k := range m.Keys {
			key = models.UsedKey(key)
			e := s[[2]string{key, model}]
			if e == nil {
				e = &models.UsageEvent{KeyHash: key, Model: model, Cost: new(models.USD)}
				s[[2]string{key, model}] = e
			}
			e.UserID, e.TeamID = k.Metadata.UserID, k.Metadata.TeamID
			e.Requests += k.Metrics.Requests
			e.Failed += k.Metrics.Failed
			e.Prompt += k.Metrics.Prompt
			e.Completion += k.Metrics.Completion
			e.Latency += time.Duration(k.Metrics.ResponseMS) * time.Millisecond
			*e.Cost += k.Metrics.Spend
		}
	}
}

func (s dailySums) events(date string, at time.Time) []models.UsageEvent {
	out := make([]models.UsageEvent, 0, len(s))
	for _, e := range s {
		e.RequestID, e.At = "daily/"+date+"/"+e.KeyHash+"/"+e.Model, at
		out = append(out, *e)
	}
	return out
}
