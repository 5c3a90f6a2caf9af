package models

import (
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
)

// UsageSums is how much was used, added up.
type UsageSums struct {
	Requests         int64
	Failed           int64 // of these
	PromptTokens     int64
	CompletionTokens int64
	Cost             USD
	LatencyMS        int64 `gorm:"column:latency_ms"` // of all the requests together
}

// Add adds what else was used.
func (s *UsageSums) Add(o UsageSums) {
	s.Requests += o.Requests
	s.Failed += o.Failed
	s.PromptTokens += o.PromptTokens
	s.CompletionTokens += o.CompletionTokens
	s.Cost += o.Cost
	s.LatencyMS += o.LatencyMS
}

// Tokens are those of the prompts and of the completions.
func (s UsageSums) Tokens() int64 { return s.PromptTokens + s.CompletionTokens }

// SuccessRate is how many of the requests succeeded, in percent; 0 where there were none.
func (s UsageSums) SuccessRate() float64 { return Percent(s.Requests-s.Failed, s.Requests) }

// ErrorRate is how many of the requests failed, in percent; 0 where there were none.
func (s UsageSums) ErrorRate() float64 { return Percent(s.Failed, s.Requests) }

// AverageLatency is how long a request took, in milliseconds; 0 where there were none.
func (s UsageSums) AverageLatency() float64 {
	if s.Requests == 0 {
		return 0
	}
	return hundredths(float64(s.LatencyMS) / float64(s.Requests))
}

// Percent is part of whole, to two places; 0 of nothing.
func Percent(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return hundredths(100 * float64(part) / float64(whole))
}

func hundredths(x float64) float64 { return math.Round(x*100) / 100 }

// UsageTrend is how a figure has changed from one period to the next.
type UsageTrend struct {
	Previous, Current float64
}

// steady is the change, in percent, up to which a figure is called stable.
const steady = 1.0

// PercentChange is the change in percent of what was before, to two places: 100 where that was
// nothing and now is something.
func (t UsageTrend) PercentChange() float64 {
	switch {
	case t.Previous == 0 && t.Current == 0:
		return 0
	case t.Previous == 0:
		return math.Copysign(100, t.Current)
	}
	return hundredths(100 * (t.Current - t.Previous) / math.Abs(t.Previous))
}

// Direction is up, down or stable.
func (t UsageTrend) Direction() string {
	switch change := t.PercentChange(); {
	case math.Abs(change) <= steady:
		return "stable"
	case change > 0:
		return "up"
	default:
		return "down"
	}
}

// ModelUsage is how much of a model was used.
type ModelUsage struct {
	ModelID  string
	Provider string
	UsageSums
}

// PeriodUsage is how much was used in a period of time.
type PeriodUsage struct {
	StartsAt, EndsAt time.Time
	UsageSums
}

// RecentCall is one call of a model, as the ledger has it now.
type RecentCall struct {
	At       time.Time
	APIKeyID uuid.UUID
	ModelID  string
	Provider string
	UsageSums
}

// QuotaUse is what subscriptions allow in this month, and how much of that was used. What has no
// quota counts in neither.
type QuotaUse struct {
	UsedRequests, LimitRequests int64
	UsedTokens, LimitTokens     int64
}

// UsageRange is a length of time, of whole hours in UTC: from then on, and before then.
type UsageRange struct{ From, Until time.Time }

// NewUsageRange is the shortest range that holds both times.
func NewUsageRange(from, until time.Time) UsageRange {
	end := UsageHour.Start(until)
	if end.Before(until) {
		end = UsageHour.Next(end)
	}
	return UsageRange{UsageHour.Start(from), end}
}

// LastDays is the range of the last days of UTC, today being one of them.
func LastDays(n int, now time.Time) UsageRange {
	end := UsageDay.Next(UsageDay.Start(now))
	return UsageRange{end.AddDate(0, 0, -n), end}
}

// LastHours is the range of the last hours, the present one being one of them.
func LastHours(n int, now time.Time) UsageRange {
	end := UsageHour.Next(UsageHour.Start(now))
	return UsageRange{end.Add(-time.Duration(n) * time.Hour), end}
}

// Length is how long it is.
func (r UsageRange) Length() time.Duration { return r.Until.Sub(r.From) }

// Before is the range of the same length that ends where this one begins.
func (r UsageRange) Before() UsageRange { return UsageRange{r.From.Add(-r.Length()), r.From} }

// OfDays reports whether it is one of whole days.
func (r UsageRange) OfDays() bool {
	return r.From.Equal(UsageDay.Start(r.From)) && r.Until.Equal(UsageDay.Start(r.Until))
}

// How many days may be asked for at once: hour by hour, and else.
const (
	MaxHourlyDays = 90
	MaxUsageDays  = 366
)

// MaxDays is how many days a range may have of which usage is told unit by unit.
func (r UsageRange) MaxDays(by UsageUnit) int {
	if by == UsageHour || !r.OfDays() {
		return MaxHourlyDays
	}
	return MaxUsageDays
}

// Fill makes a list of all units in the range, from that of those in which something was used, in
// order. The first and the last one are no longer than the range.
func (r UsageRange) Fill(used []PeriodUsage, by UsageUnit) []PeriodUsage {
	var out []PeriodUsage
	for start := by.Start(r.From); start.Before(r.Until); start = by.Next(start) {
		p := PeriodUsage{StartsAt: start, EndsAt: by.Next(start)}
		for len(used) > 0 && used[0].StartsAt.Before(p.EndsAt) {
			p.Add(used[0].UsageSums)
			used = used[1:]
		}
		if p.StartsAt.Before(r.From) {
			p.StartsAt = r.From
		}
		if p.EndsAt.After(r.Until) {
			p.EndsAt = r.Until
		}
		out = append(out, p)
	}
	return out
}

// UsageUnit is a length of time by which usage is told.
type UsageUnit string

// The units, of UTC; weeks begin on Monday.
const (
	UsageHour  UsageUnit = "hour"
	UsageDay   UsageUnit = "day"
	UsageWeek  UsageUnit = "week"
	UsageMonth UsageUnit = "month"
)

// Start is when the unit began that holds a time.
func (u UsageUnit) Start(at time.Time) time.Time {
	at = at.UTC()
	day := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
	switch u {
	case UsageHour:
		return at.Truncate(time.Hour)
	case UsageWeek:
		return day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
	case UsageMonth:
		return day.AddDate(0, 0, 1-day.Day())
	default:
		return day
	}
}

// Next is when the next one begins after the one that began then.
func (u UsageUnit) Next(start time.Time) time.Time {
	switch u {
	case UsageHour:
		return start.Add(time.Hour)
	case UsageWeek:
		return start.AddDate(0, 0, 7)
	case UsageMonth:
		return start.AddDate(0, 1, 0)
	default:
		return start.AddDate(0, 0, 1)
	}
}

// Name is that of the unit that holds a time, such as 2026-01-31T15:00Z, 2026-01-31, 2026-W05 or
// 2026-01.
func (u UsageUnit) Name(at time.Time) string {
	at = at.UTC()
	switch u {
	case UsageHour:
		return at.Format("2006-01-02T15:00Z")
	case UsageWeek:
		year, week := at.ISOWeek()
		return fmt.Sprintf("%d-W%02d", year, week)
	case UsageMonth:
		return at.Format("2006-01")
	default:
		return at.Format(time.DateOnly)
	}
}
