package auth

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	seenEvery  = 20 * time.Second
	maxSeenBy  = 100_000 // things between two writes; the others are not recorded
	seenAtOnce = 5000    // are written by one statement
)

// collector keeps what was last noted of each of many things, so that it costs no request anything
// to record it. It is safe for use by many goroutines.
type collector[V any] struct {
	write func(context.Context, []V) error

	mu sync.Mutex
	by map[uuid.UUID]V
}

func newCollector[V any](write func(context.Context, []V) error) *collector[V] {
	return &collector[V]{write: write, by: map[uuid.UUID]V{}}
}

// note keeps v, unless there is too much already. It never waits.
func (c *collector[V]) note(id uuid.UUID, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.by[id]; ok || len(c.by) < maxSeenBy {
		c.by[id] = v
	}
}

// Flush writes what was collected. What cannot be written is lost: it will be noted again.
func (c *collector[V]) Flush(ctx context.Context) error {
	c.mu.Lock()
	by := c.by
	c.by = map[uuid.UUID]V{}
	c.mu.Unlock()
	for chunk := range slices.Chunk(slices.Collect(maps.Values(by)), seenAtOnce) {
		if err := c.write(ctx, chunk); err != nil {
			return err
		}
	}
	return nil
}

// run writes from time to time until ctx ends, and then what is left; lost is told when it cannot.
func (c *collector[V]) run(ctx context.Context, lost func(context.Context, error)) {
	tick := time.NewTicker(seenEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), seenEvery)
		if err := c.Flush(within); err != nil {
			lost(within, err)
		}
		cancel()
		if ctx.Err() != nil {
			return
		}
	}
}
