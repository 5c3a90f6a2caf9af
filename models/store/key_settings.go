package store

import (
	"context"

	"github.com/litemaas/litemaas/models"
)

// keyDefaultsKey is LiteMaaS's, as is what is stored under it.
const keyDefaultsKey = "api_key_defaults"

// KeyDefaults returns what is set for the keys that people make; nothing is, until somebody sets
// it.
func (s *Store) KeyDefaults(ctx context.Context) (models.KeyDefaults, error) {
	var d models.KeyDefaults
	_, err := s.setting(ctx, keyDefaultsKey, &d)
	if err != nil && models.KindOf(err) != models.NotFound {
		return models.KeyDefaults{}, err
	}
	return d, nil
}

// SetKeyDefaults replaces what is set for the keys that people make. Keys that are there stay as
// they are. It is Invalid when a default is more than its maximum.
func (s *Store) SetKeyDefaults(ctx context.Context, to models.KeyDefaults, by models.Actor) error {
	if err := to.Check(); err != nil {
		return err
	}
	return s.set(ctx, keyDefaultsKey, "UPDATE_API_KEY_DEFAULTS", to, by)
}
