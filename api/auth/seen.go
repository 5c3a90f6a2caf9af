package auth

import (
	"context"
	"log/slog"
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
type Seen struct{ *collector[models.SessionSeen] }

// NewSeen returns a collector that writes into the store.
func NewSeen(s SeenStore) *Seen {
	return &Seen{newCollector(func(ctx context.Context, seen []models.SessionSeen) error { return s.TouchSessions(ctx, seen) })}
}

// Note records that a principal was seen just now. It never waits.
func (s *Seen) Note(p models.Principal, ip string) {
	if p.SessionID != uuid.Nil {
		s.note(p.SessionID, models.SessionSeen{ID: p.SessionID, At: time.Now(), IP: ip})
	}
}

// Run writes from time to time until ctx ends, and then what is left.
func (s *Seen) Run(ctx context.Context) {
	s.run(ctx, func(ctx context.Context, err error) {
		slog.WarnContext(ctx, "when sessions were used is not recorded", "error", err)
	})
}
