package store

import (
	"context"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// SetUserLimits changes what a user may spend, and how fast, as an admin asks. LiteLLM has to follow
// if anything changes.
func (s *Store) SetUserLimits(ctx context.Context, id uuid.UUID, change models.UserLimitsChange, by models.Actor) (models.User, error) {
	var u models.User
	err := s.InTx(ctx, func(tx *Store) error {
		was, err := tx.lockedUser(ctx, id)
		if err != nil {
			return err
		}
		to, err := change.Apply(was.Limits)
		if err != nil {
			return err
		}
		if u = was; to.Equal(was.Limits) {
			return nil
		}
		err = tx.named(ctx, "user", `
			UPDATE users SET max_budget = @budget, budget_duration = @period, tpm_limit = @tpm, rpm_limit = @rpm,
			       generation = generation + 1, updated_at = now()
			WHERE id = @id`, map[string]any{"id": id, "budget": to.MaxBudget, "period": to.BudgetDuration, "tpm": to.TPM, "rpm": to.RPM})
		if err != nil {
			return err
		}
		if u, err = tx.User(ctx, id); err != nil {
			return err
		}
		return tx.Audit(ctx, by, models.Event{
			Action: models.AuditUserBudget, ResourceType: models.AuditOfUser, ResourceID: id.String(),
			Before: auditedLimits(was.Limits), After: auditedLimits(u.Limits),
		})
	})
	return u, err
}

func auditedLimits(l models.Limits) map[string]any {
	return map[string]any{"maxBudget": l.MaxBudget, "budgetDuration": l.BudgetDuration, "tpmLimit": l.TPM, "rpmLimit": l.RPM}
}

// ResetUserSpend has what a user spent in his budget period counted from zero, here and at LiteLLM.
func (s *Store) ResetUserSpend(ctx context.Context, id uuid.UUID, by models.Actor) (models.User, error) {
	var u models.User
	err := s.InTx(ctx, func(tx *Store) error {
		if _, err := tx.lockedUser(ctx, id); err != nil {
			return err
		}
		was, err := tx.BudgetOf(ctx, models.BudgetOfUser, id, "")
		if err != nil {
			return err
		}
		err = tx.exec(ctx, "user", "UPDATE users SET generation = generation + 1, reset_generation = generation + 1, updated_at = now() WHERE id = ?", id)
		if err != nil {
			return err
		}
		if err := tx.zeroBudget(ctx, models.BudgetOfUser, id); err != nil {
			return err
		}
		if u, err = tx.User(ctx, id); err != nil {
			return err
		}
		return tx.Audit(ctx, by, models.Event{
			Action: models.AuditUserSpend, ResourceType: models.AuditOfUser, ResourceID: id.String(),
			Before: map[string]any{"currentSpend": was.Spent}, After: map[string]any{"currentSpend": models.USD(0)},
		})
	})
	return u, err
}
