package auth

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// SeenStore records that sessions were used; *store.Store does.
type SeenStore interface {
	TouchSessions(ctx context.Context, seen []models.SessionSeen) error
}

var _ SeenStore = (*store.Store)(nil)

// Seen collects which sessions are used, so that it costs no request anything to record it. It
// is safe for use by many goroutines.
type Seen struct {
	store SeenStore
	mu    sync.Mutex
	by    map[uuid.UUID]models.SessionSeen
}

const (
	seenEvery = 20 * time.Second
	maxSeenBy = 100_000 // of sessions between two writes; the others are not recorded
)

// NewSeen returns a collector that writes into the store.
func NewSeen(s SeenStore) *Seen { return &Seen{store: s, by: map[uuid.UUID]models.SessionSeen{}} }

// Note records that a principal was seen just now. It never waits.
func (s *Seen) Note(p models.Principal, ip string) {
	if p.SessionID == uuid.Nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.by[p.SessionID]; ok || len(s.by) < maxSeenBy {
		s.by[p.SessionID] = models.SessionSeen{ID: p.SessionID, At: time.Now(), IP: ip}
	}
}

// Flush writes what was collected. What cannot be written is lost: it will be seen again.
func (s *Seen) Flush(ctx context.Context) error {
	s.mu.Lock()
	by := s.by
	s.by = map[uuid.UUID]models.SessionSeen{}
	s.mu.Unlock()
	if len(by) == 0 {
		return nil
	}
	rows := make([]models.SessionSeen, 0, len(by))
	for _, one := range by {
		rows = append(rows, one)
	}
	for chunk := range slices.Chunk(rows, 5000) {
		if err := s.store.TouchSessions(ctx, chunk); err != nil {
			return err
		}
	}
	return nil
}

// Run writes from time to time until ctx ends, and then what is left.
func (s *Seen) Run(ctx context.Context) {
	everySeen(ctx, func(ctx context.Context) {
		if err := s.Flush(ctx); err != nil {
			slog.WarnContext(ctx, "when sessions were used is not recorded", "error", err)
		}
	})
}

// everySeen flushes from time to time until ctx ends, and then once more.
func everySeen(ctx context.Context, flush func(context.Context)) {
	tick := time.NewTicker(seenEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), seenEvery)
		flush(within)
		cancel()
		if ctx.Err() != nil {
			return
		}
	}
}
