package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// SetBudget changes a budget as somebody asks, and makes it due. The amount and the period of that
// of a user, a team or a key are written to the row of that, which carries them over and which
// LiteLLM has to follow; so are a key's soft amount, and what a key has for one model. It is Invalid
// for what cannot be, and Conflict when its key is revoked.
func (s *Store) SetBudget(ctx context.Context, id uuid.UUID, change models.BudgetChange, by models.Actor) (models.Budget, error) {
	var after models.Budget
	err := s.InTx(ctx, func(tx *Store) error {
		b, err := tx.Budget(ctx, id)
		if err != nil {
			return err
		}
		if err := tx.lockSubject(ctx, b); err != nil {
			return err
		}
		was, err := tx.lockedBudget(ctx, id)
		if err != nil {
			return err
		}
		to, err := change.Apply(was.Budget)
		if err != nil {
			return err
		}
		if err := tx.carrySubject(ctx, was.Budget, to); err != nil {
			return err
		}
		if err := tx.writeBudget(ctx, to); err != nil {
			return err
		}
		if after, err = tx.Budget(ctx, id); err != nil {
			return err
		}
		return tx.Audit(ctx, by, models.Event{
			Action: models.AuditBudgetUpdate, ResourceType: models.AuditOfBudget, ResourceID: id.String(),
			Detail: budgetData(after), Before: auditedBudget(was.Budget), After: auditedBudget(after),
		})
	})
	return after, err
}

// subjectTables are where the subjects of budgets are that have columns for them.
var subjectTables = map[models.BudgetSubject]string{
	models.BudgetOfUser: "users", models.BudgetOfTeam: "teams", models.BudgetOfKey: "api_keys", models.BudgetOfKeyModel: "api_keys",
}

// lockSubject keeps the subject of a budget as it is until the transaction ends; whoever holds a
// budget must not lock its subject after it.
func (s *Store) lockSubject(ctx context.Context, b models.Budget) error {
	table, ok := subjectTables[b.SubjectType]
	if !ok {
		return nil
	}
	condition := "id = ?"
	if table == "api_keys" {
		condition += " AND revoked_at IS NULL"
	}
	n, err := s.affect(ctx, "the budget's subject", "SELECT FROM "+table+" WHERE "+condition+" FOR NO KEY UPDATE", b.SubjectID)
	if err == nil && n == 0 && table == "api_keys" {
		return models.Errorf(models.Conflict, "the key is revoked")
	}
	return err
}

// carrySubject writes what is a column of the subject of a locked budget, if it changes. The key
// itself stays as LiteLLM has it when only what it may spend on a model, or is warned of, changes.
func (s *Store) carrySubject(ctx context.Context, was, to models.Budget) error {
	told := !sameAmount(was.Amount, to.Amount) || was.Period != to.Period
	args := map[string]any{"id": to.SubjectID, "amount": to.Amount, "period": to.Period, "soft": to.SoftAmount, "model": to.ModelID, "wish": 0}
	if told {
		args["wish"] = 1
	}
	switch {
	case to.SubjectType == models.BudgetOfKey && (told || !sameAmount(was.SoftAmount, to.SoftAmount)):
		return s.named(ctx, "API key", `
			UPDATE api_keys SET max_budget = @amount, budget_duration = @period, soft_budget = @soft, generation = generation + @wish, updated_at = now()
			WHERE id = @id`, args)
	case !told:
		return nil
	case to.SubjectType == models.BudgetOfUser:
		return s.named(ctx, "user", `
			UPDATE users SET max_budget = @amount, budget_duration = @period, generation = generation + 1, updated_at = now() WHERE id = @id`, args)
	case to.SubjectType == models.BudgetOfTeam:
		return s.named(ctx, "team", "UPDATE teams SET max_budget = @amount, budget_duration = @period, updated_at = now() WHERE id = @id", args)
	case to.SubjectType == models.BudgetOfKeyModel && to.Amount == nil:
		return s.named(ctx, "API key", "UPDATE api_keys SET model_max_budget = model_max_budget - CAST(@model AS text), updated_at = now() WHERE id = @id", args)
	case to.SubjectType == models.BudgetOfKeyModel:
		args["limit"] = to.Amount.String()
		return s.named(ctx, "API key", `
			UPDATE api_keys SET model_max_budget = model_max_budget || jsonb_build_object(CAST(@model AS text),
			       jsonb_build_object('budgetLimit', CAST(@limit AS jsonb), 'timePeriod', CAST(@period AS text))), updated_at = now()
			WHERE id = @id`, args)
	}
	return nil
}

// writeBudget writes what may be set of a locked budget, and makes it due.
func (s *Store) writeBudget(ctx context.Context, b models.Budget) error {
	args := map[string]any{
		"id": b.ID, "amount": b.Amount, "soft": b.SoftAmount, "period": b.Period, "rolling": b.Rolling, "zone": b.TimeZone,
		"thresholds": nil, "rpm": b.ThrottleRPM, "tpm": b.ThrottleTPM, "hold": b.HoldAfter.Seconds(),
	}
	if b.Thresholds != nil {
		args["thresholds"] = rowsOf(b.Thresholds)
	}
	return s.named(ctx, "budget", `
		UPDATE budgets SET amount = @amount, soft_amount = @soft, soft_told = soft_told AND soft_amount IS NOT DISTINCT FROM @soft, period = @period,
		       rolling = @rolling, time_zone = @zone, thresholds = CAST(@thresholds AS jsonb), throttle_rpm = @rpm, throttle_tpm = @tpm,
		       hold_after = make_interval(secs => @hold), due = true, updated_at = now()
		WHERE id = @id`, args)
}

// auditedBudget is what the audit log says of a budget that was changed.
func auditedBudget(b models.Budget) map[string]any {
	return map[string]any{
		"amount": b.Amount, "softAmount": b.SoftAmount, "period": b.Period, "rolling": b.Rolling, "timeZone": b.TimeZone, "thresholds": b.Thresholds,
		"throttleRpm": b.ThrottleRPM, "throttleTpm": b.ThrottleTPM, "holdAfterSeconds": b.HoldAfter.Seconds(),
	}
}

// PardonBudget prevents a hold that has not begun, or lifts one, for this period. Doing it twice
// does it once. It is Conflict when nothing is held, nor about to be, and for a budget of nothing.
func (s *Store) PardonBudget(ctx context.Context, id uuid.UUID, why string, by models.Actor) (models.Budget, error) {
	var after models.Budget
	err := s.InTx(ctx, func(tx *Store) error {
		was, err := tx.lockedBudget(ctx, id)
		if after = was.Budget; err != nil {
			return err
		}
		limit := was.Limit()
		switch now := time.Now(); {
		case limit != nil && *limit == 0:
			return models.Errorf(models.Conflict, "It is a budget of nothing: raise it instead")
		case was.Pardoned && !was.Over(now):
			return nil
		case was.Over(now) || !was.Held && was.HoldDueAt == nil:
			return models.Errorf(models.Conflict, "Nothing is held, or about to be")
		}
		if err := tx.exec(ctx, "budget", "UPDATE budgets SET pardoned = true, due = true, updated_at = now() WHERE id = ?", id); err != nil {
			return err
		}
		if after, err = tx.Budget(ctx, id); err != nil {
			return err
		}
		detail := budgetData(after)
		detail["reason"] = text(why, maxReason)
		return tx.Audit(ctx, by, models.Event{
			Action: models.AuditBudgetPardon, ResourceType: models.AuditOfBudget, ResourceID: id.String(), Detail: detail,
			Before: map[string]any{"held": was.Held, "holdDueAt": was.HoldDueAt}, After: map[string]any{"pardoned": true},
		})
	})
	return after, err
}
