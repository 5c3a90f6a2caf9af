package store

import (
	"context"

	"github.com/litemaas/litemaas/models"
)

// LLMEdit changes what is ours of a model; nil leaves a field as it is.
type LLMEdit struct {
	RestrictedAccess *bool
	Description      *string
}

// EditLLM changes a model. From the commit on that restricts it, nobody has it without an
// admin's approval: its subscriptions wait for one. When the restriction goes, so do they: those
// that it made wait, and the others without a denial, become active. It returns the cascade that
// keys have to follow, zero if there is none, and is NotFound for an unknown model.
func (s *Store) EditLLM(ctx context.Context, modelID string, e LLMEdit, by models.Actor) (models.Cascade, error) {
	var c models.Cascade
	err := s.InTx(ctx, func(tx *Store) error {
		var rows []models.LLM
		err := tx.scan(ctx, "model", &rows, `
			SELECT id, description, restricted_access FROM models WHERE id = ? AND deleted_at IS NULL FOR NO KEY UPDATE`, modelID)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return models.Errorf(models.NotFound, "model %s not found", modelID)
		}
		was := rows[0]
		if e.Description != nil && *e.Description != was.Description {
			if err := tx.setLLM(ctx, models.AuditModelUpdate, modelID, "description", was.Description, *e.Description, by); err != nil {
				return err
			}
		}
		if e.RestrictedAccess == nil || *e.RestrictedAccess == was.RestrictedAccess {
			return nil
		}
		err = tx.setLLM(ctx, models.AuditModelRestriction, modelID, "restricted_access", was.RestrictedAccess, *e.RestrictedAccess, by)
		if err != nil {
			return err
		}
		if *e.RestrictedAccess {
			c, err = tx.restrict(ctx, modelID, by)
		} else {
			c, err = tx.release(ctx, modelID, by)
		}
		return err
	})
	return c, err
}

// setLLM changes one column.
func (s *Store) setLLM(ctx context.Context, action models.AuditAction, modelID, column string, was, now any, by models.Actor) error {
	if err := s.exec(ctx, "model", "UPDATE models SET "+column+" = ?, updated_at = now() WHERE id = ?", now, modelID); err != nil {
		return err
	}
	field := map[string]string{"description": "description", "restricted_access": "restrictedAccess"}[column]
	return s.Audit(ctx, by, models.Event{
		Action: action, ResourceType: models.AuditOfModel, ResourceID: modelID,
		Before: map[string]any{field: was}, After: map[string]any{field: now},
	})
}

// restrict has the subscriptions to a model wait for an admin: those that may be used, and those
// that were about to be without an admin's word.
func (s *Store) restrict(ctx context.Context, modelID string, by models.Actor) (models.Cascade, error) {
	ids, err := s.lockedIDs(ctx, `s.model_id = ? AND (s.status IN ('active', 'suspended') OR s.status = 'pending' AND s.wanted <> '' AND s.wanted_by IN (s.user_id::text, ?))`,
		modelID, models.System("").ID)
	if err != nil || len(ids) == 0 {
		return models.Cascade{}, err
	}
	m := move{
		step: models.StepRefuse, to: models.SubscriptionPending, reason: models.ReasonRestricted, by: by, quiet: true,
		set: "requested_at = now(), reminded_at = NULL",
	}
	if _, err := s.move(ctx, m, ids...); err != nil {
		return models.Cascade{}, err
	}
	m.step, m.quiet = models.StepRestrict, false
	return s.cascade(ctx, models.CauseRestricted, m, ids...)
}

// waiting is SQL for a subscription s to a model (?) that waits for an admin because of the
// model's restriction alone.
const waiting = "s.model_id = ? AND s.status = 'pending' AND s.wanted = '' AND s.denied_at IS NULL"

// release makes the subscriptions active that waited because of a restriction; those whose
// owners LiteLLM was not yet seen to hold are wanted so. It returns the cascade by which most is
// given back.
func (s *Store) release(ctx context.Context, modelID string, admin models.Actor) (models.Cascade, error) {
	by := models.System(admin.Via)
	ids, err := s.lockedIDs(ctx, waiting, modelID)
	if err != nil || len(ids) == 0 {
		return models.Cascade{}, err
	}
	restored, err := s.lockedIDs(ctx, waiting+" AND "+asLeft+" AND "+ownerSettled, modelID, modelID, models.CauseRestricted)
	if err != nil {
		return models.Cascade{}, err
	}
	released, err := s.lockedIDs(ctx, waiting+" AND NOT "+asLeft+" AND "+ownerSettled, modelID, modelID, models.CauseRestricted)
	if err != nil {
		return models.Cascade{}, err
	}
	m := move{step: models.StepRestore, to: models.SubscriptionActive, reason: models.ReasonReleased, by: by}
	rows, err := s.move(ctx, m, restored...)
	if err != nil {
		return models.Cascade{}, err
	}
	m.step = models.StepRelease
	others, err := s.move(ctx, m, released...)
	if err != nil {
		return models.Cascade{}, err
	}
	if err := s.wantReleased(ctx, modelID, by); err != nil {
		return models.Cascade{}, err
	}
	return largest(s.settleActive(ctx, append(rows, others...), by))
}

// ownerSettled is SQL for a subscription s whose owner LiteLLM was seen to hold as he is.
const ownerSettled = "EXISTS (SELECT FROM users u WHERE u.id = s.user_id AND u.observed_generation >= u.generation)"

// wantReleased has what still waits made active as soon as LiteLLM holds the user.
func (s *Store) wantReleased(ctx context.Context, modelID string, by models.Actor) error {
	var rows []moved
	err := s.scan(ctx, "subscriptions", &rows, `
		UPDATE subscriptions s SET wanted = 'active', wanted_at = clock_timestamp(), wanted_by = ?, wanted_reason = ?, updated_at = now()
		WHERE `+waiting+` RETURNING id, user_id, model_id, status AS old, status AS new, wanted_at AS at`, by.ID, models.ReasonReleased, modelID)
	if err != nil {
		return err
	}
	return s.auditMoves(ctx, move{step: models.StepRelease, reason: models.ReasonReleased, by: by, wish: models.SubscriptionActive}, rows)
}

// largest is the cascade with the most keys.
func largest(cascades []models.Cascade, err error) (models.Cascade, error) {
	var most models.Cascade
	for _, c := range cascades {
		if c.Keys >= most.Keys {
			most = c
		}
	}
	return most, err
}
