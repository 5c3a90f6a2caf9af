package store

import "context"

// OrphanedSubscriptions counts the subscriptions that are there for models that LiteLLM does not
// offer now.
func (s *Store) OrphanedSubscriptions(ctx context.Context) (int, error) {
	n := 0
	err := s.scan(ctx, "subscriptions", &n, `
		SELECT count(*) FROM models m JOIN subscriptions s ON s.model_id = m.id AND s.status IN ('active', 'suspended', 'pending')
		WHERE m.availability <> 'available' OR m.deleted_at IS NOT NULL`)
	return n, err
}
