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

// UsedKeysStore records when keys were used; *store.Store does.
type UsedKeysStore interface {
	TouchKeys(ctx context.Context, used []models.KeyUse) error
}

var _ UsedKeysStore = (*store.Store)(nil)

// UsedKeys collects which API keys are used, as Seen does sessions. It is safe for use by many
// goroutines.
type UsedKeys struct {
	store UsedKeysStore
	mu    sync.Mutex
	at    map[uuid.UUID]time.Time
}

// NewUsedKeys returns a collector that writes into the store.
func NewUsedKeys(s UsedKeysStore) *UsedKeys {
	return &UsedKeys{store: s, at: map[uuid.UUID]time.Time{}}
}

// Note records that a key is used just now. It never waits.
func (u *UsedKeys) Note(id uuid.UUID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, ok := u.at[id]; ok || len(u.at) < maxSeenBy {
		u.at[id] = time.Now()
	}
}

// Flush writes what was collected. What cannot be written is lost: the key will be used again.
func (u *UsedKeys) Flush(ctx context.Context) error {
	u.mu.Lock()
	at := u.at
	u.at = map[uuid.UUID]time.Time{}
	u.mu.Unlock()
	rows := make([]models.KeyUse, 0, len(at))
	for id, when := range at {
		rows = append(rows, models.KeyUse{ID: id, At: when})
	}
	for chunk := range slices.Chunk(rows, 5000) {
		if err := u.store.TouchKeys(ctx, chunk); err != nil {
			return err
		}
	}
	return nil
}

// Run writes from time to time until ctx ends, and then what is left.
func (u *UsedKeys) Run(ctx context.Context) {
	everySeen(ctx, func(ctx context.Context) {
		if err := u.Flush(ctx); err != nil {
			slog.WarnContext(ctx, "when API keys were used is not recorded", "error", err)
		}
	})
}
