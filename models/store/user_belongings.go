package store

import (
	"context"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// holdBelongings suspends the subscriptions and holds the keys of a user, who is locked and may
// do nothing now, as one cascade. Keys keep their models: LiteLLM blocks them.
func (s *Store) holdBelongings(ctx context.Context, userID uuid.UUID, by models.Actor) error {
	ids, err := s.lockBelongings(ctx, userID)
	if err != nil {
		return err
	}
	err = s.exec(ctx, "subscriptions", `
		UPDATE subscriptions SET holds = holds || jsonb_build_array(CAST(? AS text)), updated_at = now()
		WHERE id = ANY (CAST(? AS uuid[])) AND status = 'suspended' AND NOT jsonb_exists(holds, ?)`,
		models.HoldOffboarded, uuidArray(ids), models.HoldOffboarded)
	if err != nil {
		return err
	}
	m := suspension(models.HoldOffboarded, reasonHeld, by)
	m.cascade = uuid.New()
	rows, err := s.move(ctx, m, ids...)
	if err != nil {
		return err
	}
	return s.named(ctx, "cascade", holdSQL, map[string]any{
		"rows": rowsOf(rows), "id": m.cascade, "user": userID, "reason": reasonHeld, "by": by.ID, "hold": models.HoldOffboarded,
	})
}

// holdSQL writes the cascade of a user who is held back: what moved, and which keys it holds.
// There is none when there is neither.
const holdSQL = `
	WITH moved AS (SELECT * FROM ` + movedRows + ` r),
	held AS (
		UPDATE api_keys SET holds = holds || jsonb_build_array(CAST(@hold AS text)), generation = generation + 1, updated_at = now()
		WHERE user_id = @user AND revoked_at IS NULL AND NOT jsonb_exists(holds, @hold) RETURNING id
	), written AS (
		INSERT INTO cascades (id, cause, user_id, reason, by, subscriptions, keys, observed_generation, created_at)
		SELECT CAST(@id AS uuid), 'offboarded', @user, @reason, @by, m.n, k.n, CASE WHEN k.n = 0 THEN 1 ELSE 0 END, clock_timestamp()
		FROM (SELECT count(*) AS n FROM moved) m, (SELECT count(*) AS n FROM held) k WHERE m.n + k.n > 0 RETURNING id
	), subs AS (
		INSERT INTO cascade_subscriptions (cascade_id, subscription_id, old_status, new_status, changed_at)
		SELECT written.id, moved.id, old, new, at FROM moved, written
	)
	INSERT INTO cascade_keys (cascade_id, api_key_id, model_id) SELECT written.id, held.id, '' FROM held, written`

// freeBelongings undoes holdBelongings for a user, who is locked and may use things again: as
// far as nothing else holds or has ended them meanwhile.
func (s *Store) freeBelongings(ctx context.Context, userID uuid.UUID, by models.Actor) error {
	ids, err := s.lockBelongings(ctx, userID)
	if err != nil {
		return err
	}
	err = s.named(ctx, "keys", `
		WITH freed AS (
			UPDATE api_keys SET holds = holds - CAST(@hold AS text), generation = generation + 1, updated_at = now()
			WHERE user_id = @user AND revoked_at IS NULL AND jsonb_exists(holds, @hold) RETURNING id
		), keys AS (
			UPDATE cascade_keys SET restored = true WHERE model_id = '' AND NOT restored AND api_key_id IN (SELECT id FROM freed)
			RETURNING cascade_id
		)
		UPDATE cascades SET generation = generation + 1, updated_at = now() WHERE id IN (SELECT cascade_id FROM keys)`,
		map[string]any{"hold": models.HoldOffboarded, "user": userID})
	if err != nil {
		return err
	}
	if _, err := s.resume(ctx, models.HoldOffboarded, reasonFree, by, ids); err != nil {
		return err
	}
	// What is left of the cascades concerns nothing that is still held: what has ended since is
	// not given back by them.
	return s.exec(ctx, "cascades", "UPDATE cascades SET lifted_at = now() WHERE user_id = ? AND cause = 'offboarded' AND lifted_at IS NULL", userID)
}

// lockBelongings keeps all subscriptions and keys of a user as they are, until the transaction
// ends, and returns the subscriptions: also those that may not be used now, as they may be about
// to become active.
func (s *Store) lockBelongings(ctx context.Context, userID uuid.UUID) ([]uuid.UUID, error) {
	ids, err := s.lockedIDs(ctx, "s.user_id = ?", userID)
	if err != nil {
		return nil, err
	}
	return ids, s.exec(ctx, "keys", "SELECT id FROM api_keys WHERE user_id = ? AND revoked_at IS NULL ORDER BY id FOR NO KEY UPDATE", userID)
}
