package ratelimit

import (
	"context"
	"maps"
	"sync"
	"time"
)

// Memory counts for one process.
type Memory struct {
	now func() time.Time

	mu      sync.Mutex
	resets  map[ID]time.Time // by bucket: when all of it is free again
	sweepAt int              // buckets
}

// NewMemory returns a counter that goes by the given clock.
func NewMemory(now func() time.Time) *Memory {
	return &Memory{now: now, resets: map[ID]time.Time{}, sweepAt: sweepFrom}
}

// Take implements Counter.
func (m *Memory) Take(_ context.Context, buckets ...Bucket) Verdict {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, used, fits := m.now(), make([]time.Duration, len(buckets)), true
	for i, b := range buckets {
		used[i] = b.plausible(m.resets[b.ID].Sub(now))
		fits = fits && used[i]+b.interval() <= b.Per
	}
	if fits {
		for i, b := range buckets {
			used[i] += b.interval()
			m.resets[b.ID] = now.Add(used[i])
		}
		m.sweep(now)
	}
	return judge(buckets, used, fits)
}

// sweepFrom is how many buckets are kept before anybody looks which are of use.
const sweepFrom = 1024

// sweep forgets the buckets that are free again, each time that they have doubled: callers come
// and go, and nobody counts them otherwise.
func (m *Memory) sweep(now time.Time) {
	if len(m.resets) < m.sweepAt {
		return
	}
	maps.DeleteFunc(m.resets, func(_ ID, reset time.Time) bool { return !reset.After(now) })
	m.sweepAt = max(sweepFrom, 2*len(m.resets))
}
