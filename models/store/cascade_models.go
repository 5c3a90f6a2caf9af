package store

import (
	"context"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// CascadeVanished ends the subscriptions to models that LiteLLM does not offer any more, or that
// an admin deleted: of up to limit models, each in a transaction and with a cascade of its own.
// It returns the cascades.
func (s *Store) CascadeVanished(ctx context.Context, limit int) ([]models.Cascade, error) {
	var gone []string
	err := s.scan(ctx, "models", &gone, `
		SELECT m.id FROM models m WHERE (m.availability <> 'available' OR m.deleted_at IS NOT NULL)
		AND EXISTS (SELECT FROM subscriptions s WHERE s.model_id = m.id AND s.status IN ('active', 'suspended'))
		ORDER BY m.id LIMIT ?`, limit)
	out := []models.Cascade{}
	for _, id := range gone {
		if err != nil {
			break
		}
		var c models.Cascade
		if c, err = s.vanish(ctx, id); err == nil && c.ID != uuid.Nil {
			out = append(out, c)
		}
	}
	return out, err
}

// vanish ends the subscriptions to one model, if it is still gone. What is being provisioned
// waits for the model's row, and sees that it is gone.
func (s *Store) vanish(ctx context.Context, modelID string) (models.Cascade, error) {
	var c models.Cascade
	err := s.InTx(ctx, func(tx *Store) error {
		var n int
		err := tx.scan(ctx, "model", &n, `
			SELECT count(*) FROM (SELECT id FROM models WHERE id = ? AND (availability <> 'available' OR deleted_at IS NOT NULL) FOR SHARE) m`, modelID)
		if err != nil || n == 0 {
			return err
		}
		ids, err := tx.lockedIDs(ctx, "s.model_id = ? AND s.status IN ('active', 'suspended')", modelID)
		if err != nil || len(ids) == 0 {
			return err
		}
		c, err = tx.cascade(ctx, models.CauseUnavailable, vanishing(models.System("FullSync")), ids...)
		return err
	})
	return c, err
}

// lockedIDs returns the subscriptions s that a condition selects, by id; they stay as they are
// until the transaction ends.
func (s *Store) lockedIDs(ctx context.Context, where string, args ...any) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	err := s.scan(ctx, "subscriptions", &ids, "SELECT s.id FROM subscriptions s WHERE "+where+" ORDER BY s.id FOR NO KEY UPDATE", args...)
	return ids, err
}

// asLeft is SQL for a subscription s that is still as a cascade of that model (?) and that cause
// (?) left it, and whose taking was not undone.
const asLeft = `EXISTS (
	SELECT FROM cascades c JOIN cascade_subscriptions cs ON cs.cascade_id = c.id
	WHERE c.model_id = ? AND c.cause = ? AND c.lifted_at IS NULL AND NOT cs.restored
	  AND cs.subscription_id = s.id AND cs.new_status = s.status AND cs.changed_at = s.status_changed_at)`

// RestoreReturned makes the subscriptions to models that LiteLLM offers again what they were
// before, if nobody has moved them since, and gives back to keys what was taken from them: of up
// to limit models, each in a transaction of its own. To a model that was restricted meanwhile
// they wait for an admin. It returns the cascades on which LiteLLM has to follow.
func (s *Store) RestoreReturned(ctx context.Context, limit int) ([]models.Cascade, error) {
	var back []string
	err := s.scan(ctx, "models", &back, `
		SELECT m.id FROM models m WHERE m.availability = 'available' AND m.deleted_at IS NULL AND EXISTS (
			SELECT FROM cascades c JOIN cascade_subscriptions cs ON cs.cascade_id = c.id
			JOIN subscriptions s ON s.id = cs.subscription_id AND s.status = cs.new_status AND s.status_changed_at = cs.changed_at
			WHERE c.model_id = m.id AND c.lifted_at IS NULL AND c.cause = 'model_unavailable' AND NOT cs.restored)
		ORDER BY m.id LIMIT ?`, limit)
	out := []models.Cascade{}
	for _, id := range back {
		if err != nil {
			break
		}
		var cascades []models.Cascade
		cascades, err = s.restoreReturned(ctx, id)
		out = append(out, cascades...)
	}
	return out, err
}

// restoreReturned does it for one model, if it is still there.
func (s *Store) restoreReturned(ctx context.Context, modelID string) (follow []models.Cascade, err error) {
	by := models.System("FullSync")
	err = s.InTx(ctx, func(tx *Store) error {
		var restricted []bool
		err := tx.scan(ctx, "model", &restricted, `
			SELECT restricted_access FROM models WHERE id = ? AND availability = 'available' AND deleted_at IS NULL FOR SHARE`, modelID)
		if err != nil || len(restricted) == 0 {
			return err
		}
		ids, err := tx.lockedIDs(ctx, asLeft, modelID, models.CauseUnavailable)
		if err != nil {
			return err
		}
		if restricted[0] {
			_, err := tx.move(ctx, move{
				step: models.StepRestore, to: models.SubscriptionPending, reason: models.ReasonRestricted, by: by, quiet: true,
				set: "requested_at = now(), reminded_at = NULL",
			}, ids...)
			return err
		}
		rows, err := tx.move(ctx, move{step: models.StepRestore, to: models.SubscriptionActive, reason: reasonReturned, by: by}, ids...)
		if err != nil {
			return err
		}
		follow, err = tx.settleActive(ctx, rows, by)
		return err
	})
	return follow, err
}
