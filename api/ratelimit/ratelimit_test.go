package ratelimit_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api/ratelimit"
)

// A rate is read as people write it, and written as it is read.
func TestParseRate(t *testing.T) {
	for text, want := range map[string]ratelimit.Rate{
		"300/1m": {Requests: 300, Per: time.Minute}, "1/1s": {Requests: 1, Per: time.Second}, "10/1h30m": {Requests: 10, Per: 90 * time.Minute},
		"1000000/24h": {Requests: 1_000_000, Per: 24 * time.Hour}, "off": {},
	} {
		got, ok := ratelimit.ParseRate(text)
		require.True(t, ok, text)
		require.Equal(t, want, got)
		require.Equal(t, text, got.String())
	}
	for _, text := range []string{"", "300", "/1m", "300/", "300/m", "0/1m", "-1/1m", "1.5/1m", "300/0s", "300/500ms", "300/25h", "1000001/1m", "300 / 1m", "none"} {
		_, ok := ratelimit.ParseRate(text)
		require.False(t, ok, text)
	}
}

// tested is a counter whose time a test can let pass.
type tested struct {
	ratelimit.Counter
	pass func(time.Duration, ...ratelimit.Bucket) // for the given buckets
}

// clock is one that a test sets.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) forward(d time.Duration) { c.ns.Add(int64(d)) }
func startedClock() *clock               { c := &clock{}; c.forward(1e6 * time.Hour); return c }

// counters are the kinds of counter. They must not differ.
func counters(t *testing.T) map[string]tested {
	t.Helper()
	c := startedClock()
	client := redisClient(t)
	return map[string]tested{
		"memory": {ratelimit.NewMemory(c.now), func(d time.Duration, _ ...ratelimit.Bucket) { c.forward(d) }},
		"redis":  {ratelimit.NewRedis(client, c.now), func(d time.Duration, of ...ratelimit.Bucket) { age(t, client, d, of) }},
	}
}

// bucket is one that no other test has.
func bucket(limit string, requests int, per time.Duration) ratelimit.Bucket {
	return ratelimit.Bucket{ID: ratelimit.ID{Limit: limit, Whose: uuid.NewString()}, Rate: ratelimit.Rate{Requests: requests, Per: per}}
}

// near requires a time that is right but for the moments that the test itself takes.
func near(t *testing.T, want, got time.Duration) {
	t.Helper()
	require.InDelta(t, want.Seconds(), got.Seconds(), 20)
}

// All requests of a period may come at once; then one more is free each part of it. What is
// refused costs nothing.
func TestOneBucket(t *testing.T) {
	for name, c := range counters(t) {
		t.Run(name, func(t *testing.T) {
			b := bucket("user", 3, 30*time.Minute)
			for i, step := range []struct {
				passes      time.Duration
				remaining   int
				reset, wait time.Duration
			}{
				{0, 2, 10 * time.Minute, 0},
				{0, 1, 20 * time.Minute, 0},
				{0, 0, 30 * time.Minute, 0},
				{0, 0, 30 * time.Minute, 10 * time.Minute},
				{0, 0, 30 * time.Minute, 10 * time.Minute},
				{5 * time.Minute, 0, 25 * time.Minute, 5 * time.Minute},
				{6 * time.Minute, 0, 29 * time.Minute, 0},
				{0, 0, 29 * time.Minute, 9 * time.Minute},
				{20 * time.Minute, 1, 19 * time.Minute, 0},
				{24 * time.Hour, 2, 10 * time.Minute, 0},
			} {
				c.pass(step.passes, b)
				v := c.Take(t.Context(), b)
				require.Equal(t, step.wait > 0, v.Refused(), "step %d: %+v", i, v)
				require.Equal(t, step.remaining, v.Remaining, "step %d: %+v", i, v)
				near(t, step.reset, v.Reset)
				near(t, step.wait, v.Wait)
				require.Equal(t, b, v.Bucket)
			}
		})
	}
}

// The strictest of several buckets speaks, and when one is full the request counts in none.
func TestSeveralBuckets(t *testing.T) {
	for name, c := range counters(t) {
		t.Run(name, func(t *testing.T) {
			user, team, other := bucket("user", 5, time.Hour), bucket("team", 3, time.Hour), bucket("user", 5, time.Hour)
			require.Equal(t, "team", c.Take(t.Context(), user, team).Limit)
			v := c.Take(t.Context(), other, team)
			require.Equal(t, "team", v.Limit)
			require.Equal(t, 1, v.Remaining)
			require.False(t, c.Take(t.Context(), team).Refused())
			for range 5 {
				v = c.Take(t.Context(), user, team)
				require.True(t, v.Refused())
				require.Equal(t, "team", v.Limit)
			}
			v = c.Take(t.Context(), user)
			require.False(t, v.Refused())
			require.Equal(t, 3, v.Remaining, "the refused ones cost nothing")
			v = c.Take(t.Context(), user, other)
			require.Equal(t, user, v.Bucket, "it has fewer left than the other")
			require.Equal(t, 2, v.Remaining)
		})
	}
}

// A bucket of a rate that was changed begins anew where the old one makes no sense.
func TestChangedRate(t *testing.T) {
	for name, c := range counters(t) {
		t.Run(name, func(t *testing.T) {
			b := bucket("ip", 2, 10*time.Hour)
			for range 3 {
				c.Take(t.Context(), b)
			}
			require.True(t, c.Take(t.Context(), b).Refused())
			b.Rate = ratelimit.Rate{Requests: 4, Per: time.Hour}
			v := c.Take(t.Context(), b)
			require.False(t, v.Refused())
			require.Equal(t, 3, v.Remaining)
		})
	}
}

// A rate that does not divide its period lets through as many as it says.
func TestOddRates(t *testing.T) {
	for name, c := range counters(t) {
		for _, requests := range []int{1, 7, 1001} {
			t.Run(name+" "+strconv.Itoa(requests), func(t *testing.T) {
				b, let := bucket("ip", requests, 24*time.Hour), 0
				for range requests + 3 {
					if v := c.Take(t.Context(), b); !v.Refused() {
						let++
						require.Equal(t, requests-let, v.Remaining)
					}
				}
				require.Equal(t, requests, let)
			})
		}
	}
}

// Requests at the same time do not take the same place.
func TestAtTheSameTime(t *testing.T) {
	for name, c := range counters(t) {
		t.Run(name, func(t *testing.T) {
			b := bucket("user", 20, 24*time.Hour)
			var let atomic.Int64
			var wg sync.WaitGroup
			for range 64 {
				wg.Go(func() {
					if !c.Take(t.Context(), b).Refused() {
						let.Add(1)
					}
				})
			}
			wg.Wait()
			require.Equal(t, int64(20), let.Load())
		})
	}
}

// Callers who are gone are forgotten; those who are not, are not.
func TestMemoryForgets(t *testing.T) {
	c := startedClock()
	m := ratelimit.NewMemory(c.now)
	mine := bucket("ip", 1, time.Hour)
	m.Take(t.Context(), mine)
	for range 100 {
		for range 1000 {
			m.Take(t.Context(), bucket("ip", 60, time.Minute))
		}
		c.forward(time.Second)
	}
	require.Less(t, m.Len(), 5000)
	require.True(t, m.Take(t.Context(), mine).Refused())
}
