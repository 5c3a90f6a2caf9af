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
var stagedKey = []string{"run_id", "hash", "alias", "user_id", "models", "blocked", "suspect", "own", "seen"}

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
		seen, err := json.Marshal(k)
		if err != nil {
			return models.Wrap(models.Internal, err, "staged keys")
		}
		rows = append(rows, []any{
			runID, hash, k.Alias, k.UserID, json.RawMessage(list), k.Blocked, k.ClaimsOurs(), k.LiteLLMs(), json.RawMessage(seen),
		})
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
// active subscription to; of a held one, which LiteLLM blocks, all of them; and none whose own budget is used up. One that may call none
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
			SELECT *, CASE WHEN revoked THEN '[]' WHEN blocked_models = '[]' THEN allowed
			               ELSE (SELECT coalesce(jsonb_agg(m ORDER BY m COLLATE "C"), '[]') FROM jsonb_array_elements_text(allowed) m WHERE NOT jsonb_exists(blocked_models, m))
			               END AS wanted
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

// wishedKeys are the differences d of a run that are written to LiteLLM again: all of ours, but
// those that differ only in what a person has to decide.
const wishedKeys = `d.run_id = @run AND d.key_id IS NOT NULL AND (d.kind = 'missing'
	OR EXISTS (SELECT FROM jsonb_array_elements(d.fields) f WHERE coalesce(f->>'wins', '') <> 'open'))`

// repairKeysSQL takes off what their owners are not subscribed to, takes over what LiteLLM's word
// counts about, records what a person has to decide, and wishes anew for the rest that differs, so
// that it is written again. What somebody changed since the run began is his.
var repairKeysSQL = []string{
	`SELECT k.id FROM api_keys k JOIN sync_key_differences d ON d.run_id = @run AND d.key_id = k.id ORDER BY k.id FOR NO KEY UPDATE OF k`,
	`DELETE FROM api_key_models m USING sync_key_differences d, api_keys k
	 WHERE d.run_id = @run AND k.id = d.key_id AND m.api_key_id = k.id AND k.holds = '[]' AND k.revoked_at IS NULL
	   AND NOT EXISTS (SELECT FROM subscriptions b WHERE b.user_id = k.user_id AND b.model_id = m.model_id AND b.status = 'active')`,
	`UPDATE api_keys k SET max_budget = t.max_budget, budget_duration = t.budget_duration, tpm_limit = t.tpm_limit, rpm_limit = t.rpm_limit,
	        max_parallel = t.max_parallel, model_tpm = t.model_tpm, model_rpm = t.model_rpm, metadata = t.metadata
	 FROM sync_runs run, sync_key_differences d,
	      jsonb_to_record(d.takes) AS t (max_budget bigint, budget_duration text, tpm_limit bigint, rpm_limit bigint,
	                                     max_parallel bigint, model_tpm jsonb, model_rpm jsonb, metadata jsonb)
	 WHERE run.id = @run AND d.run_id = @run AND d.takes IS NOT NULL AND k.id = d.key_id AND k.updated_at < run.started_at`,
	closeConflictsSQL,
	openConflictsSQL,
	`UPDATE api_keys k SET generation = generation + 1, updated_at = now() FROM sync_key_differences d WHERE ` + wishedKeys + ` AND d.key_id = k.id`,
}

// CompareKeys compares our keys with what was staged for a run, and with the subscriptions of
// their owners: it stores the differences, takes off models that their owners are not subscribed
// to, and wishes anew for those of ours that LiteLLM lacks or holds otherwise, as far as ours is
// the word that counts; a dry run only reports. Keys that only LiteLLM has are recorded, and
// quarantined if the rules say so. Comparing a run again changes nothing.
func (s *Store) CompareKeys(ctx context.Context, runID uuid.UUID, rules models.KeySync) (models.SyncRun, error) {
	var run models.SyncRun
	err := s.InTx(ctx, func(tx *Store) error {
		if err := tx.lock(ctx, "keys of sync run "+runID.String()); err != nil {
			return err
		}
		var err error
		if run, err = tx.SyncRun(ctx, runID); err != nil || run.KeysComparedAt != nil {
			return err
		}
		c := keyComparison{tx: tx, run: runID, dry: run.Options.DryRun, rules: rules}
		if err := c.compare(ctx); err != nil {
			return err
		}
		run, err = tx.SyncRun(ctx, runID)
		return err
	})
	return run, err
}

// keyComparison is the comparison of one run.
type keyComparison struct {
	tx    *Store
	run   uuid.UUID
	dry   bool
	rules models.KeySync
}

// do runs statements that may name @run and @subscriptions.
func (c keyComparison) do(ctx context.Context, steps ...string) error {
	for _, sql := range steps {
		err := c.tx.named(ctx, "keys of sync run", sql, map[string]any{"run": c.run, "subscriptions": models.KeyFieldSubscriptions})
		if err != nil {
			return err
		}
	}
	return nil
}

// compare stores what differs, repairs it unless the run is dry, and counts. What it writes into
// the audit log comes last: see InTx.
func (c keyComparison) compare(ctx context.Context) error {
	if err := c.do(ctx, compareKeysSQL); err != nil {
		return err
	}
	if err := c.compareFields(ctx); err != nil {
		return err
	}
	spared := 0
	if !c.dry {
		if err := c.do(ctx, repairKeysSQL...); err != nil {
			return err
		}
		var err error
		if spared, err = c.orphans(ctx); err != nil {
			return err
		}
	}
	if err := c.do(ctx, countKeysSQL, "DELETE FROM sync_staged_keys WHERE run_id = @run"); err != nil {
		return err
	}
	if err := c.report(ctx, spared); err != nil || c.dry {
		return err
	}
	return c.do(ctx, auditKeysSQL)
}

// countKeysSQL sums a run up.
const countKeysSQL = `
	UPDATE sync_runs SET keys_compared_at = now(),
		(keys_missing, keys_different, keys_unknown, keys_followed, keys_disputed, keys_wished) = (
			SELECT count(*) FILTER (WHERE d.kind = 'missing'), count(*) FILTER (WHERE d.kind = 'different'), count(*) FILTER (WHERE d.kind = 'unknown'),
			       count(*) FILTER (WHERE d.takes IS NOT NULL),
			       count(*) FILTER (WHERE EXISTS (SELECT FROM jsonb_array_elements(d.fields) f WHERE f->>'wins' = 'open')),
			       count(*) FILTER (WHERE NOT dry_run AND ` + wishedKeys + `)
			FROM sync_key_differences d WHERE d.run_id = @run),
		keys_suspect = (SELECT count(*) FROM sync_staged_keys s WHERE s.run_id = @run AND ` + suspectKeys + `)
	WHERE id = @run`

// auditKeysSQL audits what a run did: each key that is written again, each conflict and each
// orphan that it found.
const auditKeysSQL = `
	INSERT INTO audit (actor, via, action, resource_type, resource_id, detail)
	SELECT 'system', 'FullSync', action, type, id, detail FROM (
		SELECT 1 AS n, 'API_KEY_DRIFT' AS action, 'API_KEY' AS type, d.key_id::text AS id,
		       jsonb_build_object('syncRunId', d.run_id, 'kind', d.kind, 'fields', d.fields) AS detail
		FROM sync_key_differences d WHERE ` + wishedKeys + `
		UNION ALL
		SELECT 2, 'API_KEY_CONFLICT', 'API_KEY', key_id::text,
		       jsonb_build_object('syncRunId', run_id, 'conflictId', id, 'field', field, 'ours', ours, 'theirs', theirs)
		FROM sync_conflicts WHERE run_id = @run AND created_at = now()
		UNION ALL
		SELECT 3, 'ORPHAN_KEY_QUARANTINED', 'ORPHAN_KEY', hash,
		       jsonb_build_object('syncRunId', CAST(@run AS uuid), 'alias', alias, 'userId', user_id, 'deleteAfter', delete_after)
		FROM sync_orphans WHERE state = 'quarantined' AND decided_at = now()) done
	ORDER BY n, id`

// report notes what a person should know of, and announces it.
func (c keyComparison) report(ctx context.Context, spared int) error {
	run, err := c.tx.SyncRun(ctx, c.run)
	if err != nil {
		return err
	}
	var ours, opened, confined int
	err = c.tx.scan(ctx, "API keys", &ours, `
		SELECT count(*) FROM api_keys k WHERE revoked_at IS NULL AND observed_generation > 0
		AND EXISTS (SELECT FROM api_key_models m WHERE m.api_key_id = k.id)`)
	if err != nil {
		return err
	}
	note := c.rules.Guard.KeysNote(ours, run.Keys.Missing, spared)
	if err := c.tx.exec(ctx, "sync run", "UPDATE sync_runs SET keys_note = ? WHERE id = ?", note, c.run); err != nil || c.dry {
		return err
	}
	if err := c.tx.scan(ctx, "conflicts", &opened, "SELECT count(*) FROM sync_conflicts WHERE run_id = ? AND created_at = now()", c.run); err != nil {
		return err
	}
	if err := c.tx.scan(ctx, "orphans", &confined, "SELECT count(*) FROM sync_orphans WHERE state = 'quarantined' AND decided_at = now()"); err != nil {
		return err
	}
	var news []models.Announcement
	tell := func(what string, n int) {
		if n > 0 {
			news = append(news, models.Announcement{
				Type: what, SubjectType: "sync_run", SubjectID: c.run.String(), Data: map[string]any{"keys": n, "of": ours, "note": note},
			})
		}
	}
	if c.rules.Guard.Many(ours, run.Keys.Missing) {
		tell(models.SyncKeysMissing, run.Keys.Missing)
	}
	tell(models.SyncConflictsFound, opened)
	tell(models.SyncOrphansConfined, confined)
	tell(models.SyncOrphansUnguarded, spared)
	return c.tx.announce(ctx, news...)
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
