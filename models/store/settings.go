package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/litemaas/litemaas/models"
)

// setting is one row of the table of that name.
type setting struct {
	Value                          json.RawMessage
	Generation, ObservedGeneration int64
	UpdatedAt                      time.Time
	UpdatedBy                      string
}

// setting reads the row of key into value; it is NotFound when it was never set.
func (s *Store) setting(ctx context.Context, key string, value any) (setting, error) {
	var rows []setting
	err := s.scan(ctx, "setting "+key, &rows,
		"SELECT value, generation, observed_generation, updated_at, updated_by FROM settings WHERE key = ?", key)
	if err != nil {
		return setting{}, err
	}
	if len(rows) == 0 {
		return setting{}, models.Errorf(models.NotFound, "setting %s not found", key)
	}
	if err := json.Unmarshal(rows[0].Value, value); err != nil {
		return setting{}, models.Wrap(models.Internal, err, "setting %s", key)
	}
	return rows[0], nil
}

// set stores value under key one generation on, with its audit entry.
func (s *Store) set(ctx context.Context, key, action string, value any, by models.Actor) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return models.Wrap(models.Internal, err, "setting %s", key)
	}
	return s.InTx(ctx, func(tx *Store) error {
		err := tx.exec(ctx, "setting "+key, `
			INSERT INTO settings AS s (key, value, updated_by) VALUES (?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_by = excluded.updated_by,
				updated_at = now(), generation = s.generation + 1`, key, string(raw), by.ID)
		if err != nil {
			return err
		}
		return tx.audit(ctx, by, action, "SYSTEM_SETTINGS", key, value)
	})
}

// observe records that the setting's generation was carried out; an older observation never
// replaces a newer.
func (s *Store) observe(ctx context.Context, key string, generation int64) error {
	return s.exec(ctx, "setting "+key,
		"UPDATE settings SET observed_generation = ? WHERE key = ? AND observed_generation < ? AND generation >= ?",
		generation, key, generation, generation)
}
