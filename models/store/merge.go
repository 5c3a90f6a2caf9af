package store

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// Merge is what MergeStaged has to know beside the staged models.
type Merge struct {
	RunID       uuid.UUID
	Guard       models.Guard
	ProposalTTL time.Duration // how long a proposal waits for an answer
	Only        []string      // nil: all; else the run looked at these models alone
}

// MergeStaged brings the catalogue into line with what was staged for a run, as far as the
// run's options and the guard allow, in one transaction: it stores the differences, writes
// the models that differ and no others, and makes, renews or withdraws a proposal for what
// the guard holds back. Merging a run again changes nothing.
func (s *Store) MergeStaged(ctx context.Context, m Merge) (models.SyncRun, error) {
	var run models.SyncRun
	err := s.InTx(ctx, func(tx *Store) error {
		if err := tx.lock(ctx, "catalogue"); err != nil {
			return err
		}
		var err error
		if run, err = tx.SyncRun(ctx, m.RunID); err != nil || run.MergedAt != nil {
			return err
		}
		if err := tx.checkStaged(ctx, run); err != nil {
			return err
		}
		if err := tx.compare(ctx, m, &run); err != nil {
			return err
		}
		if err := tx.judge(ctx, m, &run); err != nil {
			return err
		}
		if !run.Options.DryRun {
			if err := tx.write(ctx, &run); err != nil {
				return err
			}
		}
		return tx.closeMerge(ctx, &run)
	})
	return run, err
}

// checkStaged makes sure that the list is compared as it was read.
func (s *Store) checkStaged(ctx context.Context, run models.SyncRun) error {
	var n int
	err := s.scan(ctx, "staged models", &n, "SELECT count(*) FROM sync_staged_models WHERE run_id = ?", run.ID)
	if err == nil && n != run.Staged {
		return models.Errorf(models.Internal, "%d models were staged, but %d are there", run.Staged, n)
	}
	return err
}

// fieldChanges is SQL for the JSON list of the fields in which staged model s differs from
// model m. The two objects that LiteLLM describes a deployment by are compared key by key.
var fieldChanges = `(
	SELECT jsonb_agg(jsonb_build_object('field', key, 'old', o.value, 'new', n.value) ORDER BY key)
	FROM jsonb_each(` + flat("m") + `) o FULL JOIN jsonb_each(` + flat("s") + `) n USING (key)
	WHERE o.value IS DISTINCT FROM n.value)`

// flat is SQL for one JSON object of the synced columns of a table alias.
func flat(alias string) string {
	var pairs []string
	for _, c := range synced {
		if c != "model_info" && c != "litellm_params" {
			pairs = append(pairs, "'"+c+"', "+alias+"."+c)
		}
	}
	object := "jsonb_build_object(" + strings.Join(pairs, ", ") + ")"
	for _, c := range []string{"model_info", "litellm_params"} {
		object += " || (SELECT coalesce(jsonb_object_agg('" + c + ".' || key, value), '{}') FROM jsonb_each(" + alias + "." + c + "))"
	}
	return object
}

// compareSQL stores what a run found: one row for each model that is new, differs, is back
// or is missing. A model that an admin deleted is in nobody's way.
var compareSQL = `
	INSERT INTO sync_differences (run_id, model_id, kind, fields)
	SELECT CAST(@run AS uuid), coalesce(s.id, m.id),
	       CASE WHEN m.id IS NULL THEN 'added'
	            WHEN s.id IS NULL THEN CASE WHEN m.kept OR @keep THEN 'kept' ELSE 'gone' END
	            WHEN m.availability = 'unavailable' THEN 'returned'
	            ELSE 'changed' END,
	       CASE WHEN m.id IS NOT NULL AND s.id IS NOT NULL THEN coalesce(` + fieldChanges + `, '[]') ELSE '[]' END
	FROM (SELECT * FROM sync_staged_models WHERE run_id = @run) s
	FULL JOIN (SELECT * FROM models WHERE CAST(@only AS jsonb) IS NULL OR jsonb_exists(CAST(@only AS jsonb), id)) m ON m.id = s.id
	WHERE m.deleted_at IS NULL
	  AND (m.id IS NULL
	       OR (s.id IS NULL AND m.availability = 'available' AND NOT jsonb_exists(CAST(@unread AS jsonb), m.id))
	       OR (s.id IS NOT NULL AND (@force OR m.availability = 'unavailable'
	           OR (` + columnsOf("m") + `) IS DISTINCT FROM (` + columnsOf("s") + `))))`

func (s *Store) compare(ctx context.Context, m Merge, run *models.SyncRun) error {
	unread := []string{}
	for _, u := range run.List.Unread {
		unread = append(unread, u.ID)
	}
	return s.named(ctx, "differences", compareSQL, map[string]any{
		"run": m.RunID, "keep": run.Options.KeepMissing, "force": run.Options.Force,
		"only": jsonOf(m.Only), "unread": jsonOf(unread),
	})
}

// jsonOf is a list as a JSON parameter; nil is SQL's NULL.
func jsonOf(list []string) *string {
	if list == nil {
		return nil
	}
	raw, _ := json.Marshal(list) // strings always marshal
	return new(string(raw))
}

// writeSQL are the set-based writes of a merge, each driven by the differences, so
// that what is written is what is reported.
var writeSQL = []string{
	`INSERT INTO models (id, ` + strings.Join(synced, ", ") + `)
	 SELECT s.id, ` + columnsOf("s") + `
	 FROM sync_staged_models s JOIN sync_differences d ON d.run_id = s.run_id AND d.model_id = s.id
	 WHERE s.run_id = @run AND d.kind = 'added'`,

	`UPDATE models m SET (` + strings.Join(synced, ", ") + `) = (` + columnsOf("s") + `),
	        availability = 'available', kept = false, updated_at = now()
	 FROM sync_staged_models s JOIN sync_differences d ON d.run_id = s.run_id AND d.model_id = s.id
	 WHERE s.run_id = @run AND m.id = s.id AND d.kind IN ('changed', 'returned')`,

	`UPDATE models m SET availability = 'unavailable', updated_at = now()
	 FROM sync_differences d
	 WHERE d.run_id = @run AND m.id = d.model_id AND d.kind = 'gone'`,

	// A model that LiteLLM lists again needs nobody's word to stay.
	`UPDATE models m SET kept = false, updated_at = now()
	 FROM sync_staged_models s
	 WHERE s.run_id = @run AND m.id = s.id AND m.kept`,
}

// auditSQL says what became of which model. It is the last of a merge, see ledger.
const auditSQL = `
	INSERT INTO audit (actor, via, action, resource_type, resource_id, detail)
	SELECT 'system', 'FullSync',
	       CASE d.kind WHEN 'gone' THEN 'MODEL_MARKED_UNAVAILABLE_WITH_CASCADE' ELSE 'MODEL_MARKED_AVAILABLE' END,
	       'MODEL', d.model_id, jsonb_build_object('syncRunId', d.run_id)
	FROM sync_differences d
	WHERE d.run_id = @run AND d.kind IN ('gone', 'returned')`

func (s *Store) write(ctx context.Context, run *models.SyncRun) error {
	for _, sql := range writeSQL {
		if err := s.named(ctx, "models", sql, map[string]any{"run": run.ID}); err != nil {
			return err
		}
	}
	return nil
}

// closeMerge counts what was found, and keeps the counts with the run.
func (s *Store) closeMerge(ctx context.Context, run *models.SyncRun) error {
	err := s.scan(ctx, "differences", &run.Counts, `
		SELECT count(*) FILTER (WHERE kind = 'added') AS added, count(*) FILTER (WHERE kind = 'changed') AS changed,
		       count(*) FILTER (WHERE kind = 'returned') AS returned, count(*) FILTER (WHERE kind = 'gone') AS gone,
		       count(*) FILTER (WHERE kind = 'held') AS held, count(*) FILTER (WHERE kind = 'kept') AS kept,
		       (SELECT count(*) FROM sync_staged_models s JOIN models m ON m.id = s.id
		        WHERE s.run_id = @run AND m.deleted_at IS NOT NULL) AS deleted
		FROM sync_differences WHERE run_id = @run`, map[string]any{"run": run.ID})
	if err != nil {
		return err
	}
	c := &run.Counts
	c.Listed = run.List.Listed
	c.Unchanged = run.Staged - c.Added - c.Changed - c.Returned - c.Deleted
	err = s.named(ctx, "sync run", `
		UPDATE sync_runs SET merged_at = now(), listed = @listed, added = @added, changed = @changed, unchanged = @unchanged,
			returned = @returned, gone = @gone, held = @held, kept = @kept, deleted = @deleted, proposal_id = @proposal
		WHERE id = @run`, map[string]any{
		"run": run.ID, "listed": c.Listed, "added": c.Added, "changed": c.Changed, "unchanged": c.Unchanged, "returned": c.Returned,
		"gone": c.Gone, "held": c.Held, "kept": c.Kept, "deleted": c.Deleted, "proposal": run.ProposalID,
	})
	if err != nil {
		return err
	}
	if err := s.named(ctx, "staged models", "DELETE FROM sync_staged_models WHERE run_id = @run", map[string]any{"run": run.ID}); err != nil {
		return err
	}
	err = s.audit(ctx, models.Actor{ID: run.Actor, Via: "FullSync"}, "MODELS_SYNC", "MODEL", run.ID.String(),
		map[string]any{"kind": run.Kind, "options": run.Options, "counts": run.Counts})
	if err != nil || run.Options.DryRun {
		return err
	}
	return s.named(ctx, "audit log", auditSQL, map[string]any{"run": run.ID})
}

// named runs SQL with @name parameters.
func (s *Store) named(ctx context.Context, what, sql string, args map[string]any) error {
	return s.exec(ctx, what, sql, args)
}
