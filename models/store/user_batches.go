package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/litemaas/litemaas/models"
)

// UsersByID returns those of the users that there are, in any order.
func (s *Store) UsersByID(ctx context.Context, ids []uuid.UUID) ([]models.User, error) {
	var rows []models.User
	err := s.scan(ctx, "users", &rows, "SELECT "+userColumns+" FROM users u WHERE u.id IN ?", ids)
	return rows, err
}

// UnsettledUsersAfter is UnsettledUsers from a place in their line on, with the place of the
// last one returned: by it, all are visited once, though some stay unsettled.
func (s *Store) UnsettledUsersAfter(ctx context.Context, age time.Duration, after models.Place, limit int) ([]uuid.UUID, models.Place, error) {
	return s.unsettled(ctx, "users", age, after, limit)
}

// unsettled returns the rows of a table, users or api_keys, that LiteLLM has neither followed nor
// refused for at least age, from a place in their line on, with the place of the last one returned.
func (s *Store) unsettled(ctx context.Context, table string, age time.Duration, after models.Place, limit int) ([]uuid.UUID, models.Place, error) {
	var places []models.Place
	err := s.scan(ctx, table, &places, `
		SELECT id, updated_at AS since FROM `+table+`
		WHERE observed_generation < generation AND failed_generation < generation AND updated_at <= ? AND (updated_at, id) > (?, ?)
		ORDER BY updated_at, id LIMIT ?`, time.Now().Add(-age), after.Since, after.ID, limit)
	ids := make([]uuid.UUID, len(places))
	for i, p := range places {
		ids[i], after = p.ID, p
	}
	return ids, after, err
}

// ObserveUsers is ObserveUser for many at once. It returns those who have a newer wish than
// what was seen. Not for use in a transaction.
func (s *Store) ObserveUsers(ctx context.Context, seen []models.UserProof) ([]uuid.UUID, error) {
	ids, generations := make([]uuid.UUID, len(seen)), make([]int64, len(seen))
	for i, p := range seen {
		ids[i], generations[i] = p.ID, p.Generation
	}
	_, err := s.pool.Exec(ctx, `
		UPDATE users u SET observed_generation = l.seen, failure = CASE WHEN u.generation = l.seen THEN '' ELSE u.failure END
		FROM (SELECT locked.id, v.seen
		      FROM unnest($1::uuid[], $2::bigint[]) v(id, seen) JOIN users locked ON locked.id = v.id
		      ORDER BY locked.id FOR NO KEY UPDATE OF locked) l
		WHERE u.id = l.id AND u.observed_generation < l.seen AND u.generation >= l.seen`, ids, generations)
	if err != nil {
		return nil, kinded("users", err)
	}
	return s.behind(ctx, "users", ids, generations)
}

// behind returns those of the rows of a table that have a newer wish than the generation beside
// their ID. Not for use in a transaction.
func (s *Store) behind(ctx context.Context, table string, ids []uuid.UUID, generations []int64) ([]uuid.UUID, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT r.id FROM unnest($1::uuid[], $2::bigint[]) v(id, seen) JOIN `+table+` r ON r.id = v.id
		WHERE r.generation > v.seen ORDER BY r.id`, ids, generations)
	if err != nil {
		return nil, kinded(table, err)
	}
	behind, err := pgx.AppendRows([]uuid.UUID{}, rows, pgx.RowTo[uuid.UUID])
	return behind, kinded(table, err)
}
