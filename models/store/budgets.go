package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// budgetColumns are the columns of a budget b, with whom it is about.
const budgetColumns = `b.*, extract(epoch FROM b.hold_after) AS hold_after_secs,
	CASE b.subject_type WHEN 'user' THEN b.subject_id
	     WHEN 'subscription' THEN (SELECT s.user_id FROM subscriptions s WHERE s.id = b.subject_id)
	     WHEN 'team' THEN NULL
	     ELSE (SELECT k.user_id FROM api_keys k WHERE k.id = b.subject_id) END AS owner_id`

// budgetRow is a budget as it is read.
type budgetRow struct {
	models.Budget `gorm:"embedded"`

	HoldAfterSecs float64
	OwnerID       *uuid.UUID // whom it is about; nil: a team
}

// budgetRows returns the budgets b that a condition selects.
func (s *Store) budgetRows(ctx context.Context, where string, args ...any) ([]budgetRow, error) {
	var rows []budgetRow
	err := s.scan(ctx, "budgets", &rows, "SELECT "+budgetColumns+" FROM budgets b WHERE "+where, args...)
	for i := range rows {
		rows[i].HoldAfter = seconds(rows[i].HoldAfterSecs)
	}
	return rows, err
}

func (s *Store) oneBudget(ctx context.Context, where string, args ...any) (budgetRow, error) {
	rows, err := s.budgetRows(ctx, where, args...)
	if err == nil && len(rows) == 0 {
		err = models.Errorf(models.NotFound, "budget not found")
	}
	if err != nil {
		return budgetRow{}, err
	}
	return rows[0], nil
}

// Budget returns one budget as its row says; see models.Budget.On for how it stands now.
func (s *Store) Budget(ctx context.Context, id uuid.UUID) (models.Budget, error) {
	row, err := s.oneBudget(ctx, "b.id = ?", id)
	return row.Budget, err
}

// BudgetOf returns the budget of a subject; model is of models.BudgetOfKeyModel, else empty.
func (s *Store) BudgetOf(ctx context.Context, of models.BudgetSubject, id uuid.UUID, model string) (models.Budget, error) {
	row, err := s.oneBudget(ctx, "b.subject_id = ? AND b.subject_type = ? AND b.model_id = ?", id, of, model)
	return row.Budget, err
}

// lockedBudget returns a budget that stays as it is until the transaction ends.
func (s *Store) lockedBudget(ctx context.Context, id uuid.UUID) (budgetRow, error) {
	return s.oneBudget(ctx, "b.id = ? FOR NO KEY UPDATE OF b", id)
}

// subjectColumn is the column of the ledger that names the subjects of a kind.
var subjectColumn = map[models.BudgetSubject]string{
	models.BudgetOfUser: "user_id", models.BudgetOfTeam: "team_id", models.BudgetOfKey: "api_key_id",
	models.BudgetOfSubscription: "subscription_id", models.BudgetOfKeyModel: "api_key_id",
}

// SpentSince adds up from the ledger what counts against a budget since a time: by the sums of
// whole hours, and the entries of the hour in which that time is.
func (s *Store) SpentSince(ctx context.Context, b models.Budget, since time.Time) (models.USD, error) {
	of := subjectColumn[b.SubjectType] + " = @subject AND (@model = '' OR model_id = @model)"
	var spent models.USD
	err := s.scan(ctx, "usage", &spent, `
		SELECT coalesce((SELECT sum(cost) FROM usage_hours WHERE `+of+` AND bucket >= @whole), 0)
		     + coalesce((SELECT sum(cost) FROM usage_events WHERE `+of+` AND at >= @since AND at < @whole), 0)`, map[string]any{
		"subject": b.SubjectID, "model": b.ModelID, "since": since, "whole": since.UTC().Add(time.Hour - time.Nanosecond).Truncate(time.Hour),
	})
	return spent, err
}

// zeroBudget has what a subject spent in this period counted from zero, from now on; and what was
// done about it undone, by the next judgement.
func (s *Store) zeroBudget(ctx context.Context, of models.BudgetSubject, id uuid.UUID) error {
	return s.exec(ctx, "budget", `
		UPDATE budgets SET spent = 0, counts_from = clock_timestamp(), reached = 0, soft_told = false, pardoned = false, hold_due_at = NULL,
		       due = true, updated_at = now()
		WHERE subject_id = ? AND subject_type = ? AND model_id = ''`, id, of)
}

// inheritBudgets has the budgets of a key's successor continue those of the key, with what they
// count in their periods, and the raises that are active; and the successor what it has by them.
func (s *Store) inheritBudgets(ctx context.Context, old, heir uuid.UUID) error {
	args := map[string]any{"old": old, "heir": heir}
	err := s.named(ctx, "budgets", `
		UPDATE budgets h SET soft_amount = b.soft_amount, raised = b.raised, rolling = b.rolling, time_zone = b.time_zone, thresholds = b.thresholds,
		       throttle_rpm = b.throttle_rpm, throttle_tpm = b.throttle_tpm, hold_after = b.hold_after, anchor_at = b.anchor_at,
		       starts_at = b.starts_at, counts_from = b.counts_from, ends_at = b.ends_at, spent = b.spent, reached = b.reached, soft_told = b.soft_told,
		       hold_due_at = b.hold_due_at, pardoned = b.pardoned, held = b.held, throttled = b.throttled, next_at = b.next_at, hold_at = b.hold_at,
		       due = b.due OR b.held OR b.throttled OR b.hold_due_at IS NOT NULL
		FROM budgets b WHERE b.subject_id = @old AND h.subject_id = @heir AND h.subject_type = b.subject_type AND h.model_id = b.model_id`, args)
	if err != nil {
		return err
	}
	err = s.named(ctx, "raises", `
		INSERT INTO budget_raises (id, budget_id, amount, reason, until_at, status, requested_by, decided_by, decided_why, created_at, decided_at)
		SELECT gen_random_uuid(), h.id, r.amount, r.reason, r.until_at, r.status, r.requested_by, r.decided_by, r.decided_why, r.created_at, r.decided_at
		FROM budget_raises r JOIN budgets b ON b.id = r.budget_id
		JOIN budgets h ON h.subject_id = @heir AND h.subject_type = b.subject_type AND h.model_id = b.model_id
		WHERE b.subject_id = @old AND r.status = 'active'`, args)
	if err != nil {
		return err
	}
	return s.bindKey(ctx, heir, 0)
}
