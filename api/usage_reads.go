package api

import (
	"context"
	"fmt"
	"time"

	"github.com/litemaas/litemaas/models"
)

// UsagePeriod is the time that is told of. It is exported for huma; see AuditFilter.
type UsagePeriod struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end" doc:"Not part of it."`
}

func newUsagePeriod(r models.UsageRange) UsagePeriod {
	return UsagePeriod{r.From.UTC(), r.Until.UTC()}
}

// UsageTotals is what was used in sum. It is exported for huma; see AuditFilter.
type UsageTotals struct {
	Requests         int64      `json:"requests"`
	FailedRequests   int64      `json:"failedRequests" doc:"Of these."`
	Tokens           int64      `json:"tokens"`
	PromptTokens     int64      `json:"promptTokens"`
	CompletionTokens int64      `json:"completionTokens"`
	Cost             models.USD `json:"cost" doc:"In dollars."`
	AverageLatency   float64    `json:"averageLatency" doc:"Of a request, in milliseconds."`
	ErrorRate        float64    `json:"errorRate" doc:"In percent of the requests; 0, if there were none."`
	SuccessRate      float64    `json:"successRate" doc:"In percent of the requests; 0, if there were none."`
}

func newUsageTotals(s models.UsageSums) UsageTotals {
	return UsageTotals{
		s.Requests, s.Failed, s.Tokens(), s.PromptTokens, s.CompletionTokens, s.Cost, s.AverageLatency(), s.ErrorRate(), s.SuccessRate(),
	}
}

// UsageFigures are what LiteMaaS calls UsageTotals in lists. It is exported for huma; see
// AuditFilter.
type UsageFigures struct {
	TotalRequests         int64      `json:"totalRequests"`
	FailedRequests        int64      `json:"failedRequests" doc:"Of these."`
	TotalTokens           int64      `json:"totalTokens"`
	TotalPromptTokens     int64      `json:"totalPromptTokens"`
	TotalCompletionTokens int64      `json:"totalCompletionTokens"`
	TotalCost             models.USD `json:"totalCost" doc:"In dollars."`
	AverageLatency        float64    `json:"averageLatency" doc:"Of a request, in milliseconds."`
	ErrorRate             float64    `json:"errorRate" doc:"In percent of the requests; 0, if there were none."`
	SuccessRate           float64    `json:"successRate" doc:"In percent of the requests; 0, if there were none."`
}

func newUsageFigures(s models.UsageSums) UsageFigures {
	return UsageFigures{
		s.Requests, s.Failed, s.Tokens(), s.PromptTokens, s.CompletionTokens, s.Cost, s.AverageLatency(), s.ErrorRate(), s.SuccessRate(),
	}
}

type modelUsage struct {
	ModelID   string `json:"modelId"`
	ModelName string `json:"modelName"`
	Provider  string `json:"provider"`
	UsageFigures
}

// newModelUsage lists the models that were called most, up to limit of them; all, if that is 0.
func newModelUsage(rows []models.ModelUsage, limit int) []modelUsage {
	if limit > 0 && len(rows) > limit {
		rows = rows[:limit]
	}
	out := make([]modelUsage, 0, len(rows))
	for _, m := range rows {
		out = append(out, modelUsage{m.ModelID, m.ModelID, m.Provider, newUsageFigures(m.UsageSums)})
	}
	return out
}

// totalUsage is the sum of all models.
func totalUsage(rows []models.ModelUsage) (total models.UsageSums) {
	for _, m := range rows {
		total.Add(m.UsageSums)
	}
	return total
}

type periodUsage struct {
	Period    string    `json:"period" example:"2026-01-31" doc:"2026-01-31T15:00Z, 2026-01-31, 2026-W05 or 2026-01."`
	StartTime time.Time `json:"startTime"`
	EndTime   time.Time `json:"endTime" doc:"Not part of it."`
	UsageFigures
}

func newPeriodUsage(rows []models.PeriodUsage, by models.UsageUnit) []periodUsage {
	out := make([]periodUsage, 0, len(rows))
	for _, p := range rows {
		out = append(out, periodUsage{by.Name(p.StartsAt), p.StartsAt, p.EndsAt, newUsageFigures(p.UsageSums)})
	}
	return out
}

type usageSummaryRequest struct {
	UsageFilter
	Granularity models.UsageUnit `query:"granularity" enum:"hour,day,week,month" doc:"Have timeSeries too, by that."`
}

type usageSummaryResponse struct {
	Body struct {
		Period     UsagePeriod   `json:"period"`
		Totals     UsageTotals   `json:"totals"`
		ByModel    []modelUsage  `json:"byModel" doc:"What was called most comes first."`
		TimeSeries []periodUsage `json:"timeSeries,omitempty" doc:"Left out, unless granularity is given."`
	}
}

// usageSummary is what was used in sum, and of each model.
func (s *Server) usageSummary(ctx context.Context, in *usageSummaryRequest) (*usageSummaryResponse, error) {
	q, err := in.query(ctx, in.Granularity)
	if err != nil {
		return nil, err
	}
	byModel, err := s.Store.UsageByModel(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &usageSummaryResponse{}
	b := &out.Body
	b.Period, b.Totals, b.ByModel = newUsagePeriod(q.UsageRange), newUsageTotals(totalUsage(byModel)), newModelUsage(byModel, 0)
	if in.Granularity != "" {
		periods, err := s.Store.UsageByPeriod(ctx, q, in.Granularity)
		if err != nil {
			return nil, err
		}
		b.TimeSeries = newPeriodUsage(periods, in.Granularity)
	}
	return out, nil
}

type usageTimeseriesRequest struct {
	UsageFilter
	Interval models.UsageUnit `query:"interval" enum:"hour,day,week,month" default:"day" doc:"Of UTC; weeks begin on Monday."`
}

type usageTimeseriesResponse struct {
	Body struct {
		Interval models.UsageUnit `json:"interval"`
		Period   UsagePeriod      `json:"period"`
		Data     []periodUsage    `json:"data" doc:"In order and without gaps; the first and the last do not reach beyond the period."`
	}
}

// usageTimeseries is what was used in each unit of time.
func (s *Server) usageTimeseries(ctx context.Context, in *usageTimeseriesRequest) (*usageTimeseriesResponse, error) {
	q, err := in.query(ctx, in.Interval)
	if err != nil {
		return nil, err
	}
	periods, err := s.Store.UsageByPeriod(ctx, q, in.Interval)
	if err != nil {
		return nil, err
	}
	out := &usageTimeseriesResponse{}
	out.Body.Interval, out.Body.Period, out.Body.Data = in.Interval, newUsagePeriod(q.UsageRange), newPeriodUsage(periods, in.Interval)
	return out, nil
}

type usageMetricsRequest struct {
	UsageFilter
	Limit int `query:"limit" minimum:"1" maximum:"50" default:"10" doc:"How many models."`
}

type usageMetricsResponse struct {
	Body struct {
		Period              UsagePeriod   `json:"period"`
		TotalRequests       int64         `json:"totalRequests"`
		TotalTokens         int64         `json:"totalTokens"`
		TotalCost           models.USD    `json:"totalCost" doc:"In dollars."`
		AverageResponseTime float64       `json:"averageResponseTime" doc:"Of a request, in seconds."`
		SuccessRate         float64       `json:"successRate" doc:"In percent of the requests; 0, if there were none."`
		ActiveModels        int           `json:"activeModels" doc:"How many models were called."`
		TopModels           []namedUsage  `json:"topModels" doc:"What was called most comes first."`
		DailyUsage          []datedUsage  `json:"dailyUsage" doc:"In order and without gaps."`
		HourlyUsage         []hourlyUsage `json:"hourlyUsage,omitempty" doc:"By the hour of the day, in UTC; left out of more than 90 days."`
		ErrorBreakdown      []errorUsage  `json:"errorBreakdown" doc:"LiteLLM only tells that a call failed."`
	}
}

type namedUsage struct {
	Name     string     `json:"name"`
	Requests int64      `json:"requests"`
	Tokens   int64      `json:"tokens"`
	Cost     models.USD `json:"cost" doc:"In dollars."`
}

type datedUsage struct {
	Date     string     `json:"date" example:"2026-01-31"`
	Requests int64      `json:"requests"`
	Tokens   int64      `json:"tokens"`
	Cost     models.USD `json:"cost" doc:"In dollars."`
}

type hourlyUsage struct {
	Hour     string `json:"hour" example:"14:00"`
	Requests int64  `json:"requests"`
}

type errorUsage struct {
	Type       string  `json:"type" enum:"failed"`
	Count      int64   `json:"count"`
	Percentage float64 `json:"percentage" doc:"Of all requests."`
}

// usageMetrics is what was used in figures.
func (s *Server) usageMetrics(ctx context.Context, in *usageMetricsRequest) (*usageMetricsResponse, error) {
	q, err := in.query(ctx, models.UsageDay)
	if err != nil {
		return nil, err
	}
	byModel, err := s.Store.UsageByModel(ctx, q)
	if err != nil {
		return nil, err
	}
	days, err := s.Store.UsageByPeriod(ctx, q, models.UsageDay)
	if err != nil {
		return nil, err
	}
	out := &usageMetricsResponse{}
	b, total := &out.Body, totalUsage(byModel)
	b.Period, b.TotalRequests, b.TotalTokens, b.TotalCost = newUsagePeriod(q.UsageRange), total.Requests, total.Tokens(), total.Cost
	b.AverageResponseTime, b.SuccessRate, b.ActiveModels = total.AverageLatency()/1000, total.SuccessRate(), len(byModel)
	b.TopModels, b.DailyUsage, b.ErrorBreakdown = []namedUsage{}, make([]datedUsage, 0, len(days)), []errorUsage{}
	for _, m := range byModel[:min(in.Limit, len(byModel))] {
		b.TopModels = append(b.TopModels, namedUsage{m.ModelID, m.Requests, m.Tokens(), m.Cost})
	}
	for _, d := range days {
		b.DailyUsage = append(b.DailyUsage, datedUsage{models.UsageDay.Name(d.StartsAt), d.Requests, d.Tokens(), d.Cost})
	}
	if total.Failed > 0 {
		b.ErrorBreakdown = append(b.ErrorBreakdown, errorUsage{"failed", total.Failed, total.ErrorRate()})
	}
	if q.Length() > models.MaxHourlyDays*24*time.Hour {
		return out, nil
	}
	hours, err := s.Store.UsageByHour(ctx, q)
	for hour, requests := range hours {
		b.HourlyUsage = append(b.HourlyUsage, hourlyUsage{fmt.Sprintf("%02d:00", hour), requests})
	}
	return out, err
}
