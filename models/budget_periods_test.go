package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return when
}

// A period begins with the calendar of its budget's own time zone, or when the budget did.
func TestBudgetWindow(t *testing.T) {
	for _, tc := range []struct {
		name, period, zone, anchor, now string
		rolling                         bool
		start, end                      string
	}{
		{name: "a day", period: "daily", now: "2026-03-05T23:59:59Z", start: "2026-03-05T00:00:00Z", end: "2026-03-06T00:00:00Z"},
		{name: "its first moment", period: "24h", now: "2026-03-05T00:00:00Z", start: "2026-03-05T00:00:00Z", end: "2026-03-06T00:00:00Z"},
		{name: "a week begins on Monday", period: "7d", now: "2026-03-08T12:00:00Z", start: "2026-03-02T00:00:00Z", end: "2026-03-09T00:00:00Z"},
		{name: "a Monday", period: "weekly", now: "2026-03-09T00:00:00Z", start: "2026-03-09T00:00:00Z", end: "2026-03-16T00:00:00Z"},
		{name: "30 days are a month", period: "30d", now: "2026-02-28T23:00:00Z", start: "2026-02-01T00:00:00Z", end: "2026-03-01T00:00:00Z"},
		{name: "a month of a leap year", period: "1mo", now: "2028-02-29T23:00:00Z", start: "2028-02-01T00:00:00Z", end: "2028-03-01T00:00:00Z"},
		{name: "December", period: "monthly", now: "2026-12-31T23:59:59Z", start: "2026-12-01T00:00:00Z", end: "2027-01-01T00:00:00Z"},
		{name: "a year", period: "365d", now: "2028-12-31T00:00:00Z", start: "2028-01-01T00:00:00Z", end: "2029-01-01T00:00:00Z"},

		{name: "a day of 23 hours", period: "daily", zone: "Europe/Prague", now: "2026-03-29T12:00:00Z", start: "2026-03-28T23:00:00Z", end: "2026-03-29T22:00:00Z"},
		{name: "a day of 25 hours", period: "daily", zone: "Europe/Prague", now: "2026-10-25T12:00:00Z", start: "2026-10-24T22:00:00Z", end: "2026-10-25T23:00:00Z"},
		{name: "a month in which clocks change", period: "monthly", zone: "America/New_York", now: "2026-03-20T00:00:00Z", start: "2026-03-01T05:00:00Z", end: "2026-04-01T04:00:00Z"},
		{name: "another day than in UTC", period: "daily", zone: "Pacific/Auckland", now: "2026-07-01T13:00:00Z", start: "2026-07-01T12:00:00Z", end: "2026-07-02T12:00:00Z"},
		{name: "half an hour", period: "monthly", zone: "Asia/Kolkata", now: "2026-03-31T18:30:00Z", start: "2026-03-31T18:30:00Z", end: "2026-04-30T18:30:00Z"},
		{name: "three quarters", period: "daily", zone: "Asia/Kathmandu", now: "2026-03-31T18:14:59Z", start: "2026-03-30T18:15:00Z", end: "2026-03-31T18:15:00Z"},
		{name: "clocks put forward by half an hour", period: "daily", zone: "Australia/Lord_Howe", now: "2026-10-04T00:00:00Z", start: "2026-10-03T13:30:00Z", end: "2026-10-04T13:00:00Z"},
		{name: "a day that begins at one", period: "daily", zone: "Africa/Cairo", now: "2026-04-24T12:00:00Z", start: "2026-04-23T22:00:00Z", end: "2026-04-24T21:00:00Z"},
		{name: "the day before it", period: "daily", zone: "Africa/Cairo", now: "2026-04-23T21:59:59Z", start: "2026-04-22T22:00:00Z", end: "2026-04-23T22:00:00Z"},
		{name: "midnight twice", period: "daily", zone: "America/Havana", now: "2026-11-01T04:30:00Z", start: "2026-11-01T04:00:00Z", end: "2026-11-02T05:00:00Z"},
		{name: "the second one", period: "daily", zone: "America/Havana", now: "2026-11-01T05:30:00Z", start: "2026-11-01T04:00:00Z", end: "2026-11-02T05:00:00Z"},

		{name: "12 hours", period: "12h", anchor: "2026-03-01T07:00:00Z", now: "2026-03-05T20:00:00Z", start: "2026-03-05T19:00:00Z", end: "2026-03-06T07:00:00Z"},
		{name: "seconds", period: "90s", anchor: "2026-03-01T00:00:00.5Z", now: "2026-03-01T00:03:00Z", start: "2026-03-01T00:01:30.5Z", end: "2026-03-01T00:03:00.5Z"},
		{name: "10 days, after an outage of a year", period: "10d", anchor: "2026-01-05T08:00:00Z", now: "2027-01-08T00:00:00Z", start: "2026-12-31T08:00:00Z", end: "2027-01-10T08:00:00Z"},
		{name: "before the anchor", period: "12h", anchor: "2026-03-01T07:00:00Z", now: "2026-03-01T06:00:00Z", start: "2026-02-28T19:00:00Z", end: "2026-03-01T07:00:00Z"},
		{name: "2 months from the 31st", period: "2mo", anchor: "2025-12-31T10:00:00Z", now: "2026-03-15T00:00:00Z", start: "2026-02-28T10:00:00Z", end: "2026-04-30T10:00:00Z"},
		{name: "a rolling month from the 31st", period: "monthly", rolling: true, anchor: "2026-01-31T10:00:00Z", now: "2026-03-01T00:00:00Z", start: "2026-02-28T10:00:00Z", end: "2026-03-31T10:00:00Z"},
		{name: "a rolling day", period: "1d", rolling: true, anchor: "2026-03-01T15:00:00Z", now: "2026-03-05T14:59:59Z", start: "2026-03-04T15:00:00Z", end: "2026-03-05T15:00:00Z"},
		{name: "a rolling day over a change of clocks", period: "1d", rolling: true, zone: "Europe/Prague", anchor: "2026-03-01T15:00:00Z", now: "2026-03-29T13:59:59Z", start: "2026-03-28T15:00:00Z", end: "2026-03-29T14:00:00Z"},
		{name: "a rolling year from the leap day", period: "yearly", rolling: true, anchor: "2028-02-29T00:00:00Z", now: "2029-02-28T00:00:00Z", start: "2029-02-28T00:00:00Z", end: "2030-02-28T00:00:00Z"},
		{name: "365 rolling days", period: "365d", rolling: true, anchor: "2027-03-01T00:00:00Z", now: "2028-02-29T00:00:00Z", start: "2028-02-29T00:00:00Z", end: "2029-02-28T00:00:00Z"},
		{name: "longer than anything", period: "999999999d", anchor: "2026-03-01T00:00:00Z", now: "2026-04-01T00:00:00Z", start: "2026-03-01T00:00:00Z"},
		{name: "hours without end", period: "999999999h", anchor: "2026-03-01T00:00:00Z", now: "2026-04-01T00:00:00Z", start: "2026-03-01T00:00:00Z"},
		{name: "months without end", period: "999999999mo", anchor: "2026-03-01T00:00:00Z", now: "2026-04-01T00:00:00Z", start: "2026-03-01T00:00:00Z"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := models.Budget{Period: tc.period, Rolling: tc.rolling, TimeZone: "UTC"}
			if tc.zone != "" {
				b.TimeZone = tc.zone
			}
			if tc.anchor != "" {
				b.AnchorAt = at(t, tc.anchor)
			}
			now := at(t, tc.now)
			start, end := b.Window(now)
			require.Equal(t, at(t, tc.start), start)
			if tc.end == "" {
				require.Nil(t, end)
				return
			}
			require.Equal(t, at(t, tc.end), *end)
			require.False(t, now.Before(start))
			require.True(t, now.Before(*end))
		})
	}
}

// Periods follow each other without a gap, wherever one looks.
func TestBudgetWindowsFollowEachOther(t *testing.T) {
	anchor := at(t, "2026-01-31T01:30:00Z")
	for _, zone := range []string{"UTC", "Europe/Prague", "America/Havana", "Africa/Cairo", "Asia/Beirut", "America/Asuncion", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia"} {
		for _, period := range []string{"daily", "weekly", "monthly", "yearly", "5h", "3d", "2mo"} {
			for _, rolling := range []bool{false, true} {
				b := models.Budget{Period: period, TimeZone: zone, Rolling: rolling, AnchorAt: anchor}
				_, last := b.Window(at(t, "2023-12-25T00:00:00Z"))
				for range 400 {
					start, end := b.Window(*last)
					require.Equal(t, *last, start, "%s %s %t", zone, period, rolling)
					again, same := b.Window(end.Add(-time.Nanosecond))
					require.Equal(t, []time.Time{start, *end}, []time.Time{again, *same}, "%s %s %t", zone, period, rolling)
					last = end
				}
			}
		}
	}
}

// A budget whose period is over stands at nothing, in the period that holds now, however long ago
// it was; one that was just made keeps what it counts.
func TestBudgetOn(t *testing.T) {
	b := models.Budget{
		Period: "monthly", TimeZone: "UTC", StartsAt: at(t, "2026-01-01T00:00:00Z"), EndsAt: new(at(t, "2026-02-01T00:00:00Z")),
		Spent: 5, Reached: 100, SoftTold: true, Pardoned: true, Held: true, HoldDueAt: new(at(t, "2026-01-20T00:00:00Z")),
	}
	require.Equal(t, b, b.On(at(t, "2026-01-31T23:59:59Z")))
	on := b.On(at(t, "2026-05-06T00:00:00Z"))
	require.Equal(t, at(t, "2026-05-01T00:00:00Z"), on.StartsAt)
	require.Equal(t, at(t, "2026-05-01T00:00:00Z"), on.CountsFrom)
	require.Equal(t, at(t, "2026-06-01T00:00:00Z"), *on.EndsAt)
	require.Zero(t, on.Spent)
	require.Zero(t, on.Reached)
	require.False(t, on.SoftTold || on.Pardoned)
	require.Nil(t, on.HoldDueAt)
	require.True(t, on.Held, "that is for a judgement to change")

	b.EndsAt, b.CountsFrom = new(b.StartsAt), b.StartsAt
	on = b.On(at(t, "2026-01-01T00:00:01Z"))
	require.Equal(t, models.USD(5), on.Spent)
	require.Equal(t, at(t, "2026-02-01T00:00:00Z"), *on.EndsAt)

	require.False(t, on.Misplaced(at(t, "2026-01-15T00:00:00Z")))
	on.Period = "daily"
	require.True(t, on.Misplaced(at(t, "2026-01-15T00:00:00Z")))
	on.Period = ""
	require.True(t, on.Misplaced(at(t, "2026-01-15T00:00:00Z")))
	on.EndsAt = nil
	require.False(t, on.Misplaced(at(t, "2026-01-15T00:00:00Z")))
}
