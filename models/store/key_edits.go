package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// KeyEdit changes a key of a user.
type KeyEdit struct {
	UserID, ID uuid.UUID
	Ask        models.AskedKey
	Bounds     models.KeyDefaults // that the key must keep to; zero: it is an admin's edit
	Admin      bool
}

// ChangeKey changes a key as somebody asks, and reads it back. LiteLLM has to follow when it holds
// anything of what changes. A model that is put on the key needs an active subscription of its
// owner; whoever says which models there are to be wants none of those back that were taken from
// the key before. It is NotFound when the key is not that user's, Conflict when it is revoked, and
// Invalid for what it may not have.
func (s *Store) ChangeKey(ctx context.Context, e KeyEdit, by models.Actor) (models.Key, error) {
	var k models.Key
	err := s.InTx(ctx, func(tx *Store) error {
		active, err := tx.lockSubscribed(ctx, e.UserID, e.Ask.Models)
		if err != nil {
			return err
		}
		was, err := tx.lockedKey(ctx, e.UserID, e.ID)
		if err != nil {
			return err
		}
		if was.RevokedAt != nil {
			return models.Errorf(models.Conflict, "the key is revoked")
		}
		now := time.Now()
		if k, err = e.Ask.Change(was, e.Bounds, now); err != nil {
			return err
		}
		added := without(k.Models, was.Models)
		if missing := without(added, active); len(missing) > 0 {
			return models.Errorf(models.Invalid, "Cannot add models without active subscriptions: %s", strings.Join(missing, ", ")).On("modelIds")
		}
		wish := len(was.Differences(k.Proxy())) > 0 || was.Expired() != k.Expired()
		if err := tx.writeKey(ctx, &k, wish); err != nil {
			return err
		}
		if !slices.Equal(was.Models, k.Models) {
			if err := tx.changeKeyModels(ctx, &k); err != nil {
				return err
			}
		}
		action := models.AuditUserKeyUpdate
		if e.Admin {
			action = models.AuditAdminKeyUpdate
		}
		err = tx.Audit(ctx, by, models.Event{
			Action: action, ResourceType: models.AuditOfKey, ResourceID: e.ID.String(),
			Detail: map[string]any{"userId": e.UserID}, Before: auditedKey(&was), After: auditedKey(&k),
		})
		if err != nil {
			return err
		}
		k, err = tx.Key(ctx, e.ID)
		return err
	})
	return k, err
}

// lockedKey returns a key of a user that lists show, and that stays as it is until the transaction
// ends. It is two statements: the second sees what those who held the lock have written.
func (s *Store) lockedKey(ctx context.Context, userID, id uuid.UUID) (models.Key, error) {
	n, err := s.affect(ctx, "API key", "SELECT FROM api_keys WHERE id = ? AND user_id = ? AND deleted_at IS NULL FOR NO KEY UPDATE", id, userID)
	if err == nil && n == 0 {
		err = models.Errorf(models.NotFound, "API key not found")
	}
	if err != nil {
		return models.Key{}, err
	}
	k, err := s.Key(ctx, id)
	if err == nil && k.DeletedAt != nil {
		err = models.Errorf(models.NotFound, "API key not found")
	}
	return k, err
}

// writeKey stores what may change of a locked key, but its models; wish says that LiteLLM has to
// follow. With another time of expiry, its notices are sent anew.
func (s *Store) writeKey(ctx context.Context, k *models.Key, wish bool) error {
	row, err := rowOfKey(k)
	if err != nil {
		return err
	}
	row["wish"] = 0
	if wish {
		row["wish"] = 1
	}
	return s.named(ctx, "API key", `
		UPDATE api_keys SET name = @name, max_budget = @budget, budget_duration = @period, tpm_limit = @tpm, rpm_limit = @rpm,
		       max_parallel = @parallel, model_tpm = CAST(@modelTPM AS jsonb), model_rpm = CAST(@modelRPM AS jsonb), metadata = CAST(@metadata AS jsonb),
		       noticed_days = CASE WHEN expires_at IS NOT DISTINCT FROM @expires THEN noticed_days END, expires_at = @expires,
		       soft_budget = @soft, model_max_budget = CAST(@modelBudgets AS jsonb), tags = CAST(@tags AS jsonb),
		       permissions = CAST(@permissions AS jsonb), guardrails = CAST(@guardrails AS jsonb),
		       generation = generation + @wish, updated_at = now()
		WHERE id = @id`, row)
}

// changeKeyModels makes the models of a locked key what they are in k, for good.
func (s *Store) changeKeyModels(ctx context.Context, k *models.Key) error {
	args := map[string]any{"id": k.ID, "models": rowsOf(k.Models)}
	err := s.named(ctx, "the models of the API key", `
		WITH wanted AS (SELECT jsonb_array_elements_text(CAST(@models AS jsonb)) AS model_id), gone AS (
			DELETE FROM api_key_models WHERE api_key_id = @id AND model_id NOT IN (SELECT model_id FROM wanted)
		)
		INSERT INTO api_key_models (api_key_id, model_id) SELECT @id, model_id FROM wanted ON CONFLICT DO NOTHING`, args)
	if err != nil {
		return err
	}
	return s.named(ctx, "cascades", "UPDATE cascade_keys SET restored = true WHERE api_key_id = @id AND model_id <> '' AND NOT restored", args)
}

// KeyEnd says how a key of a user ends.
type KeyEnd struct {
	UserID, ID uuid.UUID
	Why        string
	Delete     bool // lists leave it out from now on
	Admin      bool
}

// EndKey revokes a key: nothing brings it back, and LiteLLM has to follow. One that is revoked may
// still be deleted; what a deleted one used stays its own. It is NotFound when the key is not that
// user's, or is deleted, and Conflict when it is revoked already and shall only be revoked.
func (s *Store) EndKey(ctx context.Context, e KeyEnd, by models.Actor) (models.Key, error) {
	var k models.Key
	err := s.InTx(ctx, func(tx *Store) error {
		was, err := tx.lockedKey(ctx, e.UserID, e.ID)
		if err != nil {
			return err
		}
		if was.RevokedAt != nil && !e.Delete {
			return models.Errorf(models.Conflict, "the key is revoked already")
		}
		err = tx.named(ctx, "API key", `
			UPDATE api_keys SET generation = CASE WHEN revoked_at IS NULL THEN generation + 1 ELSE generation END,
			       revoked_by = CASE WHEN revoked_at IS NULL THEN @by ELSE revoked_by END,
			       revoked_why = CASE WHEN revoked_at IS NULL THEN @why ELSE revoked_why END,
			       revoked_at = coalesce(revoked_at, clock_timestamp()), deleted_at = CASE WHEN @delete THEN clock_timestamp() END,
			       updated_at = now()
			WHERE id = @id`, map[string]any{"id": e.ID, "by": by.ID, "why": text(e.Why, maxReason), "delete": e.Delete})
		if err != nil {
			return err
		}
		if k, err = tx.Key(ctx, e.ID); err != nil {
			return err
		}
		return tx.Audit(ctx, by, models.Event{
			Action: e.action(), ResourceType: models.AuditOfKey, ResourceID: e.ID.String(),
			Detail: map[string]any{"userId": e.UserID, "reason": text(e.Why, maxReason)}, Before: auditedKey(&was),
		})
	})
	return k, err
}

func (e KeyEnd) action() models.AuditAction {
	switch {
	case e.Admin && e.Delete:
		return models.AuditAdminKeyDelete
	case e.Admin:
		return models.AuditAdminKeyRevoke
	case e.Delete:
		return models.AuditUserKeyDelete
	default:
		return models.AuditUserKeyRevoke
	}
}

// ResetKeySpend has what a key spent in its budget period counted from zero, here and at LiteLLM.
// It is NotFound when the key is not that user's, and Conflict when it is revoked.
func (s *Store) ResetKeySpend(ctx context.Context, userID, id uuid.UUID, admin bool, by models.Actor) (models.Key, error) {
	action := models.AuditUserKeySpend
	if admin {
		action = models.AuditAdminKeySpend
	}
	var k models.Key
	err := s.InTx(ctx, func(tx *Store) error {
		was, err := tx.lockedKey(ctx, userID, id)
		if err != nil {
			return err
		}
		if was.RevokedAt != nil {
			return models.Errorf(models.Conflict, "the key is revoked")
		}
		err = tx.exec(ctx, "API key", "UPDATE api_keys SET generation = generation + 1, reset_generation = generation + 1, updated_at = now() WHERE id = ?", id)
		if err != nil {
			return err
		}
		if err := tx.zeroBudget(ctx, models.BudgetOfKey, id); err != nil {
			return err
		}
		if k, err = tx.Key(ctx, id); err != nil {
			return err
		}
		return tx.Audit(ctx, by, models.Event{
			Action: action, ResourceType: models.AuditOfKey, ResourceID: id.String(),
			Detail: map[string]any{"userId": userID}, Before: map[string]any{"currentSpend": was.Spend}, After: map[string]any{"currentSpend": k.Spend},
		})
	})
	return k, err
}
