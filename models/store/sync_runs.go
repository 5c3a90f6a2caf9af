package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/litemaas/litemaas/models"
)

// BeginSyncRun records that a run is under way; beginning it twice begins it once. A run of
// the same workflow that is still called running was ended from outside, so it is failed:
// there is never more than one. Reports older than retention go.
func (s *Store) BeginSyncRun(ctx context.Context, run models.SyncRun, retention time.Duration) error {
	return s.InTx(ctx, func(tx *Store) error {
		err := tx.exec(ctx, "sync run", `
			UPDATE sync_runs SET status = 'failed', phase = 'done', finished_at = now(),
				failure = 'the run was ended from outside, before it could report'
			WHERE workflow_id = ? AND status = 'running' AND id <> ?`, run.WorkflowID, run.ID)
		if err != nil {
			return err
		}
		err = tx.exec(ctx, "sync runs", "DELETE FROM sync_runs WHERE status <> 'running' AND started_at < ?", time.Now().Add(-retention))
		if err != nil {
			return err
		}
		return tx.exec(ctx, "sync run", `
			INSERT INTO sync_runs (id, workflow_id, kind, trigger, actor, dry_run, force, keep_missing, subject, proposal_id)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
			run.ID, run.WorkflowID, run.Kind, run.Trigger, run.Actor,
			run.Options.DryRun, run.Options.Force, run.Options.KeepMissing, run.Subject, run.ProposalID)
	})
}

// ReportFetch records how far the reading of LiteLLM's list has come.
func (s *Store) ReportFetch(ctx context.Context, id uuid.UUID, fetched, expected int) error {
	return s.exec(ctx, "sync run", "UPDATE sync_runs SET fetched = ?, expected = ? WHERE id = ? AND merged_at IS NULL", fetched, expected, id)
}

// CompleteSyncRun closes a run that has merged.
func (s *Store) CompleteSyncRun(ctx context.Context, id uuid.UUID) (models.SyncRun, error) {
	err := s.exec(ctx, "sync run", `
		UPDATE sync_runs SET status = 'completed', phase = 'done', finished_at = now()
		WHERE id = ? AND status = 'running'`, id)
	if err != nil {
		return models.SyncRun{}, err
	}
	return s.SyncRun(ctx, id)
}

// FailSyncRun closes a run that cannot go on, and says why.
func (s *Store) FailSyncRun(ctx context.Context, id uuid.UUID, why string) error {
	return s.InTx(ctx, func(tx *Store) error {
		n, err := tx.affect(ctx, "sync run", `
			UPDATE sync_runs SET status = 'failed', phase = 'done', finished_at = now(), failure = ?
			WHERE id = ? AND status = 'running'`, why, id)
		if err != nil || n == 0 {
			return err
		}
		for _, staged := range []string{"sync_staged_models", "sync_staged_users", "sync_staged_keys"} {
			if err := tx.exec(ctx, "staged rows", "DELETE FROM "+staged+" WHERE run_id = ?", id); err != nil {
				return err
			}
		}
		return tx.audit(ctx, models.System("FullSync"), "MODELS_SYNC_FAILED", "MODEL", id.String(), map[string]any{"why": why})
	})
}

// SyncRun returns one run.
func (s *Store) SyncRun(ctx context.Context, id uuid.UUID) (models.SyncRun, error) {
	run, err := gorm.G[models.SyncRun](s.db).Where("id = ?", id).Take(ctx)
	return run, kinded("sync run "+id.String(), err)
}

// SyncRunQuery selects a page of the runs.
type SyncRunQuery struct {
	Page, Limit int               // both from 1
	Status      models.SyncStatus // "": any
	Kind        models.SyncKind   // "": any
}

// SyncRuns returns a page of the runs, the newest first, and how many there are.
func (s *Store) SyncRuns(ctx context.Context, q SyncRunQuery) (page []models.SyncRun, total int, err error) {
	where := gorm.G[models.SyncRun](s.db).Where("true")
	if q.Status != "" {
		where = where.Where("status = ?", q.Status)
	}
	if q.Kind != "" {
		where = where.Where("kind = ?", q.Kind)
	}
	n, err := where.Count(ctx, "id")
	if err != nil {
		return nil, 0, kinded("sync runs", err)
	}
	page, err = where.Order("started_at DESC, id DESC").Offset((q.Page - 1) * q.Limit).Limit(q.Limit).Find(ctx)
	return page, int(n), kinded("sync runs", err)
}

// LastSync returns the last full run that completed and was no dry run; nil if there is none.
func (s *Store) LastSync(ctx context.Context) (*models.SyncRun, error) {
	runs, err := gorm.G[models.SyncRun](s.db).
		Where("status = 'completed' AND kind = 'full' AND NOT dry_run").Order("finished_at DESC").Limit(1).Find(ctx)
	if err != nil || len(runs) == 0 {
		return nil, kinded("sync runs", err)
	}
	return &runs[0], nil
}

// RunningSync returns the full run that is under way; nil if there is none.
func (s *Store) RunningSync(ctx context.Context) (*models.SyncRun, error) {
	runs, err := gorm.G[models.SyncRun](s.db).
		Where("status = 'running' AND kind = 'full'").Order("started_at").Limit(1).Find(ctx)
	if err != nil || len(runs) == 0 {
		return nil, kinded("sync runs", err)
	}
	return &runs[0], nil
}

// DifferenceQuery selects a page of what a run found.
type DifferenceQuery struct {
	Page, Limit int                   // both from 1
	Kind        models.DifferenceKind // "": any
}

// SyncDifferences returns a page of what a run found, by kind and model, and how many there are.
func (s *Store) SyncDifferences(ctx context.Context, runID uuid.UUID, q DifferenceQuery) (page []models.Difference, total int, err error) {
	where := gorm.G[models.Difference](s.db).Where("run_id = ?", runID)
	if q.Kind != "" {
		where = where.Where("kind = ?", q.Kind)
	}
	n, err := where.Count(ctx, "model_id")
	if err != nil {
		return nil, 0, kinded("differences", err)
	}
	page, err = where.Order("kind, model_id").Offset((q.Page - 1) * q.Limit).Limit(q.Limit).Find(ctx)
	return page, int(n), kinded("differences", err)
}
