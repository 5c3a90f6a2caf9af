package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/litemaas/litemaas/models"
)

// judge asks the guard about the models that a run found missing, inside its merge. What is
// held back becomes, or renews, the open proposal; with nothing held back, an open proposal
// has lost its reason.
func (s *Store) judge(ctx context.Context, m Merge, run *models.SyncRun) error {
	if run.Kind == models.SyncRemovals { // a person has judged
		return s.exec(ctx, "proposal", "UPDATE sync_proposals SET applied_at = now() WHERE id = ?", run.ProposalID)
	}
	var n struct{ Available, Missing int }
	err := s.scan(ctx, "differences", &n, `
		SELECT (SELECT count(*) FROM models WHERE availability = 'available' AND NOT kept AND deleted_at IS NULL) AS available,
		       (SELECT count(*) FROM sync_differences WHERE run_id = ? AND kind = 'gone') AS missing`, run.ID)
	if err != nil {
		return err
	}
	why := m.Guard.Why(run.List, n.Available, n.Missing)
	if run.Kind == models.SyncOne {
		if why == "" {
			return nil
		}
		return s.exec(ctx, "differences", "UPDATE sync_differences SET kind = 'kept' WHERE run_id = ? AND kind = 'gone'", run.ID)
	}
	if why == "" {
		return s.withdraw(ctx, run)
	}
	if err := s.exec(ctx, "differences", "UPDATE sync_differences SET kind = 'held' WHERE run_id = ? AND kind = 'gone'", run.ID); err != nil {
		return err
	}
	if run.Options.DryRun {
		return nil
	}
	return s.propose(ctx, m, run, why)
}

// withdraw closes the open proposal, if there is one: what it asked about is back, or gone
// within what the guard allows.
func (s *Store) withdraw(ctx context.Context, run *models.SyncRun) error {
	if run.Options.DryRun || run.Options.KeepMissing {
		return nil
	}
	var ids []uuid.UUID
	err := s.scan(ctx, "proposal", &ids, `
		UPDATE sync_proposals SET status = 'withdrawn', decided_at = now(), decided_by = 'system',
			reason = 'a later sync no longer missed the models'
		WHERE status = 'open' RETURNING id`)
	if err != nil || len(ids) == 0 {
		return err
	}
	return s.audit(ctx, models.System("FullSync"), "MODEL_REMOVALS_WITHDRAWN", "MODEL", ids[0].String(), map[string]any{"syncRunId": run.ID})
}

// propose makes the open proposal ask about exactly the models that this run holds back.
// While an approved one waits to be carried out, nothing new is asked.
func (s *Store) propose(ctx context.Context, m Merge, run *models.SyncRun, why string) error {
	waiting, err := gorm.G[models.Proposal](s.db).
		Where("status = 'approved' AND applied_at IS NULL").Order("decided_at").Limit(1).Find(ctx)
	if err != nil {
		return kinded("proposal", err)
	}
	if len(waiting) > 0 {
		run.ProposalID = &waiting[0].ID
		return nil
	}
	var row struct {
		ID  uuid.UUID
		New bool
	}
	err = s.scan(ctx, "proposal", &row, `
		INSERT INTO sync_proposals AS p (id, status, model_ids, why, expires_at)
		SELECT CAST(@run AS uuid), 'open', jsonb_agg(model_id ORDER BY model_id), CAST(@why AS text), CAST(@expires AS timestamptz)
		FROM sync_differences WHERE run_id = @run AND kind = 'held'
		ON CONFLICT (status) WHERE status = 'open' DO UPDATE
		SET model_ids = excluded.model_ids, why = excluded.why, renewed_at = now(), expires_at = excluded.expires_at
		RETURNING p.id, p.id = CAST(@run AS uuid) AS new`,
		map[string]any{"run": run.ID, "why": why, "expires": time.Now().Add(m.ProposalTTL)})
	if err != nil {
		return err
	}
	run.ProposalID = &row.ID
	action := "MODEL_REMOVALS_PROPOSAL_RENEWED"
	if row.New {
		action = "MODEL_REMOVALS_PROPOSED"
	}
	return s.audit(ctx, models.System("FullSync"), action, "MODEL", row.ID.String(), map[string]any{"syncRunId": run.ID, "why": why})
}

// Proposal returns one proposal.
func (s *Store) Proposal(ctx context.Context, id uuid.UUID) (models.Proposal, error) {
	p, err := gorm.G[models.Proposal](s.db).Where("id = ?", id).Take(ctx)
	return p, kinded("proposal "+id.String(), err)
}

// OpenProposal returns the proposal that waits for an answer; nil if there is none.
func (s *Store) OpenProposal(ctx context.Context) (*models.Proposal, error) {
	ps, err := gorm.G[models.Proposal](s.db).Where("status = 'open'").Limit(1).Find(ctx)
	if err != nil || len(ps) == 0 {
		return nil, kinded("proposal", err)
	}
	return &ps[0], nil
}

// DecideProposal answers the proposal of a sync run, once: whoever comes second, or after it
// lapsed, is told in a Conflict who decided what. Rejecting keeps the models, also from later
// syncs, until LiteLLM lists them again. Approving only records the wish: ApplyRemovals, which
// the caller starts, carries it out.
func (s *Store) DecideProposal(ctx context.Context, runID uuid.UUID, d models.Decision) (models.Proposal, error) {
	var p models.Proposal
	err := s.InTx(ctx, func(tx *Store) error {
		run, err := tx.SyncRun(ctx, runID)
		if err != nil {
			return err
		}
		if run.ProposalID == nil {
			return models.Errorf(models.NotFound, "sync run %s proposes nothing", runID)
		}
		to, action := models.ProposalRejected, "MODEL_REMOVALS_REJECTED"
		if d.Approve {
			to, action = models.ProposalApproved, "MODEL_REMOVALS_APPROVED"
		}
		n, err := tx.affect(ctx, "proposal", `
			UPDATE sync_proposals SET status = ?, decided_at = now(), decided_by = ?, reason = ?
			WHERE id = ? AND status = 'open' AND expires_at > now()`, to, d.By.ID, d.Reason, *run.ProposalID)
		if err != nil {
			return err
		}
		if p, err = tx.Proposal(ctx, *run.ProposalID); err != nil {
			return err
		}
		if n == 0 {
			return models.Errorf(models.Conflict, "%s", answered(p))
		}
		if !d.Approve {
			if err := tx.keep(ctx, p); err != nil {
				return err
			}
		}
		return tx.audit(ctx, d.By, action, "MODEL", p.ID.String(), map[string]any{"models": len(p.ModelIDs), "reason": d.Reason})
	})
	return p, err
}

// answered says how a proposal was answered.
func answered(p models.Proposal) string {
	if p.Status == models.ProposalOpen || p.DecidedAt == nil {
		return fmt.Sprintf("the proposal lapsed at %s; the next sync makes a new one if the models are still missing", p.ExpiresAt.Format(time.RFC3339))
	}
	return fmt.Sprintf("the proposal was %s by %s at %s", p.Status, p.DecidedBy, p.DecidedAt.Format(time.RFC3339))
}

// keep marks the models of a rejected proposal, so that no sync asks about them again while
// they stay missing.
func (s *Store) keep(ctx context.Context, p models.Proposal) error {
	ids, err := json.Marshal(p.ModelIDs)
	if err != nil {
		return models.Wrap(models.Internal, err, "proposal %s", p.ID)
	}
	return s.exec(ctx, "models", `
		UPDATE models SET kept = true, updated_at = now()
		WHERE id IN (SELECT jsonb_array_elements_text(CAST(? AS jsonb))) AND availability = 'available'`, string(ids))
}

// LapseProposals closes what nobody answered in time, and says how many it closed. Nothing is
// removed, and nothing is kept for good: the next sync asks again.
func (s *Store) LapseProposals(ctx context.Context) (int, error) {
	var ids []uuid.UUID
	err := s.InTx(ctx, func(tx *Store) error {
		err := tx.scan(ctx, "proposals", &ids, `
			UPDATE sync_proposals SET status = 'lapsed', decided_at = now(), decided_by = 'system',
				reason = 'nobody answered in time'
			WHERE status = 'open' AND expires_at <= now() RETURNING id`)
		if err != nil {
			return err
		}
		for _, id := range ids { // at most one: only one can be open
			if err := tx.audit(ctx, models.System("Sweep"), "MODEL_REMOVALS_LAPSED", "MODEL", id.String(), struct{}{}); err != nil {
				return err
			}
		}
		return nil
	})
	return len(ids), err
}

// ProposalsToApply returns the approved proposals that nobody has carried out for at least age.
func (s *Store) ProposalsToApply(ctx context.Context, age time.Duration) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	err := s.scan(ctx, "proposals", &ids, `
		SELECT id FROM sync_proposals
		WHERE status = 'approved' AND applied_at IS NULL AND decided_at < ? ORDER BY decided_at`, time.Now().Add(-age))
	return ids, err
}
