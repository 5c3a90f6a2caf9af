package models

import (
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the time zones, for machines that have none
)

// calendar are the periods that begin with a day, a week, a month or a year of the calendar, in
// any spelling, as LiteLLM aligns them.
var calendar = map[string]string{
	"daily": "daily", "1d": "daily", "24h": "daily", "weekly": "weekly", "7d": "weekly",
	"monthly": "monthly", "1mo": "monthly", "30d": "monthly", "yearly": "yearly", "365d": "yearly",
}

// spans are the words for periods as a number and a unit. A year is twelve months.
var spans = map[string]string{"daily": "1d", "weekly": "7d", "monthly": "1mo", "yearly": "12mo"}

// lastYear bounds when a period ends: what ends later never does.
const lastYear = 9999

// Window is the period that holds a time: its first moment, and the first one behind it; nil: it
// never ends.
func (b Budget) Window(at time.Time) (start time.Time, end *time.Time) {
	if b.Period == "" {
		return b.StartsAt, nil
	}
	loc, err := time.LoadLocation(b.TimeZone)
	if err != nil { // Check has seen to that; the database of zones may have lost one
		loc = time.UTC
	}
	var next time.Time
	if kind := calendar[b.Period]; kind != "" && !b.Rolling {
		start, next = calendarWindow(kind, at.In(loc))
	} else {
		start, next = rollingWindow(b.Period, b.AnchorAt.In(loc), at)
	}
	if next.Year() > lastYear {
		return start.UTC(), nil
	}
	return start.UTC(), new(next.UTC())
}

// calendarWindow is the day, week, month or year that holds a time, where its clock shows it.
func calendarWindow(kind string, at time.Time) (start, next time.Time) {
	y, m, d := at.Date()
	loc := at.Location()
	switch kind {
	case "daily":
		return midnight(y, m, d, loc), midnight(y, m, d+1, loc)
	case "weekly":
		d -= (int(at.Weekday()) + 6) % 7 // since Monday
		return midnight(y, m, d, loc), midnight(y, m, d+7, loc)
	case "monthly":
		return midnight(y, m, 1, loc), midnight(y, m+1, 1, loc)
	default:
		return midnight(y, 1, 1, loc), midnight(y+1, 1, 1, loc)
	}
}

// midnight is the first moment of a day: where clocks are put forward over it, the one behind the
// gap; where they are put back over it, the first of the two.
func midnight(y int, m time.Month, d int, loc *time.Location) time.Time {
	t := time.Date(y, m, d, 0, 0, 0, 0, loc)
	if t.Hour() > 12 { // in the gap, counted from before it
		_, t = t.ZoneBounds()
		return t
	}
	if since, _ := t.ZoneBounds(); !since.IsZero() {
		_, before := since.Add(-time.Second).Zone()
		_, after := t.Zone()
		first := t.Add(-time.Duration(before-after) * time.Second)
		if before > after && first.Before(since) && first.Hour() == 0 && first.Minute() == 0 && first.Day() == t.Day() {
			return first
		}
	}
	return t
}

// rollingWindow is the period that holds a time, of those that follow each other since the anchor.
func rollingWindow(period string, anchor, at time.Time) (start, next time.Time) {
	n, unit := unitsOf(period)
	var begin func(k int64) time.Time
	var k int64
	switch unit {
	case "mo":
		begin = func(k int64) time.Time { return addMonths(anchor, int(k)*n) }
		local := at.In(anchor.Location())
		k = floorDiv(int64((local.Year()-anchor.Year())*12+int(local.Month())-int(anchor.Month())), int64(n))
	case "d":
		begin = func(k int64) time.Time { return anchor.AddDate(0, 0, int(k)*n) }
		k = floorDiv(at.Unix()-anchor.Unix(), int64(n)*24*60*60)
	default:
		secs := int64(n) * map[string]int64{"s": 1, "m": 60, "h": 60 * 60}[unit]
		begin = func(k int64) time.Time {
			return time.Unix(anchor.Unix()+k*secs, int64(anchor.Nanosecond())).In(anchor.Location())
		}
		k = floorDiv(at.Unix()-anchor.Unix(), secs)
	}
	for begin(k).After(at) { // months and days are not all of one length
		k--
	}
	for !begin(k + 1).After(at) {
		k++
	}
	return begin(k), begin(k + 1)
}

// unitsOf reads a period that Limits.Check lets pass.
func unitsOf(period string) (n int, unit string) {
	if word, ok := spans[period]; ok {
		period = word
	}
	digits := strings.TrimRight(period, "smhdo")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 {
		return 1, "d"
	}
	return n, period[len(digits):]
}

// addMonths is the same day and hour some months later; the last day, where a month has no such.
func addMonths(t time.Time, n int) time.Time {
	y, m, d := t.Date()
	last := time.Date(y, m+time.Month(n)+1, 0, 0, 0, 0, 0, time.UTC).Day()
	return time.Date(y, m+time.Month(n), min(d, last), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location())
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// Over reports whether the period that the row speaks of is over.
func (b Budget) Over(now time.Time) bool { return b.EndsAt != nil && !now.Before(*b.EndsAt) }

// On is the budget as it stands at a time: if its period is over, in the one that holds that time,
// of which nothing is spent. Held and Throttled are for a judgement to change. A budget that was
// just made, or just given a period, has an empty one, and what counts already stays.
func (b Budget) On(now time.Time) Budget {
	if !b.Over(now) {
		return b
	}
	made := !b.EndsAt.After(b.StartsAt)
	b.StartsAt, b.EndsAt = b.Window(now)
	if made {
		return b
	}
	b.CountsFrom, b.Spent, b.Reached, b.SoftTold, b.Pardoned, b.HoldDueAt = b.StartsAt, 0, 0, false, false, nil
	b.NextAt = new(USD(0))
	return b
}

// Misplaced reports whether the period was changed in its middle, so that what counts in the one
// that it has now has to be counted anew. One that has no end any more goes on.
func (b Budget) Misplaced(now time.Time) bool {
	if b.Over(now) {
		return false
	}
	start, end := b.Window(now)
	if end == nil || b.EndsAt == nil {
		return end != b.EndsAt
	}
	return !start.Equal(b.StartsAt) || !end.Equal(*b.EndsAt)
}
