package store

import (
	"context"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// chargeBudgets counts the entries of a transaction against the budgets of their users, teams, keys,
// models of keys and subscriptions: those in the temporary table usage_new, whose columns are
// (id, at, user_id, team_id, api_key_id, subscription_id, model_id, cost). It rolls periods that are
// over first, tells listeners of subjects that are refused from now on, and reports whether some
// budget has to be judged.
func (s *Store) chargeBudgets(ctx context.Context) (due bool, err error) { return false, nil }

// Budget returns one budget as its row says; see models.Budget.On for how it stands now.
func (s *Store) Budget(ctx context.Context, id uuid.UUID) (models.Budget, error) { panic("contract") }

// BudgetOf returns the budget of a subject; model is of models.BudgetOfKeyModel, else empty.
func (s *Store) BudgetOf(ctx context.Context, of models.BudgetSubject, id uuid.UUID, model string) (models.Budget, error) {
	panic("contract")
}

// RequestRaise records a temporary increase. It is active at once, and the budget due, unless it
// waits for an admin.
func (s *Store) RequestRaise(ctx context.Context, r models.BudgetRaise, needsApproval bool, by models.Actor) (models.BudgetRaise, error) {
	panic("contract")
}

// DecideRaise approves or denies a raise that waits. It is Conflict when it does not wait any more.
func (s *Store) DecideRaise(ctx context.Context, id uuid.UUID, approve bool, why string, by models.Actor) (models.BudgetRaise, error) {
	panic("contract")
}

// EndRaise ends an active raise now: because its time is over, or, early, because a person says so.
// Ending twice ends once.
func (s *Store) EndRaise(ctx context.Context, id uuid.UUID, early bool, by models.Actor) (models.BudgetRaise, error) {
	panic("contract")
}

// BudgetRaises returns the raises of a budget, the newest first.
func (s *Store) BudgetRaises(ctx context.Context, budgetID uuid.UUID) ([]models.BudgetRaise, error) {
	panic("contract")
}
