package store

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// keyColumns are the columns of a key k but the sealed secret, with the models that it may call,
// sorted as Go sorts.
const keyColumns = `k.id, k.user_id, k.team_id, k.name, k.alias, k.hash, k.prefix, k.holds, k.max_budget, k.budget_duration, k.tpm_limit, k.rpm_limit,
	k.max_parallel, k.model_tpm, k.model_rpm, k.metadata, ` + spentByKey + ` AS spend, k.raised, k.throttle_rpm, k.throttle_tpm, nullif(k.blocked_models, '[]') AS blocked_models, k.expires_at, k.revoked_at,
	k.soft_budget, k.model_max_budget, k.tags, k.permissions, k.guardrails, k.subscription_id, k.created_by, k.revoked_by, k.revoked_why,
	k.deleted_at, k.last_used_at, k.predecessor, k.retires_at,
	k.generation, k.observed_generation, k.failed_generation, k.reset_generation, k.failure, k.created_at, k.updated_at,
	(SELECT coalesce(jsonb_agg(m.model_id ORDER BY m.model_id COLLATE "C"), '[]') FROM api_key_models m WHERE m.api_key_id = k.id) AS models`

// spentByKey is SQL for what a key k spent in its budget period.
const spentByKey = `coalesce((SELECT CASE WHEN b.ends_at <= now() AND b.ends_at > b.starts_at THEN 0 ELSE b.spent END
	FROM budgets b WHERE b.subject_id = k.id AND b.subject_type = 'key'), 0)`

// Key returns one key.
func (s *Store) Key(ctx context.Context, id uuid.UUID) (models.Key, error) {
	rows, err := s.KeysByID(ctx, []uuid.UUID{id})
	if err == nil && len(rows) == 0 {
		err = models.Errorf(models.NotFound, "API key %s not found", id)
	}
	if err != nil {
		return models.Key{}, err
	}
	return rows[0], nil
}

// UserKeys returns the keys of a user, the newest first, without their secrets.
func (s *Store) UserKeys(ctx context.Context, userID uuid.UUID) ([]models.Key, error) {
	rows := []models.Key{}
	err := s.scan(ctx, "API keys", &rows, "SELECT "+keyColumns+" FROM api_keys k WHERE k.user_id = ? ORDER BY k.created_at DESC, k.id", userID)
	return rows, err
}

// CreateKey stores a new key as it is, whose ID, owner, name, alias, hash, prefix and sealed secret
// are given, and reads the rest back into it. It judges nothing: see IssueKey. It is Conflict when
// the alias or the hash is another key's, and Invalid when its owner, its team or one of its models
// is unknown.
func (s *Store) CreateKey(ctx context.Context, k *models.Key, by models.Actor) error {
	return s.createKey(ctx, k, models.AuditUserKeyCreate, by)
}

func (s *Store) createKey(ctx context.Context, k *models.Key, action models.AuditAction, by models.Actor) error {
	k.Models = slices.Compact(slices.Sorted(slices.Values(k.Models)))
	k.CreatedBy = by.ID
	row, err := rowOfKey(k)
	if err != nil {
		return err
	}
	return s.InTx(ctx, func(tx *Store) error {
		err := tx.named(ctx, "API key", `
			INSERT INTO api_keys (id, user_id, team_id, name, alias, hash, prefix, sealed, holds, max_budget, budget_duration, tpm_limit, rpm_limit,
			                      max_parallel, model_tpm, model_rpm, metadata, expires_at,
			                      soft_budget, model_max_budget, tags, permissions, guardrails, subscription_id, created_by)
			VALUES (@id, @user, @team, @name, @alias, @hash, @prefix, @sealed, CAST(@holds AS jsonb), @budget, @period, @tpm, @rpm,
			        @parallel, CAST(@modelTPM AS jsonb), CAST(@modelRPM AS jsonb), CAST(@metadata AS jsonb), @expires,
			        @soft, CAST(@modelBudgets AS jsonb), CAST(@tags AS jsonb), CAST(@permissions AS jsonb), CAST(@guardrails AS jsonb), @subscription, @creator)`, row)
		if err != nil {
			return err
		}
		err = tx.named(ctx, "the models of the API key", `
			INSERT INTO api_key_models (api_key_id, model_id) SELECT @id, jsonb_array_elements_text(CAST(@models AS jsonb))`, row)
		if err != nil {
			return err
		}
		if err := tx.bindKey(ctx, k.ID, k.Spend); err != nil {
			return err
		}
		if *k, err = tx.Key(ctx, k.ID); err != nil {
			return err
		}
		after := auditedKey(k)
		after["userId"], after["prefix"] = k.UserID, k.Prefix
		return tx.Audit(ctx, by, models.Event{Action: action, ResourceType: models.AuditOfKey, ResourceID: k.ID.String(), After: after})
	})
}

// rowOfKey is what a statement writes of a key, by name.
func rowOfKey(k *models.Key) (map[string]any, error) {
	row := map[string]any{
		"id": k.ID, "user": k.UserID, "team": k.TeamID, "name": k.Name, "alias": k.Alias, "hash": k.Hash, "prefix": k.Prefix, "sealed": k.Sealed,
		"budget": k.Limits.MaxBudget, "period": k.Limits.BudgetDuration, "tpm": k.Limits.TPM, "rpm": k.Limits.RPM,
		"parallel": k.MaxParallel, "expires": k.ExpiresAt,
		"soft": k.Terms.SoftBudget, "subscription": k.Terms.SubscriptionID, "creator": k.CreatedBy,
	}
	for name, value := range map[string]any{
		"holds": append([]models.Hold{}, k.Holds...), "models": append([]string{}, k.Models...),
		"modelTPM": orEmpty(k.ModelTPM), "modelRPM": orEmpty(k.ModelRPM), "metadata": orObject(k.Metadata),
		"modelBudgets": orEmpty(k.Terms.ModelMaxBudget), "permissions": orEmpty(k.Terms.Permissions),
		"tags": append([]string{}, k.Terms.Tags...), "guardrails": append([]string{}, k.Terms.Guardrails...),
	} {
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, models.Wrap(models.Invalid, err, "API key: its %s", name)
		}
		row[name] = string(raw)
	}
	return row, nil
}

// auditedKey is what the audit log says of a key: nothing by which one could use it.
func auditedKey(k *models.Key) map[string]any {
	return map[string]any{
		"name": k.Name, "models": k.Models, "expiresAt": k.ExpiresAt, "maxBudget": k.Limits.MaxBudget, "budgetDuration": k.Limits.BudgetDuration,
		"tpmLimit": k.Limits.TPM, "rpmLimit": k.Limits.RPM, "softBudget": k.Terms.SoftBudget, "maxParallelRequests": k.MaxParallel,
	}
}

func orEmpty[T any](byName map[string]T) map[string]T {
	if byName == nil {
		return map[string]T{}
	}
	return byName
}

func orObject(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("{}")
	}
	return raw
}

// ObserveKey records that LiteLLM was seen to hold the key as it was at the generation of the
// proof. An older observation never replaces a newer.
func (s *Store) ObserveKey(ctx context.Context, seen models.KeyProof) (models.Key, error) {
	err := s.named(ctx, "API key", `
		UPDATE api_keys SET observed_generation = @seen, failure = CASE WHEN generation = @seen THEN '' ELSE failure END
		WHERE id = @id AND observed_generation < @seen AND generation >= @seen`,
		map[string]any{"id": seen.ID, "seen": seen.Generation})
	if err != nil {
		return models.Key{}, err
	}
	return s.Key(ctx, seen.ID)
}

// FailKey records that LiteLLM refuses the key as it was at generation, and why, in words. A
// newer wish is not touched by it.
func (s *Store) FailKey(ctx context.Context, id uuid.UUID, generation int64, why string, by models.Actor) error {
	return s.InTx(ctx, func(tx *Store) error {
		n, err := tx.affect(ctx, "API key", `
			UPDATE api_keys SET failed_generation = ?, failure = ?
			WHERE id = ? AND failed_generation < ? AND observed_generation < ? AND generation >= ?`,
			generation, why, id, generation, generation, generation)
		if err != nil || n == 0 {
			return err
		}
		return tx.Audit(ctx, by, models.Event{
			Action: models.AuditUserKeyRefused, ResourceType: models.AuditOfKey, ResourceID: id.String(),
			Detail: map[string]any{"generation": generation}, Failure: why,
		})
	})
}

// UnsettledKeys returns up to limit keys that LiteLLM has neither followed nor refused for at
// least age, the longest waiting first.
func (s *Store) UnsettledKeys(ctx context.Context, age time.Duration, limit int) ([]uuid.UUID, error) {
	ids, _, err := s.UnsettledKeysAfter(ctx, age, models.Place{}, limit)
	return ids, err
}
