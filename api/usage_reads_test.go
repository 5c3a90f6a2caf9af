package api_test

import (
	"database/sql"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

const usagePath = "/api/v1/usage/"

// usageReads are the routes of this test.
var usageReads = []string{"metrics", "summary", "timeseries", "top", "dashboard"}

// metered is an API beside a ledger that has the calls of the last seventy days.
type metered struct {
	system
	sql            *sql.DB
	ada, bob, root string // their headers Authorization
	adaID          uuid.UUID
	key            models.Key // of ada
	sub            uuid.UUID  // of ada, to gpt-4o
}

func newMetered(t *testing.T) metered {
	t.Helper()
	address := storetest.URL(t)
	db, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(address), MaxConns: 8})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	s := metered{system: serve(db, &away{}, &away{}), sql: storetest.SQL(t, address), sub: uuid.New()}
	storetest.LLMs(t, db, "gpt-4.1", "gpt-4o", "o4-mini", "phi-4")
	s.ada, s.bob, s.root = s.as(t, "ada", user), s.as(t, "bob", user), s.as(t, "root", admin)
	s.adaID = s.user(t, "ada").ID
	s.exec(t, `INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, reset_at, quota_requests, quota_tokens, used_requests, used_tokens)
		VALUES ($1, $2, 'gpt-4o', 'active', 'test', now() + interval '1 day', 200, 3000, 25, 1000)`, s.sub, s.adaID)
	s.key = storetest.Key(t, db, s.adaID, nil, "gpt-4o")
	for _, of := range []uuid.UUID{s.adaID, s.user(t, "bob").ID, s.user(t, "root").ID} {
		storetest.Key(t, db, of, nil, "gpt-4o")
	}
	s.exec(t, "UPDATE api_keys SET observed_generation = generation")
	storetest.Usage(t, s.sql, 7_000, 70)
	return s
}

func (s metered) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	_, err := s.sql.ExecContext(t.Context(), query, args...)
	require.NoError(t, err)
}

// raw adds up the entries of the ledger from then on and before then, in plain SQL.
func (s metered) raw(t *testing.T, from, until any, where string, args ...any) (sum models.UsageSums) {
	t.Helper()
	require.NoError(t, s.sql.QueryRowContext(t.Context(), `
		SELECT coalesce(sum(requests), 0), coalesce(sum(failed), 0), coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0), coalesce(sum(cost), 0), coalesce(sum(latency_ms), 0)
		FROM usage_events WHERE at >= $1::timestamptz AND at < $2::timestamptz AND `+where, append([]any{from, until}, args...)...,
	).Scan(&sum.Requests, &sum.Failed, &sum.PromptTokens, &sum.CompletionTokens, &sum.Cost, &sum.LatencyMS))
	return sum
}

// shows requires the figures of an object, under the names that it has for them.
func shows(t *testing.T, want models.UsageSums, object any, requests, tokens, prompt, completion, cost string) {
	t.Helper()
	o := object.(map[string]any)
	round := func(x float64) float64 { return math.Round(x*100) / 100 }
	figures := map[string]float64{
		requests: float64(want.Requests), "failedRequests": float64(want.Failed), tokens: float64(want.PromptTokens + want.CompletionTokens),
		prompt: float64(want.PromptTokens), completion: float64(want.CompletionTokens), cost: float64(want.Cost) / 1e9,
		"averageLatency": 0, "errorRate": 0, "successRate": 0,
	}
	if n := float64(want.Requests); n > 0 {
		figures["averageLatency"], figures["errorRate"] = round(float64(want.LatencyMS)/n), round(100*float64(want.Failed)/n)
		figures["successRate"] = round(100 * (n - float64(want.Failed)) / n)
	}
	for name, figure := range figures {
		require.InDelta(t, figure, o[name], 1e-9, name)
	}
}

func totals(t *testing.T, want models.UsageSums, object any) {
	t.Helper()
	shows(t, want, object, "requests", "tokens", "promptTokens", "completionTokens", "cost")
}

func figures(t *testing.T, want models.UsageSums, object any) {
	t.Helper()
	shows(t, want, object, "totalRequests", "totalTokens", "totalPromptTokens", "totalCompletionTokens", "totalCost")
}

// today is midnight in UTC, some days from now.
func today(days int) time.Time { return models.UsageDay.Start(time.Now()).AddDate(0, 0, days) }

func TestUsageSummary(t *testing.T) {
	s := newMetered(t)
	read := func(who, query string) reply {
		t.Helper()
		return s.by(t, who, http.MethodGet, usagePath+"summary?"+query, "").is(http.StatusOK)
	}
	t.Run("the last thirty days of the caller", func(t *testing.T) {
		rep := read(s.ada, "")
		require.Equal(t, today(-29).Format(time.RFC3339), rep.at("period.start"))
		require.Equal(t, today(1).Format(time.RFC3339), rep.at("period.end"))
		totals(t, s.raw(t, today(-29), today(1), "user_id = $3", s.adaID), rep.at("totals"))
		require.Positive(t, rep.at("totals.requests"))
		list := rep.at("byModel").([]any)
		require.NotEmpty(t, list)
		for _, m := range list {
			figures(t, s.raw(t, today(-29), today(1), "user_id = $3 AND model_id = $4", s.adaID, m.(map[string]any)["modelId"]), m)
		}
		require.NotContains(t, rep.body(), "timeSeries")
	})
	day := func(n int) string { return today(n).Format(time.DateOnly) }
	for name, tc := range map[string]struct {
		who, query, where string
		args              []any
		from, until       time.Time
	}{
		"some days, the last one whole":   {s.ada, "startDate=" + day(-12) + "&endDate=" + day(-3), "user_id = $3", []any{s.adaID}, today(-12), today(-2)},
		"until a time, up to the hour":    {s.ada, "startDate=" + day(-12) + "&endDate=" + day(-3) + "T10:20:00Z", "user_id = $3", []any{s.adaID}, today(-12), today(-3).Add(11 * time.Hour)},
		"times of other time zones":       {s.ada, "startDate=" + day(-12) + "T10:00:00%2B02:00&endDate=" + day(-3) + "T10:00:00Z", "user_id = $3", []any{s.adaID}, today(-12).Add(8 * time.Hour), today(-3).Add(10 * time.Hour)},
		"the last days":                   {s.ada, "timeRange=60d", "user_id = $3", []any{s.adaID}, today(-59), today(1)},
		"a week":                          {s.ada, "timeRange=week", "user_id = $3", []any{s.adaID}, today(-6), today(1)},
		"a model":                         {s.ada, "modelId=gpt-4.1", "user_id = $3 AND model_id = 'gpt-4.1'", []any{s.adaID}, today(-29), today(1)},
		"a subscription":                  {s.ada, "subscriptionId=" + s.sub.String(), "user_id = $3 AND subscription_id = $4", []any{s.adaID, s.sub}, today(-29), today(1)},
		"an API key":                      {s.ada, "apiKeyId=" + s.key.ID.String(), "user_id = $3 AND api_key_id = $4", []any{s.adaID, s.key.ID}, today(-29), today(1)},
		"somebody else's key":             {s.bob, "apiKeyId=" + s.key.ID.String(), "false", nil, today(-29), today(1)},
		"herself, by her id":              {s.ada, "userId=" + s.adaID.String(), "user_id = $3", []any{s.adaID}, today(-29), today(1)},
		"by an API key, its owner":        {"Bearer " + storetest.Secret(t, s.key).Reveal(), "", "user_id = $3", []any{s.adaID}, today(-29), today(1)},
		"an admin, of somebody":           {s.root, "userId=" + s.adaID.String(), "user_id = $3", []any{s.adaID}, today(-29), today(1)},
		"an admin, of everybody":          {s.root, "scope=all", "true", nil, today(-29), today(1)},
		"an admin, of everybody, by hour": {s.root, "scope=all&endDate=" + day(-3) + "T10:00:00Z", "true", nil, today(-33).Add(10 * time.Hour), today(-3).Add(10 * time.Hour)},
		"an admin key, of everybody":      {"Bearer " + adminKey, "", "true", nil, today(-29), today(1)},
		"before anybody used anything":    {s.ada, "startDate=2025-01-01&endDate=2025-01-31", "false", nil, time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2025, 2, 1, 0, 0, 0, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			rep := read(tc.who, tc.query)
			require.Equal(t, tc.from.Format(time.RFC3339), rep.at("period.start"))
			require.Equal(t, tc.until.Format(time.RFC3339), rep.at("period.end"))
			want := s.raw(t, tc.from, tc.until, tc.where, tc.args...)
			totals(t, want, rep.at("totals"))
			require.Equal(t, tc.where == "false", want == models.UsageSums{})
		})
	}
	t.Run("with a series, if it is asked for", func(t *testing.T) {
		list := read(s.ada, "timeRange=7d&granularity=day").at("timeSeries").([]any)
		require.Len(t, list, 7)
		figures(t, s.raw(t, today(-6), today(-5), "user_id = $3", s.adaID), list[0])
	})
}

func TestUsageTimeseries(t *testing.T) {
	s := newMetered(t)
	for interval, n := range map[string]int{"": 40, "hour": 40 * 24, "day": 40, "week": 0, "month": 0} {
		t.Run("by "+interval, func(t *testing.T) {
			query := url.Values{"timeRange": {"40d"}}
			if interval != "" {
				query.Set("interval", interval)
			}
			rep := s.by(t, s.ada, http.MethodGet, usagePath+"timeseries?"+query.Encode(), "").is(http.StatusOK)
			list := rep.at("data").([]any)
			if n > 0 {
				require.Len(t, list, n)
			}
			sum, last := 0.0, today(-39).Format(time.RFC3339)
			for i, p := range list {
				o := p.(map[string]any)
				require.Equal(t, last, o["startTime"], "no gap")
				if i%37 == 0 || n == 0 { // of hours there are many
					figures(t, s.raw(t, o["startTime"], o["endTime"], "user_id = $3", s.adaID), p)
				}
				sum += o["totalRequests"].(float64)
				last = o["endTime"].(string)
			}
			require.Equal(t, today(1).Format(time.RFC3339), last)
			require.InDelta(t, s.raw(t, today(-39), today(1), "user_id = $3", s.adaID).Requests, sum, 0)
		})
	}
}

func TestUsageMetrics(t *testing.T) {
	s := newMetered(t)
	rep := s.by(t, s.ada, http.MethodGet, usagePath+"metrics?timeRange=20d&limit=2", "").is(http.StatusOK)
	want := s.raw(t, today(-19), today(1), "user_id = $3", s.adaID)
	require.EqualValues(t, want.Requests, rep.at("totalRequests"))
	require.EqualValues(t, want.Tokens(), rep.at("totalTokens"))
	require.InDelta(t, float64(want.Cost)/1e9, rep.at("totalCost"), 1e-9)
	require.InDelta(t, float64(want.LatencyMS)/float64(want.Requests)/1000, rep.at("averageResponseTime"), 1e-5)
	require.InDelta(t, want.SuccessRate(), rep.at("successRate"), 1e-9)
	require.Positive(t, want.Failed)
	require.EqualValues(t, want.Failed, rep.at("errorBreakdown.0.count"))
	require.InDelta(t, want.ErrorRate(), rep.at("errorBreakdown.0.percentage"), 1e-9)
	var active int
	require.NoError(t, s.sql.QueryRow("SELECT count(DISTINCT model_id) FROM usage_events WHERE user_id = $1 AND at >= $2", s.adaID, today(-19)).Scan(&active))
	require.EqualValues(t, active, rep.at("activeModels"))
	require.Len(t, rep.at("topModels"), 2)
	of := s.raw(t, today(-19), today(1), "user_id = $3 AND model_id = $4", s.adaID, rep.at("topModels.0.name"))
	require.EqualValues(t, of.Requests, rep.at("topModels.0.requests"))
	require.EqualValues(t, of.Tokens(), rep.at("topModels.0.tokens"))

	days, hours := rep.at("dailyUsage").([]any), rep.at("hourlyUsage").([]any)
	require.Len(t, days, 20)
	for i, day := range days {
		of := s.raw(t, today(i-19), today(i-18), "user_id = $3", s.adaID)
		require.Equal(t, map[string]any{
			"date": today(i - 19).Format(time.DateOnly), "requests": float64(of.Requests), "tokens": float64(of.Tokens()), "cost": float64(of.Cost) / 1e9,
		}, day)
	}
	require.Len(t, hours, 24)
	for i, hour := range hours {
		of := s.raw(t, today(-19), today(1), "user_id = $3 AND date_part('hour', at AT TIME ZONE 'UTC') = $4", s.adaID, i)
		require.Equal(t, map[string]any{"hour": fmt.Sprintf("%02d:00", i), "requests": float64(of.Requests)}, hour)
	}

	rep = s.by(t, s.ada, http.MethodGet, usagePath+"metrics?timeRange=91d", "").is(http.StatusOK)
	require.NotContains(t, rep.body(), "hourlyUsage", "that is too long")
	require.EqualValues(t, s.raw(t, today(-90), today(1), "user_id = $3", s.adaID).Requests, rep.at("totalRequests"))
	rep = s.by(t, s.as(t, "new", user), http.MethodGet, usagePath+"metrics", "").is(http.StatusOK)
	require.Empty(t, rep.at("errorBreakdown"), "who used nothing had no errors")
	require.Zero(t, rep.at("successRate"))
}

func TestUsageTop(t *testing.T) {
	s := newMetered(t)
	rep := s.by(t, s.ada, http.MethodGet, usagePath+"top?limit=1", "").is(http.StatusOK)
	rep.names("topModels.0.modelId topModels.0.modelName topModels.0.totalRequests topModels.0.totalTokens " +
		"recentActivity.0.timestamp recentActivity.0.modelId recentActivity.0.requestTokens recentActivity.0.responseTokens")
	require.Len(t, rep.at("topModels"), 1)
	figures(t, s.raw(t, today(-29), today(1), "user_id = $3 AND model_id = $4", s.adaID, rep.at("topModels.0.modelId")), rep.at("topModels.0"))
	calls := rep.at("recentActivity").([]any)
	require.Len(t, calls, 10)
	rows, err := s.sql.Query(`SELECT at, model_id, api_key_id::text, failed FROM usage_events WHERE user_id = $1 AND corrects IS NULL ORDER BY at DESC LIMIT 10`, s.adaID)
	require.NoError(t, err)
	defer rows.Close()
	for _, call := range calls {
		var at time.Time
		var model, key string
		var failed int
		require.True(t, rows.Next())
		require.NoError(t, rows.Scan(&at, &model, &key, &failed))
		o := call.(map[string]any)
		require.Equal(t, []any{at.UTC().Format(time.RFC3339Nano), model, key, failed == 0}, []any{o["timestamp"], o["modelId"], o["apiKeyId"], o["success"]})
		if failed == 0 {
			require.EqualValues(t, http.StatusOK, o["statusCode"])
		} else {
			require.NotContains(t, o, "statusCode", "nobody knows it")
		}
	}
	require.NoError(t, rows.Err())
	all := s.by(t, s.root, http.MethodGet, usagePath+"top?scope=all&timeRange=day", "").is(http.StatusOK)
	require.Empty(t, all.at("recentActivity"))
	require.NotEmpty(t, all.at("topModels"))
}

func TestUsageDashboard(t *testing.T) {
	s := newMetered(t)
	for query, days := range map[string]int{"": 30, "timeRange=month": 30, "timeRange=week": 7, "timeRange=3d": 3, "timeRange=70d": 70} {
		t.Run(query, func(t *testing.T) {
			rep := s.by(t, s.ada, http.MethodGet, usagePath+"dashboard?"+query, "").is(http.StatusOK)
			now := s.raw(t, today(1-days), today(1), "user_id = $3", s.adaID)
			before := s.raw(t, today(1-2*days), today(1-days), "user_id = $3", s.adaID)
			totals(t, now, rep.at("summary.currentPeriod"))
			totals(t, before, rep.at("summary.previousPeriod"))
			require.Equal(t, today(1-2*days).Format(time.RFC3339), rep.at("summary.previousPeriod.start"))
			require.Equal(t, rep.at("summary.currentPeriod.start"), rep.at("summary.previousPeriod.end"))
			change := func(now, before float64) float64 {
				if before == 0 {
					return 100
				}
				return math.Round(1e4*(now-before)/before) / 100
			}
			require.InDelta(t, change(float64(now.Requests), float64(before.Requests)), rep.at("summary.percentChange.requests"), 1e-9)
			require.InDelta(t, change(float64(now.Tokens()), float64(before.Tokens())), rep.at("summary.percentChange.tokens"), 1e-9)
			require.InDelta(t, change(float64(now.Cost), float64(before.Cost)), rep.at("summary.percentChange.cost"), 1e-9)
			trend := rep.at("summary.trends.0").(map[string]any)
			require.Equal(t, rep.at("summary.percentChange.requests"), trend["percentageChange"])
			require.EqualValues(t, now.Requests, trend["current"])
			require.EqualValues(t, before.Requests, trend["previous"])
			if days == 70 {
				require.Equal(t, "up", trend["direction"], "from nothing")
			}
			require.Equal(t, map[string]any{
				"requests": 12.5, "tokens": 33.33, "usedRequests": 25.0, "limitRequests": 200.0, "usedTokens": 1000.0, "limitTokens": 3000.0,
			}, rep.at("summary.quotaUtilization"))
			require.Len(t, rep.at("topStats.recentActivity"), 10)
			for _, m := range rep.at("topStats.topModels").([]any) {
				figures(t, s.raw(t, today(1-days), today(1), "user_id = $3 AND model_id = $4", s.adaID, m.(map[string]any)["modelId"]), m)
			}
		})
	}
	t.Run("of who used nothing", func(t *testing.T) {
		rep := s.by(t, s.as(t, "new", user), http.MethodGet, usagePath+"dashboard", "").is(http.StatusOK)
		totals(t, models.UsageSums{}, rep.at("summary.currentPeriod"))
		for _, change := range rep.at("summary.percentChange").(map[string]any) {
			require.Zero(t, change)
		}
		require.Zero(t, rep.at("summary.quotaUtilization.requests"))
		require.Empty(t, rep.at("topStats.topModels"))
	})
	t.Run("of everybody, there are no quotas", func(t *testing.T) {
		rep := s.by(t, s.root, http.MethodGet, usagePath+"dashboard?scope=all", "").is(http.StatusOK)
		require.NotContains(t, rep.at("summary"), "quotaUtilization")
		totals(t, s.raw(t, today(-29), today(1), "true"), rep.at("summary.currentPeriod"))
	})
}

// What is asked for wrongly is refused, with the field named.
func TestUsageReadsRefused(t *testing.T) {
	s := idle(t)
	ada, root := s.as(t, "ada", user), s.as(t, "root", admin)
	other := s.user(t, "root").ID.String()
	days := func(n int) string { return today(n).Format(time.DateOnly) }
	for _, route := range usageReads {
		for _, tc := range []struct{ query, code, field string }{
			{"startDate=yesterday", "INVALID_DATE_FORMAT", "startDate"},
			{"endDate=2026-02-30", "INVALID_DATE_FORMAT", "endDate"},
			{"startDate=" + days(-3) + "&endDate=" + days(-5), "INVALID_DATE_RANGE", "startDate"},
			{"startDate=2019-12-31&endDate=2020-01-05", "INVALID_DATE_RANGE", "startDate"},
			{"startDate=" + days(3) + "&endDate=" + days(5), "INVALID_DATE_RANGE", "startDate"},
			{"startDate=" + days(-367), "DATE_RANGE_TOO_LARGE", "startDate"},
			{"startDate=0001-01-01&endDate=9999-12-31", "DATE_RANGE_TOO_LARGE", "startDate"},
			{"timeRange=367d", "DATE_RANGE_TOO_LARGE", "timeRange"},
			{"startDate=" + days(-100) + "T10:00:00Z", "DATE_RANGE_TOO_LARGE", "startDate"},
			{"timeRange=9999h", "DATE_RANGE_TOO_LARGE", "timeRange"},
			{"timeRange=0d", "VALIDATION_ERROR", "timeRange"},
			{"timeRange=year", "VALIDATION_ERROR", "timeRange"},
			{"timeRange=7d&endDate=" + days(0), "VALIDATION_ERROR", "timeRange"},
			{"modelId=a%00b", "VALIDATION_ERROR", "modelId"},
			{"modelId=" + strings.Repeat("a", 501), "VALIDATION_ERROR", "modelId"},
			{"subscriptionId=1", "VALIDATION_ERROR", "subscriptionId"},
			{"apiKeyId=1", "VALIDATION_ERROR", "apiKeyId"},
			{"userId=1", "VALIDATION_ERROR", "userId"},
			{"scope=mine", "VALIDATION_ERROR", "scope"},
			{"scope=all&userId=" + other, "VALIDATION_ERROR", "scope"},
		} {
			t.Run(route+"?"+tc.query[:min(len(tc.query), 60)], func(t *testing.T) {
				require.Equal(t, tc.field, s.by(t, root, http.MethodGet, usagePath+route+"?"+tc.query, "").problem(http.StatusBadRequest, tc.code))
			})
		}
		t.Run(route+": others' usage is not there", func(t *testing.T) {
			for _, query := range []string{"scope=all", "userId=" + other, "userId=" + uuid.Nil.String()} {
				s.by(t, ada, http.MethodGet, usagePath+route+"?"+query, "").problem(http.StatusForbidden, "FORBIDDEN")
			}
		})
	}
	for query, field := range map[string]string{
		"timeseries?interval=year": "interval", "timeseries?interval=hour&timeRange=91d": "timeRange", "summary?granularity=minute": "granularity",
		"summary?granularity=hour&timeRange=91d": "timeRange", "top?limit=0": "limit", "dashboard?limit=51": "limit", "metrics?limit=x": "limit",
	} {
		require.Equal(t, field, s.by(t, ada, http.MethodGet, usagePath+query, "").is(http.StatusBadRequest).at("details.field"), query)
	}
	for _, query := range []string{"timeseries?interval=hour&timeRange=90d", "timeseries?timeRange=366d", "summary?startDate=" + days(-365)} {
		s.by(t, ada, http.MethodGet, usagePath+query, "").is(http.StatusOK)
	}
	s.Store.Close()
	for _, route := range usageReads {
		s.call(t, http.MethodGet, usagePath+route, "").problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
	}
}
