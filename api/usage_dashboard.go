package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// recentCalls is how many of the last calls are shown.
const recentCalls = 10

// recentCall is a call of a model.
type recentCall struct {
	Timestamp      time.Time  `json:"timestamp" doc:"When it began."`
	ModelID        string     `json:"modelId"`
	Provider       string     `json:"provider"`
	APIKeyID       *uuid.UUID `json:"apiKeyId,omitempty" format:"uuid" doc:"Left out: a key that is not ours."`
	RequestTokens  int64      `json:"requestTokens"`
	ResponseTokens int64      `json:"responseTokens"`
	Cost           models.USD `json:"cost" doc:"In dollars."`
	LatencyMS      int64      `json:"latencyMs"`
	Success        bool       `json:"success"`
	StatusCode     int        `json:"statusCode,omitempty" doc:"Left out of a call that failed: LiteLLM does not tell how."`
}

func newRecentCalls(rows []models.RecentCall) []recentCall {
	out := make([]recentCall, 0, len(rows))
	for _, r := range rows {
		c := recentCall{
			Timestamp: r.At.UTC(), ModelID: r.ModelID, Provider: r.Provider, RequestTokens: r.PromptTokens, ResponseTokens: r.CompletionTokens,
			Cost: r.Cost, LatencyMS: r.LatencyMS, Success: r.Failed == 0,
		}
		if r.APIKeyID != uuid.Nil {
			c.APIKeyID = &r.APIKeyID
		}
		if c.Success {
			c.StatusCode = http.StatusOK
		}
		out = append(out, c)
	}
	return out
}

type usageTopRequest struct {
	UsageFilter
	Limit int `query:"limit" minimum:"1" maximum:"50" default:"10" doc:"How many models."`
}

type usageTopResponse struct {
	Body struct {
		Period         UsagePeriod  `json:"period"`
		TopModels      []modelUsage `json:"topModels" doc:"What was called most comes first."`
		RecentActivity []recentCall `json:"recentActivity" doc:"The last 10 calls of the period, the newest first; none for the usage of everybody."`
	}
}

// usageTop is which models were called most, and the last calls.
func (s *Server) usageTop(ctx context.Context, in *usageTopRequest) (*usageTopResponse, error) {
	q, err := in.query(ctx, models.UsageDay)
	if err != nil {
		return nil, err
	}
	byModel, err := s.Store.UsageByModel(ctx, q)
	if err != nil {
		return nil, err
	}
	calls, err := s.Store.RecentCalls(ctx, q, recentCalls)
	if err != nil {
		return nil, err
	}
	out := &usageTopResponse{}
	out.Body.Period, out.Body.TopModels, out.Body.RecentActivity = newUsagePeriod(q.UsageRange), newModelUsage(byModel, in.Limit), newRecentCalls(calls)
	return out, nil
}

type usageDashboardRequest struct {
	UsageFilter
	Limit int `query:"limit" minimum:"1" maximum:"50" default:"10" doc:"How many models."`
}

type usageDashboardResponse struct {
	Body struct {
		Summary  usageComparison `json:"summary"`
		TopStats struct {
			TopModels      []modelUsage `json:"topModels" doc:"What was called most comes first."`
			RecentActivity []recentCall `json:"recentActivity" doc:"The last 10 calls of the period, the newest first; none for the usage of everybody."`
		} `json:"topStats"`
	}
}

type usageComparison struct {
	CurrentPeriod    usageOfPeriod     `json:"currentPeriod"`
	PreviousPeriod   usageOfPeriod     `json:"previousPeriod" doc:"Of the same length."`
	PercentChange    usageChange       `json:"percentChange" doc:"From the one to the other; 100, where nothing became something."`
	Trends           []usageTrend      `json:"trends"`
	QuotaUtilization *quotaUtilization `json:"quotaUtilization,omitempty" doc:"Of all active and suspended subscriptions, in this month; left out for the usage of everybody."`
}

type usageOfPeriod struct {
	UsagePeriod
	UsageTotals
}

type usageChange struct {
	Requests         float64 `json:"requests"`
	Tokens           float64 `json:"tokens"`
	PromptTokens     float64 `json:"promptTokens"`
	CompletionTokens float64 `json:"completionTokens"`
	Cost             float64 `json:"cost"`
	AverageLatency   float64 `json:"averageLatency"`
	ErrorRate        float64 `json:"errorRate"`
}

type usageTrend struct {
	Metric           string  `json:"metric" enum:"requests,tokens,promptTokens,completionTokens,cost,averageLatency,errorRate"`
	Current          float64 `json:"current"`
	Previous         float64 `json:"previous"`
	PercentageChange float64 `json:"percentageChange"`
	Direction        string  `json:"direction" enum:"up,down,stable" doc:"Stable, up to 1 percent."`
}

// compare says how usage changed from one period to the next.
func compare(now, before models.UsageSums) (usageChange, []usageTrend) {
	var change usageChange
	var trends []usageTrend
	for _, of := range []struct {
		metric      string
		to          *float64
		now, before float64
	}{
		{"requests", &change.Requests, float64(now.Requests), float64(before.Requests)},
		{"tokens", &change.Tokens, float64(now.Tokens()), float64(before.Tokens())},
		{"promptTokens", &change.PromptTokens, float64(now.PromptTokens), float64(before.PromptTokens)},
		{"completionTokens", &change.CompletionTokens, float64(now.CompletionTokens), float64(before.CompletionTokens)},
		{"cost", &change.Cost, dollarsOf(now.Cost), dollarsOf(before.Cost)},
		{"averageLatency", &change.AverageLatency, now.AverageLatency(), before.AverageLatency()},
		{"errorRate", &change.ErrorRate, now.ErrorRate(), before.ErrorRate()},
	} {
		t := models.UsageTrend{Previous: of.before, Current: of.now}
		*of.to = t.PercentChange()
		trends = append(trends, usageTrend{of.metric, of.now, of.before, t.PercentChange(), t.Direction()})
	}
	return change, trends
}

func dollarsOf(u models.USD) float64 { return float64(u) / float64(models.Dollar) }

type quotaUtilization struct {
	Requests      float64 `json:"requests" doc:"In percent; 0, where nothing is limited."`
	Tokens        float64 `json:"tokens" doc:"In percent; 0, where nothing is limited."`
	UsedRequests  int64   `json:"usedRequests" doc:"Of subscriptions that have a quota of requests."`
	LimitRequests int64   `json:"limitRequests"`
	UsedTokens    int64   `json:"usedTokens" doc:"Of subscriptions that have a quota of tokens."`
	LimitTokens   int64   `json:"limitTokens"`
}

// usageDashboard is what was used beside what was used before.
func (s *Server) usageDashboard(ctx context.Context, in *usageDashboardRequest) (*usageDashboardResponse, error) {
	q, err := in.query(ctx, models.UsageDay)
	if err != nil {
		return nil, err
	}
	byModel, before, err := s.Store.UsageCompared(ctx, q)
	if err != nil {
		return nil, err
	}
	calls, err := s.Store.RecentCalls(ctx, q, recentCalls)
	if err != nil {
		return nil, err
	}
	out, now := &usageDashboardResponse{}, totalUsage(byModel)
	b := &out.Body.Summary
	b.CurrentPeriod = usageOfPeriod{newUsagePeriod(q.UsageRange), newUsageTotals(now)}
	b.PreviousPeriod = usageOfPeriod{newUsagePeriod(q.Before()), newUsageTotals(before)}
	b.PercentChange, b.Trends = compare(now, before)
	out.Body.TopStats.TopModels, out.Body.TopStats.RecentActivity = newModelUsage(byModel, in.Limit), newRecentCalls(calls)
	b.QuotaUtilization, err = s.quotaUtilization(ctx, q)
	return out, err
}

// quotaUtilization is how much of a user's quotas is used; nil for everybody's.
func (s *Server) quotaUtilization(ctx context.Context, q store.UsageQuery) (*quotaUtilization, error) {
	if q.UserID == nil {
		return nil, nil
	}
	u, err := s.Store.QuotaUse(ctx, *q.UserID)
	return &quotaUtilization{
		models.Percent(u.UsedRequests, u.LimitRequests), models.Percent(u.UsedTokens, u.LimitTokens),
		u.UsedRequests, u.LimitRequests, u.UsedTokens, u.LimitTokens,
	}, err
}
