package store

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// disputed is what the row of a key k said in the fields that a person has yet to decide about.
const disputed = `(SELECT jsonb_object_agg(c.field, c.ours) FROM sync_conflicts c WHERE c.key_id = k.id AND c.state = 'open') AS disputed`

// closeConflictsSQL ends the conflicts that a run did not find again, in keys that it looked at:
// both say the same by now, or another strategy has decided.
const closeConflictsSQL = `
	UPDATE sync_conflicts c SET state = 'resolved', resolution = e.how, resolved_by = 'system', resolved_at = now()
	FROM (
		SELECT o.id, CASE WHEN k.revoked_at IS NOT NULL OR k.expires_at <= now() OR d.kind = 'missing' THEN 'ours' ELSE coalesce(f.wins, 'agreed') END AS how
		FROM sync_runs run CROSS JOIN sync_conflicts o JOIN api_keys k ON k.id = o.key_id
		LEFT JOIN sync_key_differences d ON d.run_id = @run AND d.key_id = k.id
		LEFT JOIN LATERAL (SELECT coalesce(f->>'wins', 'ours') AS wins FROM jsonb_array_elements(d.fields) f WHERE f->>'field' = o.field) f ON true
		WHERE run.id = @run AND o.state = 'open' AND f.wins IS DISTINCT FROM 'open'
		  AND (k.observed_generation = k.generation OR k.failed_generation = k.generation) AND k.updated_at < run.started_at) e
	WHERE c.id = e.id`

// openConflictsSQL records what a person has to decide, once.
const openConflictsSQL = `
	INSERT INTO sync_conflicts AS c (id, key_id, field, ours, theirs, run_id)
	SELECT gen_random_uuid(), d.key_id, f->>'field', f->'new', f->'old', d.run_id
	FROM sync_key_differences d, jsonb_array_elements(d.fields) f
	WHERE d.run_id = @run AND d.key_id IS NOT NULL AND f->>'wins' = 'open'
	ON CONFLICT (key_id, field) WHERE state = 'open'
	DO UPDATE SET ours = excluded.ours, theirs = excluded.theirs, run_id = excluded.run_id, seen_at = now()`

// conflictColumns are the columns of a conflict c of a key k.
const conflictColumns = `c.id, c.key_id, c.field, c.ours, c.theirs, c.run_id, c.state, c.resolution, c.resolved_by, c.resolved_at, c.created_at, c.seen_at,
	k.name AS key_name, k.prefix AS key_prefix, k.user_id AS owner_id, k.observed_generation >= k.generation AS key_settled`

// KeyConflictQuery selects a page of the conflicts.
type KeyConflictQuery struct {
	Page, Limit int                     // both from 1
	State       models.KeyConflictState // "": any
	KeyID       *uuid.UUID              // nil: any
}

// KeyConflicts returns a page of the conflicts, the newest first, and how many there are.
func (s *Store) KeyConflicts(ctx context.Context, q KeyConflictQuery) (page []models.KeyConflict, total int, err error) {
	const where = ` FROM sync_conflicts c JOIN api_keys k ON k.id = c.key_id
		WHERE (@state = '' OR c.state = @state) AND (CAST(@key AS uuid) IS NULL OR c.key_id = @key)`
	args := map[string]any{"state": string(q.State), "key": q.KeyID, "limit": q.Limit, "offset": (q.Page - 1) * q.Limit}
	if err := s.scan(ctx, "conflicts", &total, "SELECT count(*)"+where, args); err != nil {
		return nil, 0, err
	}
	page = []models.KeyConflict{}
	err = s.scan(ctx, "conflicts", &page, "SELECT "+conflictColumns+where+" ORDER BY c.created_at DESC, c.id LIMIT @limit OFFSET @offset", args)
	return page, total, err
}

// KeyConflict returns one conflict.
func (s *Store) KeyConflict(ctx context.Context, id uuid.UUID) (models.KeyConflict, error) {
	var rows []models.KeyConflict
	err := s.scan(ctx, "conflict", &rows, "SELECT "+conflictColumns+" FROM sync_conflicts c JOIN api_keys k ON k.id = c.key_id WHERE c.id = ?", id)
	if err == nil && len(rows) == 0 {
		err = models.Errorf(models.NotFound, "conflict %s not found", id)
	}
	if err != nil {
		return models.KeyConflict{}, err
	}
	return rows[0], nil
}

// ResolveKeyConflict decides a conflict: the row stays, or takes over what LiteLLM was seen to
// hold; either way LiteLLM must follow it from now on. To decide the same again changes nothing;
// it is Conflict when something else was decided.
func (s *Store) ResolveKeyConflict(ctx context.Context, id uuid.UUID, use models.KeySide, by models.Actor) (models.KeyConflict, error) {
	var c models.KeyConflict
	err := s.InTx(ctx, func(tx *Store) error {
		var err error
		if c, err = tx.KeyConflict(ctx, id); err != nil {
			return err
		}
		if err := tx.exec(ctx, "API key", "SELECT id FROM api_keys WHERE id = ? FOR NO KEY UPDATE", c.KeyID); err != nil {
			return err
		}
		n, err := tx.affect(ctx, "conflict", `
			UPDATE sync_conflicts SET state = 'resolved', resolution = ?, resolved_by = ?, resolved_at = now() WHERE id = ? AND state = 'open'`,
			use, by.ID, id)
		if err != nil {
			return err
		}
		c, err = tx.KeyConflict(ctx, id)
		switch {
		case err != nil:
			return err
		case n == 0 && c.Resolution == use:
			return nil
		case n == 0:
			return models.Errorf(models.Conflict, "the conflict is resolved already: %s", c.Resolution)
		}
		if err := tx.settleConflict(ctx, c, use, by); err != nil {
			return err
		}
		c, err = tx.KeyConflict(ctx, id)
		return err
	})
	return c, err
}

// settleConflict makes the row of the key, which is locked, what was decided.
func (s *Store) settleConflict(ctx context.Context, c models.KeyConflict, use models.KeySide, by models.Actor) error {
	k, err := s.Key(ctx, c.KeyID)
	if err != nil {
		return err
	}
	before := k.Proxy().Field(c.Field)
	if use == models.SideTheirs {
		seen, err := c.Seen()
		if err != nil {
			return err
		}
		taken, ok := k.Take(seen, c.Field)
		if !ok {
			return models.Errorf(models.Invalid, "what LiteLLM holds in %s is nothing that a key can have here", c.Field).On("use")
		}
		k = taken
	}
	raw, err := json.Marshal(newTakenFields(k))
	if err != nil {
		return models.Wrap(models.Internal, err, "API key")
	}
	err = s.exec(ctx, "API key", `
		UPDATE api_keys k SET max_budget = t.max_budget, budget_duration = t.budget_duration, tpm_limit = t.tpm_limit, rpm_limit = t.rpm_limit,
		       max_parallel = t.max_parallel, model_tpm = t.model_tpm, model_rpm = t.model_rpm, metadata = t.metadata,
		       generation = generation + 1, updated_at = now()
		FROM jsonb_to_record(CAST(? AS jsonb)) AS t (max_budget bigint, budget_duration text, tpm_limit bigint, rpm_limit bigint,
		                                             max_parallel bigint, model_tpm jsonb, model_rpm jsonb, metadata jsonb)
		WHERE k.id = ?`, string(raw), c.KeyID)
	if err != nil {
		return err
	}
	return s.Audit(ctx, by, models.Event{
		Action: models.AuditKeyConflictResolve, ResourceType: models.AuditOfKey, ResourceID: c.KeyID.String(),
		Before: map[string]any{c.Field: before}, After: map[string]any{c.Field: k.Proxy().Field(c.Field)},
		Detail: map[string]any{"conflictId": c.ID, "use": use, "theirs": c.Theirs},
	})
}
