package litellmtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A budget period ends where LiteLLM's calendar says; each line was seen on the real one or read
// in its source.
func TestResetAt(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 30, 56, 0, time.UTC) // a Wednesday
	for period, want := range map[string]string{
		"1d": "2026-11-26T00:00:00Z", "24h": "2026-11-26T00:00:00Z", "daily": "2026-11-26T00:00:00Z", "3d": "2026-11-28T00:00:00Z",
		"7d": "2026-11-30T00:00:00Z", "1w": "2026-11-30T00:00:00Z", "weekly": "2026-11-30T00:00:00Z", "2w": "2026-12-09T00:00:00Z",
		"30d": "2026-12-01T00:00:00Z", "1mo": "2026-12-01T00:00:00Z", "monthly": "2026-12-01T00:00:00Z", "60d": "2027-01-24T00:00:00Z",
		"1h": "2026-11-25T13:00:00Z", "5h": "2026-11-25T15:00:00Z", "6h": "2026-11-25T18:00:00Z", "12h": "2026-11-26T00:00:00Z",
		"48h": "2026-11-26T00:00:00Z", "30h": "2026-11-26T06:00:00Z", "90m": "2026-11-25T13:30:00Z", "30m": "2026-11-25T13:00:00Z",
		"45s": "2026-11-25T12:31:30Z", "0d": "2026-11-25T12:30:56Z",
	} {
		require.Equal(t, want, resetAt(period, now).Format(time.RFC3339), period)
	}
	monday := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	require.Equal(t, monday.AddDate(0, 0, 7), *resetAt("7d", monday))
	require.Equal(t, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), *resetAt("30d", time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)))
}

// What LiteLLM takes for a period and for the life of a key is not the same.
func TestDurations(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "2m": 2 * time.Minute, "3h": 3 * time.Hour, "4d": 4 * day, "1w": 7 * day, "0s": 0} {
		end, ok := expiry(text, now)
		require.True(t, ok, text)
		require.Equal(t, now.Add(want), end, text)
		require.True(t, isPeriod(text), text)
	}
	_, ok := expiry("2mo", now)
	require.True(t, ok)
	require.False(t, isPeriod("2mo"))
	for _, text := range []string{"soon", "", "d", "-1d", "1.5h", "5", "fortnight"} {
		_, ok := expiry(text, now)
		require.False(t, ok, text)
		require.False(t, isPeriod(text), text)
	}
}

// A window and a budget period end, and the counting starts at zero again.
func TestPeriodsEnd(t *testing.T) {
	p, err := NewProxy(Options{})
	require.NoError(t, err)
	now := time.Now().UTC()
	one := limit{scope: "api_key", name: "k", rpm: new(int64(1))}
	require.Nil(t, p.reserve([]limit{one}, &llmCall{}, now))
	require.NotNil(t, p.reserve([]limit{one}, &llmCall{}, now.Add(windowLength-1)))
	require.Nil(t, p.reserve([]limit{one}, &llmCall{}, now.Add(windowLength)))

	period, ended := "1d", now.Add(-time.Second)
	p.keys["k"] = &key{Token: "k", Period: &period, ResetAt: &ended, Spend: 5, MaxBudget: new(1.0)}
	p.users["u"] = &user{ID: "u", Period: &period, ResetAt: &ended, Spend: 5}
	k, u := p.keyNow("k", now), p.userNow("u", now)
	require.Zero(t, k.Spend)
	require.Zero(t, u.Spend)
	require.Equal(t, now.Truncate(day).Add(day), *k.ResetAt)
	require.Equal(t, *k.ResetAt, *u.ResetAt)
}
