package auth

import "sync"

// bounded is a map of at most so many entries; a further one takes the place of any other. It
// is safe for use by many goroutines.
type bounded[K comparable, V any] struct {
	mu    sync.RWMutex
	limit int
	m     map[K]V
}

func newBounded[K comparable, V any](limit int) *bounded[K, V] {
	return &bounded[K, V]{limit: limit, m: map[K]V{}}
}

func (b *bounded[K, V]) get(k K) (V, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	v, ok := b.m[k]
	return v, ok
}

func (b *bounded[K, V]) put(k K, v V) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.m[k]; !ok && len(b.m) >= b.limit {
		for other := range b.m {
			delete(b.m, other)
			break
		}
	}
	b.m[k] = v
}
