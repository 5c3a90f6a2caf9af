package litellmtest

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

var durationText = regexp.MustCompile(`^(\d+)(mo|s|m|h|d|w)`)

var durationWords = map[string]string{"hourly": "1h", "daily": "24h", "weekly": "7d", "monthly": "30d"}

const day = 24 * time.Hour

var durationUnits = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": day, "w": 7 * day, "mo": 30 * day}

// splitDuration reads LiteLLM's grammar of durations.
func splitDuration(text string) (n int, unit string, ok bool) {
	if words := durationWords[strings.ToLower(strings.TrimSpace(text))]; words != "" {
		text = words
	}
	m := durationText.FindStringSubmatch(text)
	if m == nil {
		return 0, "", false
	}
	n, err := strconv.Atoi(m[1])
	return n, m[2], err == nil
}

// expiry is when a key ends that is made now and lives as long as text says.
func expiry(text string, now time.Time) (time.Time, bool) {
	n, unit, ok := splitDuration(text)
	if unit == "mo" {
		return now.AddDate(0, n, 0), ok
	}
	return now.Add(time.Duration(n) * durationUnits[unit]), ok
}

// isPeriod reports whether a budget can be reset each time that text says.
func isPeriod(text string) bool {
	n, unit, ok := splitDuration(text)
	return ok && (unit != "mo" || n == 1)
}

// resetAt is when the budget period that holds now ends, on LiteLLM's calendar (UTC): a day at
// midnight, a week on Monday, 30 days with the month, other days at midnight; hours, minutes and
// seconds at a multiple of them, counted from the start of the day, the hour and the minute.
func resetAt(period string, now time.Time) *time.Time {
	n, unit, _ := splitDuration(period)
	if unit == "w" {
		n, unit = n*7, "d"
	}
	midnight := now.Truncate(day)
	end := now
	switch {
	case n == 0:
	case unit == "mo", unit == "d" && n == 30:
		end = time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC)
	case unit == "d" && n == 7:
		end = midnight.AddDate(0, 0, 7-(int(now.Weekday())+6)%7)
	case unit == "d":
		end = midnight.AddDate(0, 0, n)
	case unit == "h":
		hours := (now.Hour()/n + 1) * n
		end = midnight.Add(time.Duration(hours) * time.Hour)
		if hours >= 24 { // LiteLLM knows only today and tomorrow
			end = midnight.Add(day + time.Duration(hours%24)*time.Hour)
		}
	case unit == "m":
		end = now.Truncate(time.Hour).Add(time.Duration((now.Minute()/n+1)*n) * time.Minute)
	case unit == "s":
		end = now.Truncate(time.Minute).Add(time.Duration((now.Second()/n+1)*n) * time.Second)
	}
	return &end
}
