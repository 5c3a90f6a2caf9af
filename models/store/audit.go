package store

import (
	"context"
	"encoding/json"

	"github.com/litemaas/litemaas/models"
)

// audit records an action inside the transaction that does it. Detail must hold no secret.
func (s *Store) audit(ctx context.Context, by models.Actor, action, resourceType, resourceID string, detail any) error {
	raw, err := json.Marshal(detail)
	if err != nil {
		return models.Wrap(models.Internal, err, "audit %s", action)
	}
	return s.exec(ctx, "audit entry",
		"INSERT INTO audit (actor, via, action, resource_type, resource_id, detail) VALUES (?, ?, ?, ?, ?, ?)",
		by.ID, by.Via, action, resourceType, resourceID, string(raw))
}
