package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// end moves one locked subscription away from where its owner may use it, as a cascade of its
// own.
func (s *Store) end(ctx context.Context, cause models.CascadeCause, m move, sub models.Subscription) (models.Cascade, error) {
	c, err := s.cascade(ctx, cause, m, sub.ID)
	if err == nil && c.ID == uuid.Nil {
		err = models.Errorf(models.Conflict, "the subscription is not in a state for that")
	}
	return c, err
}

// cascade takes one step with those of the subscriptions from whose status it may be taken, and
// their models off their owners' keys; it remembers both, so that it can be undone. Nothing is
// written, and the answer is zero, when none moves.
func (s *Store) cascade(ctx context.Context, cause models.CascadeCause, m move, ids ...uuid.UUID) (models.Cascade, error) {
	m.cascade = uuid.New()
	rows, err := s.move(ctx, m, ids...)
	if err != nil || len(rows) == 0 {
		return models.Cascade{}, err
	}
	return s.take(ctx, cascadeOf(cause, m, rows...), rows)
}

// cascadeOf is the row of a cascade that has taken nothing yet. It is about a model and a user
// when everything that moved is.
func cascadeOf(cause models.CascadeCause, m move, rows ...moved) models.Cascade {
	c := models.Cascade{ID: m.cascade, Cause: cause, Reason: text(m.reason, maxReason), By: m.by.ID, ModelID: &rows[0].ModelID, UserID: &rows[0].UserID}
	for _, r := range rows {
		if c.ModelID != nil && r.ModelID != *c.ModelID {
			c.ModelID = nil
		}
		if c.UserID != nil && r.UserID != *c.UserID {
			c.UserID = nil
		}
	}
	return c
}

// movedRows is SQL for the subscriptions that moved, from the parameter @rows; it needs an alias.
const movedRows = `(SELECT * FROM jsonb_to_recordset(CAST(@rows AS jsonb)) AS r (id uuid, user_id uuid, model_id text, old text, new text, at timestamptz))`

// takeSQL writes a cascade: what moved, and what it takes from keys, each of which is one
// generation on. What takes nothing has nothing for LiteLLM to follow.
const takeSQL = `
	WITH moved AS (SELECT * FROM ` + movedRows + ` r),
	taken AS (
		DELETE FROM api_key_models km USING moved m, api_keys k
		WHERE k.user_id = m.user_id AND k.revoked_at IS NULL AND km.api_key_id = k.id AND km.model_id = m.model_id
		RETURNING km.api_key_id, km.model_id
	), wished AS (
		UPDATE api_keys SET generation = generation + 1, updated_at = now() WHERE id IN (SELECT api_key_id FROM taken) RETURNING id
	), written AS (
		INSERT INTO cascades (id, cause, model_id, user_id, reason, by, subscriptions, keys, observed_generation, created_at)
		SELECT CAST(@id AS uuid), @cause, @model, CAST(@user AS uuid), @reason, @by, (SELECT count(*) FROM moved), n, CASE WHEN n = 0 THEN 1 ELSE 0 END, clock_timestamp()
		FROM (SELECT count(*) AS n FROM wished) w RETURNING *
	), subs AS (
		INSERT INTO cascade_subscriptions (cascade_id, subscription_id, old_status, new_status, changed_at)
		SELECT @id, id, old, new, at FROM moved
	), keys AS (
		INSERT INTO cascade_keys (cascade_id, api_key_id, model_id) SELECT @id, api_key_id, model_id FROM taken
	)
	SELECT * FROM written`

// take takes the models of subscriptions that moved off their owners' keys.
func (s *Store) take(ctx context.Context, c models.Cascade, rows []moved) (models.Cascade, error) {
	if err := s.lockKeys(ctx, rows); err != nil {
		return c, err
	}
	return c, s.scan(ctx, "cascade", &c, takeSQL, map[string]any{
		"rows": rowsOf(rows), "id": c.ID, "cause": c.Cause, "model": c.ModelID, "user": c.UserID, "reason": c.Reason, "by": c.By,
	})
}

// lockKeys keeps the keys as they are that hold the models of these subscriptions, or that are
// owed them, until the transaction ends. It is a statement of its own: the next one sees what
// those who held the locks have written.
func (s *Store) lockKeys(ctx context.Context, rows []moved) error {
	return s.exec(ctx, "keys", `
		WITH theirs AS (
			SELECT k.id, m.model_id FROM `+movedRows+` m JOIN api_keys k ON k.user_id = m.user_id AND k.revoked_at IS NULL
		)
		SELECT id FROM api_keys WHERE id IN (
			SELECT t.id FROM theirs t JOIN api_key_models km ON km.api_key_id = t.id AND km.model_id = t.model_id
			UNION ALL
			SELECT t.id FROM theirs t JOIN cascade_keys ck ON ck.api_key_id = t.id AND ck.model_id = t.model_id AND NOT ck.restored)
		ORDER BY id FOR NO KEY UPDATE`, map[string]any{"rows": rowsOf(rows)})
}

// Cascade returns one cascade.
func (s *Store) Cascade(ctx context.Context, id uuid.UUID) (models.Cascade, error) {
	rows, err := s.cascades(ctx, "id = ?", id)
	if err == nil && len(rows) == 0 {
		err = models.Errorf(models.NotFound, "cascade %s not found", id)
	}
	if err != nil {
		return models.Cascade{}, err
	}
	return rows[0], nil
}

// cascades returns those that a condition selects.
func (s *Store) cascades(ctx context.Context, where string, args ...any) ([]models.Cascade, error) {
	rows := []models.Cascade{}
	return rows, s.scan(ctx, "cascades", &rows, "SELECT * FROM cascades WHERE "+where, args...)
}

// unsettledKey is SQL for a key k of which LiteLLM has neither followed nor refused the wish.
const unsettledKey = "k.observed_generation < k.generation AND k.failed_generation < k.generation"

// CascadeKeys returns up to limit of the keys that a cascade changed and LiteLLM has neither
// followed nor refused yet, and how many of them there are.
func (s *Store) CascadeKeys(ctx context.Context, id uuid.UUID, limit int) (unsettled []uuid.UUID, left int, err error) {
	var rows []struct {
		ID   uuid.UUID
		Left int
	}
	err = s.scan(ctx, "keys", &rows, `
		SELECT k.id, count(*) OVER () AS left FROM api_keys k
		WHERE `+unsettledKey+` AND EXISTS (SELECT FROM cascade_keys ck WHERE ck.cascade_id = ? AND ck.api_key_id = k.id)
		ORDER BY k.id LIMIT ?`, id, limit)
	unsettled = make([]uuid.UUID, len(rows))
	for i, r := range rows {
		unsettled[i], left = r.ID, r.Left
	}
	return unsettled, left, err
}

// ObserveCascade records that LiteLLM was seen to follow on every key of a cascade, as of its
// generation. An older observation never replaces a newer.
func (s *Store) ObserveCascade(ctx context.Context, id uuid.UUID, generation int64) (models.Cascade, error) {
	err := s.exec(ctx, "cascade", `
		UPDATE cascades SET observed_generation = ? WHERE id = ? AND observed_generation < ? AND generation >= ?`,
		generation, id, generation, generation)
	if err != nil {
		return models.Cascade{}, err
	}
	return s.Cascade(ctx, id)
}

// UnsettledCascades returns up to limit cascades on whose keys LiteLLM was not seen to follow
// for at least age, the longest waiting first.
func (s *Store) UnsettledCascades(ctx context.Context, age time.Duration, limit int) ([]models.Cascade, error) {
	return s.cascades(ctx, "observed_generation < generation AND updated_at <= ? ORDER BY updated_at, id LIMIT ?", time.Now().Add(-age), limit)
}

// UserCascades returns the cascades that concern this user alone, and on whose keys LiteLLM was
// not yet seen to follow.
func (s *Store) UserCascades(ctx context.Context, userID uuid.UUID) ([]models.Cascade, error) {
	return s.cascades(ctx, "observed_generation < generation AND user_id = ? ORDER BY created_at, id", userID)
}
