package store

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// RequestRaise records a temporary increase. It is active at once, and the budget due, unless it
// waits for an admin. It is Invalid when it is none, and Conflict when nothing bounds the budget.
func (s *Store) RequestRaise(ctx context.Context, r models.BudgetRaise, needsApproval bool, by models.Actor) (models.BudgetRaise, error) {
	now := time.Now()
	switch {
	case r.Amount <= 0:
		return r, models.Errorf(models.Invalid, "a raise must be more than zero").On("amount")
	case !r.UntilAt.After(now):
		return r, models.Errorf(models.Invalid, "a raise ends in the future").On("until")
	}
	r.ID = cmp.Or(r.ID, uuid.New())
	r.Status, r.RequestedBy, r.Reason = models.RaisePending, by.ID, text(r.Reason, maxReason)
	err := s.InTx(ctx, func(tx *Store) error {
		b, err := tx.lockedBudget(ctx, r.BudgetID)
		if err != nil {
			return err
		}
		if b.Amount == nil {
			return models.Errorf(models.Conflict, "The budget is unlimited: there is nothing to raise")
		}
		err = tx.exec(ctx, "raise", `
			INSERT INTO budget_raises (id, budget_id, amount, reason, until_at, status, requested_by) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			r.ID, r.BudgetID, r.Amount, r.Reason, r.UntilAt, r.Status, r.RequestedBy)
		if err != nil {
			return err
		}
		if needsApproval {
			return tx.tellRaise(ctx, models.BudgetRaiseAskedNews, models.AuditBudgetRaiseAsk, b, r, by)
		}
		r, err = tx.activateRaise(ctx, b, r, "", by)
		return err
	})
	if err != nil {
		return r, err
	}
	return s.Raise(ctx, r.ID)
}

// activateRaise makes a raise of a locked budget count.
func (s *Store) activateRaise(ctx context.Context, b budgetRow, r models.BudgetRaise, why string, by models.Actor) (models.BudgetRaise, error) {
	err := s.exec(ctx, "raise", "UPDATE budget_raises SET status = 'active', decided_at = now(), decided_by = ?, decided_why = ? WHERE id = ?", by.ID, why, r.ID)
	if err != nil {
		return r, err
	}
	err = s.exec(ctx, "budget", "UPDATE budgets SET raised = raised + ?, due = true, generation = generation + 1, updated_at = now() WHERE id = ?", r.Amount, b.ID)
	if err != nil {
		return r, err
	}
	b.Raised += r.Amount
	r.Status = models.RaiseActive
	return r, s.tellRaise(ctx, models.BudgetRaisedNews, models.AuditBudgetRaise, b, r, by)
}

// tellRaise tells of a raise, and writes it into the audit log.
func (s *Store) tellRaise(ctx context.Context, news string, action models.AuditAction, b budgetRow, r models.BudgetRaise, by models.Actor) error {
	data := budgetData(b.Budget)
	data["raiseId"], data["amount"], data["reason"], data["until"], data["status"] = r.ID, r.Amount, r.Reason, r.UntilAt, r.Status
	if news != "" {
		err := s.announce(ctx, models.Announcement{Type: news, SubjectType: "budget", SubjectID: b.ID.String(), UserID: b.OwnerID, Data: data})
		if err != nil {
			return err
		}
	}
	return s.Audit(ctx, by, models.Event{Action: action, ResourceType: models.AuditOfBudget, ResourceID: b.ID.String(), Detail: data})
}

// Raise returns one raise.
func (s *Store) Raise(ctx context.Context, id uuid.UUID) (models.BudgetRaise, error) {
	rows, err := s.raises(ctx, "id = ?", id)
	if err == nil && len(rows) == 0 {
		err = models.Errorf(models.NotFound, "raise %s not found", id)
	}
	if err != nil {
		return models.BudgetRaise{}, err
	}
	return rows[0], nil
}

func (s *Store) raises(ctx context.Context, where string, args ...any) ([]models.BudgetRaise, error) {
	rows := []models.BudgetRaise{}
	return rows, s.scan(ctx, "raises", &rows, "SELECT * FROM budget_raises WHERE "+where, args...)
}

// lockedRaise returns a raise with its budget, which stay as they are until the transaction ends.
func (s *Store) lockedRaise(ctx context.Context, id uuid.UUID) (models.BudgetRaise, budgetRow, error) {
	r, err := s.Raise(ctx, id)
	if err != nil {
		return r, budgetRow{}, err
	}
	b, err := s.lockedBudget(ctx, r.BudgetID)
	if err != nil {
		return r, b, err
	}
	r, err = s.Raise(ctx, id) // as those have left it who held the lock
	return r, b, err
}

// DecideRaise approves or denies a raise that waits. It is Conflict when it does not wait any more.
func (s *Store) DecideRaise(ctx context.Context, id uuid.UUID, approve bool, why string, by models.Actor) (models.BudgetRaise, error) {
	why = text(why, maxReason)
	err := s.InTx(ctx, func(tx *Store) error {
		r, b, err := tx.lockedRaise(ctx, id)
		if err != nil {
			return err
		}
		if r.Status != models.RaisePending {
			return models.Errorf(models.Conflict, "The raise does not wait for a decision any more: it is %s", r.Status)
		}
		if approve && !r.UntilAt.After(time.Now()) {
			return models.Errorf(models.Conflict, "The time of the raise is over")
		}
		if approve {
			_, err := tx.activateRaise(ctx, b, r, why, by)
			return err
		}
		return tx.denyRaise(ctx, b, r, why, by)
	})
	if err != nil {
		return models.BudgetRaise{}, err
	}
	return s.Raise(ctx, id)
}

func (s *Store) denyRaise(ctx context.Context, b budgetRow, r models.BudgetRaise, why string, by models.Actor) error {
	err := s.exec(ctx, "raise", "UPDATE budget_raises SET status = 'denied', decided_at = now(), decided_by = ?, decided_why = ? WHERE id = ?", by.ID, why, r.ID)
	if err != nil {
		return err
	}
	r.Status = models.RaiseDenied
	return s.tellRaise(ctx, "", models.AuditBudgetRaiseDeny, b, r, by)
}

// EndRaise ends an active raise now: because its time is over, or, early, because a person says so.
// One that still waits is withdrawn, or denied, when its time is over. Ending twice ends once, and
// what is not over yet goes on.
func (s *Store) EndRaise(ctx context.Context, id uuid.UUID, early bool, by models.Actor) (models.BudgetRaise, error) {
	err := s.InTx(ctx, func(tx *Store) error {
		r, b, err := tx.lockedRaise(ctx, id)
		if err != nil {
			return err
		}
		var over bool
		if err := tx.scan(ctx, "raise", &over, "SELECT until_at <= clock_timestamp() FROM budget_raises WHERE id = ?", id); err != nil {
			return err
		}
		switch {
		case !early && !over:
			return nil
		case r.Status == models.RaiseActive:
			return tx.restoreBudget(ctx, b, r, early, by)
		case r.Status == models.RaisePending && early:
			return tx.exec(ctx, "raise", "UPDATE budget_raises SET status = 'withdrawn', ended_at = now() WHERE id = ?", id)
		case r.Status == models.RaisePending:
			return tx.denyRaise(ctx, b, r, "Nobody decided in time", by)
		}
		return nil
	})
	if err != nil {
		return models.BudgetRaise{}, err
	}
	return s.Raise(ctx, id)
}

// restoreBudget takes an active raise back from its locked budget.
func (s *Store) restoreBudget(ctx context.Context, b budgetRow, r models.BudgetRaise, early bool, by models.Actor) error {
	if r.Status = models.RaiseEnded; early {
		r.Status = models.RaiseWithdrawn
	}
	if err := s.exec(ctx, "raise", "UPDATE budget_raises SET status = ?, ended_at = now() WHERE id = ?", r.Status, r.ID); err != nil {
		return err
	}
	b.Raised = max(0, b.Raised-r.Amount)
	err := s.exec(ctx, "budget", "UPDATE budgets SET raised = ?, due = true, generation = generation + 1, updated_at = now() WHERE id = ?", b.Raised, b.ID)
	if err != nil {
		return err
	}
	return s.tellRaise(ctx, models.BudgetRestoredNews, models.AuditBudgetRestore, b, r, by)
}

// EndDueRaises ends up to limit raises whose time is over, though their runs have not. It returns
// how many.
func (s *Store) EndDueRaises(ctx context.Context, limit int, by models.Actor) (int, error) {
	var ids []uuid.UUID
	err := s.scan(ctx, "raises", &ids, `
		SELECT id FROM budget_raises WHERE status IN ('active', 'pending') AND until_at <= now() ORDER BY until_at LIMIT ?`, limit)
	for i, id := range ids {
		if _, err := s.EndRaise(ctx, id, false, by); err != nil {
			return i, err
		}
	}
	return len(ids), err
}

// BudgetRaises returns the raises of a budget, the newest first.
func (s *Store) BudgetRaises(ctx context.Context, budgetID uuid.UUID) ([]models.BudgetRaise, error) {
	return s.raises(ctx, "budget_id = ? ORDER BY created_at DESC, id", budgetID)
}
