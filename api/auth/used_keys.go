package auth

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// UsedKeysStore records when keys were used; *store.Store does.
type UsedKeysStore interface {
	TouchKeys(ctx context.Context, used []models.KeyUse) error
}

var _ UsedKeysStore = (*store.Store)(nil)

// UsedKeys collects which API keys are used, as Seen does sessions. It is safe for use by many
// goroutines.
type UsedKeys struct{ *collector[models.KeyUse] }

// NewUsedKeys returns a collector that writes into the store.
func NewUsedKeys(s UsedKeysStore) *UsedKeys {
	return &UsedKeys{newCollector(func(ctx context.Context, used []models.KeyUse) error { return s.TouchKeys(ctx, used) })}
}

// Note records that a key is used just now. It never waits.
func (u *UsedKeys) Note(id uuid.UUID) { u.note(id, models.KeyUse{ID: id, At: time.Now()}) }

// Run writes from time to time until ctx ends, and then what is left.
func (u *UsedKeys) Run(ctx context.Context) {
	u.run(ctx, func(ctx context.Context, err error) {
		slog.WarnContext(ctx, "when API keys were used is not recorded", "error", err)
	})
}
