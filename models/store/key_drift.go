package store

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"

	"github.com/litemaas/litemaas/models"
)

// stagedKey are the columns of sync_staged_keys.
var stagedKey = []string{"run_id", "hash", "alias", "user_id", "models", "blocked"}

// ReportKeys records how many of LiteLLM's keys a run has read so far.
func (s *Store) ReportKeys(ctx context.Context, runID uuid.UUID, listed int) error {
	return s.exec(ctx, "sync run", "UPDATE sync_runs SET keys_listed = ? WHERE id = ? AND keys_compared_at IS NULL", listed, runID)
}

// StageKeys puts LiteLLM's keys, as read, beside ours, for CompareKeys. Staging a run again
// replaces what was staged; a key that was read twice counts once. It is Conflict when the run has
// ended.
func (s *Store) StageKeys(ctx context.Context, runID uuid.UUID, keys []models.ProxyKey) error {
	byHash := make(map[string]models.ProxyKey, len(keys))
	for _, k := range keys {
		byHash[k.Hash] = k
	}
	rows := make([][]any, 0, len(byHash))
	for hash, k := range byHash {
		list, err := json.Marshal(append([]string{}, k.Models...))
		if err != nil {
			return models.Wrap(models.Internal, err, "staged keys")
		}
		rows = append(rows, []any{runID, hash, k.Alias, k.UserID, json.RawMessage(list), k.Blocked})
	}
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return kinded("staged keys", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit it does nothing
	tag, err := tx.Exec(ctx, `
		UPDATE sync_runs SET keys_listed = $2 WHERE id = $1 AND status = 'running' AND keys_compared_at IS NULL`, runID, len(rows))
	if err != nil {
		return kinded("sync run", err)
	}
	if tag.RowsAffected() == 0 {
		return models.Errorf(models.Conflict, "sync run %s is over", runID)
	}
	if _, err := tx.Exec(ctx, "DELETE FROM sync_staged_keys WHERE run_id = $1", runID); err != nil {
		return kinded("staged keys", err)
	}
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{"sync_staged_keys"}, stagedKey, pgx.CopyFromRows(rows)); err != nil {
		return kinded("staged keys", err)
	}
	return kinded("staged keys", tx.Commit(ctx))
}

// compareKeysSQL stores what a run found: one row for each of our keys that LiteLLM lacks or lets
// do something else, or that has models which its owner is not subscribed to, and for each of
// LiteLLM's that is not ours. What a key may call are the models of its row that its owner has an
// active subscription to; of a held one, which LiteLLM blocks, all of them. One that may call none
// LiteLLM must not have. What is being written just now, or was since the run began, is left out;
// so is a key whose time is over: LiteLLM sees to that by itself.
const compareKeysSQL = `
	INSERT INTO sync_key_differences (run_id, hash, key_id, alias, kind, fields)
	SELECT run.id, coalesce(k.hash, s.hash), k.id, coalesce(k.alias, s.alias),
	       CASE WHEN k.id IS NULL THEN 'unknown' WHEN s.hash IS NULL AND k.wanted <> '[]' THEN 'missing' ELSE 'different' END,
	       coalesce(differs.fields, '[]')
	FROM sync_runs run
	CROSS JOIN (
		(SELECT * FROM sync_staged_keys WHERE run_id = @run) s
		FULL JOIN (
			SELECT *, CASE WHEN revoked THEN '[]' ELSE allowed END AS wanted
			FROM (SELECT k.*, k.holds <> '[]' AS held, k.revoked_at IS NOT NULL AS revoked, coalesce(own.listed, '[]') AS listed,
			             coalesce(CASE WHEN k.holds <> '[]' THEN own.listed ELSE own.subscribed END, '[]') AS allowed
			      FROM api_keys k LEFT JOIN (
			            SELECT m.api_key_id, jsonb_agg(m.model_id ORDER BY m.model_id COLLATE "C") AS listed,
			                   jsonb_agg(m.model_id ORDER BY m.model_id COLLATE "C") FILTER (WHERE b.status = 'active') AS subscribed
			            FROM api_key_models m JOIN api_keys o ON o.id = m.api_key_id
			            LEFT JOIN subscriptions b ON b.user_id = o.user_id AND b.model_id = m.model_id
			            GROUP BY m.api_key_id) own ON own.api_key_id = k.id) ours) k ON k.hash = s.hash)
	CROSS JOIN LATERAL (
		SELECT jsonb_agg(jsonb_build_object('field', field, 'old', old, 'new', new) ORDER BY field) AS fields
		FROM (VALUES
			('models', s.models, k.wanted, s.models <> k.wanted OR s.hash IS NOT NULL AND k.wanted = '[]'),
			('blocked', to_jsonb(s.blocked), to_jsonb(k.held), k.wanted <> '[]' AND s.blocked <> k.held),
			(@subscriptions, k.listed, k.allowed, NOT k.revoked AND k.listed <> k.allowed)
		) f (field, old, new, differs)
		WHERE f.differs) differs
	WHERE run.id = @run
	  AND CASE WHEN k.id IS NULL THEN true
	           ELSE (differs.fields IS NOT NULL OR s.hash IS NULL AND k.wanted <> '[]')
	                AND (k.revoked OR k.expires_at IS NULL OR k.expires_at > now())
	                AND (k.observed_generation = k.generation OR k.failed_generation = k.generation) AND k.updated_at < run.started_at END`

// repairKeysSQL takes off what their owners are not subscribed to, and wishes anew for all that
// differ, so that they are written again.
var repairKeysSQL = []string{
	`SELECT k.id FROM api_keys k JOIN sync_key_differences d ON d.run_id = @run AND d.key_id = k.id ORDER BY k.id FOR NO KEY UPDATE OF k`,
	`DELETE FROM api_key_models m USING sync_key_differences d, api_keys k
	 WHERE d.run_id = @run AND k.id = d.key_id AND m.api_key_id = k.id AND k.holds = '[]' AND k.revoked_at IS NULL
	   AND NOT EXISTS (SELECT FROM subscriptions b WHERE b.user_id = k.user_id AND b.model_id = m.model_id AND b.status = 'active')`,
	`UPDATE api_keys k SET generation = generation + 1, updated_at = now() FROM sync_key_differences d WHERE d.run_id = @run AND d.key_id = k.id`,
}

// CompareKeys compares our keys with what was staged for a run, and with the subscriptions of
// their owners: it stores the differences, takes off models that their owners are not subscribed
// to, and wishes anew for those of ours that LiteLLM lacks or holds otherwise; a dry run only
// reports. Keys that only LiteLLM has are left alone. Comparing a run again changes nothing.
func (s *Store) CompareKeys(ctx context.Context, runID uuid.UUID) (models.SyncRun, error) {
	var run models.SyncRun
	err := s.InTx(ctx, func(tx *Store) error {
		if err := tx.lock(ctx, "keys of sync run "+runID.String()); err != nil {
			return err
		}
		var err error
		if run, err = tx.SyncRun(ctx, runID); err != nil || run.KeysComparedAt != nil {
			return err
		}
		steps := []string{compareKeysSQL}
		if !run.Options.DryRun {
			steps = append(steps, repairKeysSQL...)
		}
		steps = append(steps, "DELETE FROM sync_staged_keys WHERE run_id = @run", `
			UPDATE sync_runs SET (keys_missing, keys_different, keys_unknown, keys_compared_at) = (
				SELECT count(*) FILTER (WHERE kind = 'missing'), count(*) FILTER (WHERE kind = 'different'),
				       count(*) FILTER (WHERE kind = 'unknown'), now()
				FROM sync_key_differences WHERE run_id = @run)
			WHERE id = @run`)
		if !run.Options.DryRun {
			steps = append(steps, `
				INSERT INTO audit (actor, via, action, resource_type, resource_id, detail)
				SELECT 'system', 'FullSync', 'API_KEY_DRIFT', 'API_KEY', key_id::text,
				       jsonb_build_object('syncRunId', run_id, 'kind', kind, 'fields', fields)
				FROM sync_key_differences WHERE run_id = @run AND key_id IS NOT NULL ORDER BY key_id`)
		}
		for _, sql := range steps {
			err := tx.named(ctx, "keys of sync run", sql, map[string]any{"run": runID, "subscriptions": models.KeyFieldSubscriptions})
			if err != nil {
				return err
			}
		}
		run, err = tx.SyncRun(ctx, runID)
		return err
	})
	return run, err
}

// KeyDifferenceQuery selects a page of what a run found about keys.
type KeyDifferenceQuery struct {
	Page, Limit int                      // both from 1
	Kind        models.KeyDifferenceKind // "": any
}

// KeyDifferences returns a page of what a run found about keys, by kind and hash, and how much
// there is.
func (s *Store) KeyDifferences(ctx context.Context, runID uuid.UUID, q KeyDifferenceQuery) (page []models.KeyDifference, total int, err error) {
	where := gorm.G[models.KeyDifference](s.db).Where("run_id = ?", runID)
	if q.Kind != "" {
		where = where.Where("kind = ?", q.Kind)
	}
	n, err := where.Count(ctx, "hash")
	if err != nil {
		return nil, 0, kinded("differences", err)
	}
	page, err = where.Order("kind, hash").Offset((q.Page - 1) * q.Limit).Limit(q.Limit).Find(ctx)
	return page, int(n), kinded("differences", err)
}
