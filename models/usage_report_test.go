package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

func TestUsageSums(t *testing.T) {
	t.Run("where there were no requests, no rate is made up", func(t *testing.T) {
		var none models.UsageSums
		require.Zero(t, []float64{none.SuccessRate(), none.ErrorRate(), none.AverageLatency()}[0])
		require.Zero(t, none.ErrorRate())
		require.Zero(t, none.AverageLatency())
	})
	t.Run("rates are in percent, to two places, and sums add up", func(t *testing.T) {
		s := models.UsageSums{Requests: 2, Failed: 1, PromptTokens: 10, CompletionTokens: 5, Cost: 7, LatencyMS: 1000}
		s.Add(models.UsageSums{Requests: 1, PromptTokens: 1, CompletionTokens: 1, Cost: 1, LatencyMS: 1})
		require.Equal(t, models.UsageSums{Requests: 3, Failed: 1, PromptTokens: 11, CompletionTokens: 6, Cost: 8, LatencyMS: 1001}, s)
		require.InDelta(t, 66.67, s.SuccessRate(), 1e-9)
		require.InDelta(t, 33.33, s.ErrorRate(), 1e-9)
		require.InDelta(t, 333.67, s.AverageLatency(), 1e-9)
		require.EqualValues(t, 17, s.Tokens())
	})
}

func TestUsageTrend(t *testing.T) {
	for _, tc := range []struct {
		before, now, change float64
		direction           string
	}{
		{0, 0, 0, "stable"},
		{0, 3, 100, "up"},
		{3, 0, -100, "down"},
		{1065, 1050, -1.41, "down"},
		{367, 374, 1.91, "up"},
		{100, 101, 1, "stable"},
		{100, 99, -1, "stable"},
		{10000, 10101, 1.01, "up"},
		{0.650696, 0.65366, 0.46, "stable"},
		{-2, -1, 50, "up"},
	} {
		trend := models.UsageTrend{Previous: tc.before, Current: tc.now}
		require.InDelta(t, tc.change, trend.PercentChange(), 1e-9, "%v to %v", tc.before, tc.now)
		require.Equal(t, tc.direction, trend.Direction(), "%v to %v", tc.before, tc.now)
	}
}

func instant(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func TestUsageRange(t *testing.T) {
	t.Run("it holds whole hours", func(t *testing.T) {
		r := models.NewUsageRange(instant("2026-01-31T10:59:59+02:00"), instant("2026-01-31T10:00:01Z"))
		require.Equal(t, models.UsageRange{From: instant("2026-01-31T08:00:00Z"), Until: instant("2026-01-31T11:00:00Z")}, r)
		require.False(t, r.OfDays())
		require.Equal(t, models.UsageRange{From: instant("2026-01-31T05:00:00Z"), Until: instant("2026-01-31T08:00:00Z")}, r.Before())
		require.Equal(t, models.MaxHourlyDays, r.MaxDays(models.UsageDay))
	})
	t.Run("the last days and hours end with the present one", func(t *testing.T) {
		now := instant("2026-03-01T10:20:00Z")
		days := models.LastDays(7, now)
		require.Equal(t, models.UsageRange{From: instant("2026-02-23T00:00:00Z"), Until: instant("2026-03-02T00:00:00Z")}, days)
		require.True(t, days.OfDays())
		require.Equal(t, models.MaxUsageDays, days.MaxDays(models.UsageWeek))
		require.Equal(t, models.MaxHourlyDays, days.MaxDays(models.UsageHour))
		require.Equal(t, models.UsageRange{From: instant("2026-02-28T11:00:00Z"), Until: instant("2026-03-01T11:00:00Z")}, models.LastHours(24, now))
	})
	t.Run("what is told has no gaps, and does not reach beyond it", func(t *testing.T) {
		r := models.UsageRange{From: instant("2026-01-30T00:00:00Z"), Until: instant("2026-02-04T00:00:00Z")} // a Friday, and a Wednesday
		used := []models.PeriodUsage{{StartsAt: instant("2026-01-26T00:00:00Z"), UsageSums: models.UsageSums{Requests: 1}}, {StartsAt: instant("2026-02-02T00:00:00Z"), UsageSums: models.UsageSums{Requests: 2}}}
		weeks := r.Fill(used, models.UsageWeek)
		require.Equal(t, []models.PeriodUsage{
			{StartsAt: r.From, EndsAt: instant("2026-02-02T00:00:00Z"), UsageSums: models.UsageSums{Requests: 1}},
			{StartsAt: instant("2026-02-02T00:00:00Z"), EndsAt: r.Until, UsageSums: models.UsageSums{Requests: 2}},
		}, weeks)
		require.Len(t, r.Fill(nil, models.UsageHour), 5*24)
		require.Len(t, r.Fill(nil, models.UsageDay), 5)
		require.Len(t, r.Fill(nil, models.UsageMonth), 2)
	})
}

func TestUsageUnit(t *testing.T) {
	for unit, want := range map[models.UsageUnit][3]string{
		models.UsageHour:  {"2027-01-03T23:00:00Z", "2027-01-04T00:00:00Z", "2027-01-03T23:00Z"},
		models.UsageDay:   {"2027-01-03T00:00:00Z", "2027-01-04T00:00:00Z", "2027-01-03"},
		models.UsageWeek:  {"2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z", "2026-W53"},
		models.UsageMonth: {"2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z", "2027-01"},
	} {
		now := instant("2027-01-04T00:30:00+01:00") // Sunday in UTC
		require.Equal(t, instant(want[0]), unit.Start(now), unit)
		require.Equal(t, instant(want[1]), unit.Next(unit.Start(now)), unit)
		require.Equal(t, want[2], unit.Name(now), unit)
	}
}
