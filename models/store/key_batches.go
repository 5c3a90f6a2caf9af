package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// KeysByID returns those of the keys that there are, in any order.
func (s *Store) KeysByID(ctx context.Context, ids []uuid.UUID) ([]models.Key, error) {
	var rows []models.Key
	err := s.scan(ctx, "API keys", &rows, "SELECT k.sealed, "+disputed+", "+keyColumns+" FROM api_keys k WHERE k.id IN ?", ids)
	return rows, err
}

// UnsettledKeysAfter is UnsettledKeys from a place in their line on, with the place of the last
// one returned: by it, all are visited once, though some stay unsettled.
func (s *Store) UnsettledKeysAfter(ctx context.Context, age time.Duration, after models.Place, limit int) ([]uuid.UUID, models.Place, error) {
	return s.unsettled(ctx, "api_keys", age, after, limit)
}

// ObserveKeys is ObserveKey for many at once. It returns those that have a newer wish than what
// was seen. Not for use in a transaction.
func (s *Store) ObserveKeys(ctx context.Context, seen []models.KeyProof) ([]uuid.UUID, error) {
	ids, generations := make([]uuid.UUID, len(seen)), make([]int64, len(seen))
	for i, p := range seen {
		ids[i], generations[i] = p.ID, p.Generation
	}
	_, err := s.pool.Exec(ctx, `
		UPDATE api_keys k SET observed_generation = l.seen, failure = CASE WHEN k.generation = l.seen THEN '' ELSE k.failure END
		FROM (SELECT locked.id, v.seen
		      FROM unnest($1::uuid[], $2::bigint[]) v(id, seen) JOIN api_keys locked ON locked.id = v.id
		      ORDER BY locked.id FOR NO KEY UPDATE OF locked) l
		WHERE k.id = l.id AND k.observed_generation < l.seen AND k.generation >= l.seen`, ids, generations)
	if err != nil {
		return nil, kinded("API keys", err)
	}
	return s.behind(ctx, "api_keys", ids, generations)
}
