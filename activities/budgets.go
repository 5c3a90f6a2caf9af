package activities

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Budgets judges budgets, and has what they concern follow.
type Budgets struct {
	Store *store.Store
	House []models.BudgetThreshold // of budgets that have none of their own; nil: the defaults
}

// budgetsBy is who does what the clock and the ledger ask for.
var budgetsBy = models.System("EnforceBudgets")

// BudgetRef names a budget.
type BudgetRef struct{ ID uuid.UUID }

// BudgetRun is what names the run that looks after a budget in a period.
type BudgetRun struct {
	ID          uuid.UUID
	SubjectType models.BudgetSubject
	SubjectID   uuid.UUID
	StartsAt    time.Time
}

func budgetRun(b models.Budget) BudgetRun {
	return BudgetRun{b.ID, b.SubjectType, b.SubjectID, b.StartsAt.UTC()}
}

// JudgeBudgetsInput bounds the page.
type JudgeBudgetsInput struct{ Limit int }

// JudgeBudgetsResult counts what was judged, and names the budgets that a run has to look after.
type JudgeBudgetsResult struct {
	Judged, Held, Released, Rolled, Restored int
	Runs                                     []BudgetRun
	More                                     bool // there may be others: ask again
}

// JudgeBudgets judges a page of the budgets that are due, and ends raises whose time is over. A
// repetition finds what is left; the runs of those that a lost answer named, UnsettledBudgets does.
func (a *Budgets) JudgeBudgets(ctx context.Context, in JudgeBudgetsInput) (JudgeBudgetsResult, error) {
	var res JudgeBudgetsResult
	var err error
	if res.Restored, err = a.Store.EndDueRaises(ctx, in.Limit, budgetsBy); err != nil {
		return res, err
	}
	judged, err := a.Store.JudgeBudgets(ctx, in.Limit, a.House, budgetsBy)
	for _, j := range judged {
		res.Held += count(j.Held)
		res.Released += count(j.Released)
		res.Rolled += count(j.Rolled)
		if j.Waits() {
			res.Runs = append(res.Runs, budgetRun(j.Budget))
		}
	}
	res.Judged, res.More = len(judged), len(judged) >= in.Limit || res.Restored >= in.Limit
	return res, err
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// UnsettledBudgetsInput bounds the page.
type UnsettledBudgetsInput struct{ Limit int }

// UnsettledBudgetsResult names the runs that have to look after the budgets.
type UnsettledBudgetsResult struct{ Runs []BudgetRun }

// UnsettledBudgets finds budgets whose run was never started, or gave up.
func (a *Budgets) UnsettledBudgets(ctx context.Context, in UnsettledBudgetsInput) (UnsettledBudgetsResult, error) {
	found, err := a.Store.UnsettledBudgets(ctx, overlooked, in.Limit)
	var res UnsettledBudgetsResult
	for _, b := range found {
		res.Runs = append(res.Runs, budgetRun(b))
	}
	return res, err
}

// BudgetsWaitInput is empty: the rows say it.
type BudgetsWaitInput struct{}

// BudgetsWaitResult says whether there is anything for EnforceBudgets.
type BudgetsWaitResult struct{ Wait bool }

// BudgetsWait looks whether there is anything for EnforceBudgets.
func (a *Budgets) BudgetsWait(ctx context.Context, _ BudgetsWaitInput) (BudgetsWaitResult, error) {
	wait, err := a.Store.BudgetsWait(ctx, overlooked)
	return BudgetsWaitResult{wait}, err
}

// BudgetState is what has to be known of a budget to look after it.
type BudgetState struct {
	Gone            bool // with its subject
	StartsAt        time.Time
	EndsAt          *time.Time // nil: its period never ends
	Spent           models.USD
	Limit           *models.USD // nil: unlimited
	Held, Throttled bool
	HoldDueAt       *time.Time     // when a hold that a person may prevent begins
	Behind          bool           // LiteLLM was not seen to follow
	WakeIn          *time.Duration // when to judge again, whatever is spent; nil: never
}

// Waits reports whether something is to be undone, or done, later.
func (s BudgetState) Waits() bool { return s.WakeIn != nil || s.Held || s.Throttled }

// JudgeBudget judges one budget. Judging again changes nothing, unless something has changed.
func (a *Budgets) JudgeBudget(ctx context.Context, in BudgetRef) (BudgetState, error) {
	j, err := a.Store.JudgeBudget(ctx, in.ID, a.House, budgetsBy)
	switch {
	case models.KindOf(err) == models.NotFound:
		return BudgetState{Gone: true}, nil
	case err != nil:
		return BudgetState{}, err
	}
	s := BudgetState{
		StartsAt: j.StartsAt.UTC(), EndsAt: j.EndsAt, Spent: j.Spent, Limit: j.Limit(), Held: j.Budget.Held, Throttled: j.Throttled,
		HoldDueAt: j.HoldDueAt, Behind: j.ObservedGeneration < j.Generation,
	}
	if j.WakeAt != nil {
		s.WakeIn = new(j.WakeAt.Sub(j.JudgedAt))
	}
	return s, nil
}

// FollowBudgetResult is what followed in our rows, and has LiteLLM to follow.
type FollowBudgetResult struct {
	Generation int64 // of the budget
	Keys       int
	Cascades   []CascadeRef
}

// FollowBudget has the keys that a budget concerns, its user, or its subscription, be as it is now.
// Repeating it changes nothing more.
func (a *Budgets) FollowBudget(ctx context.Context, in BudgetRef) (FollowBudgetResult, error) {
	defer beat(ctx)()
	f, err := a.Store.FollowBudget(ctx, in.ID, budgetsBy)
	if models.KindOf(err) == models.NotFound { // its subject is gone
		return FollowBudgetResult{}, nil
	}
	var found FoundCascades
	found.add(f.Cascades)
	return FollowBudgetResult{f.Generation, f.Keys, found.Cascades}, err
}

// BudgetLeftInput selects keys of a budget.
type BudgetLeftInput struct {
	ID    uuid.UUID
	Limit int
}

// BudgetLeftResult is on what LiteLLM has yet to follow: Keys are the first of the Left ones.
type BudgetLeftResult struct {
	Keys     []uuid.UUID
	Left     int
	User     bool
	Cascades []CascadeRef
}

// None reports whether nothing is left.
func (r BudgetLeftResult) None() bool { return r.Left == 0 && !r.User && len(r.Cascades) == 0 }

// BudgetLeft finds on what LiteLLM has yet to follow a budget.
func (a *Budgets) BudgetLeft(ctx context.Context, in BudgetLeftInput) (BudgetLeftResult, error) {
	left, err := a.Store.BudgetLeft(ctx, in.ID, in.Limit)
	if models.KindOf(err) == models.NotFound {
		return BudgetLeftResult{}, nil
	}
	var found FoundCascades
	found.add(left.Cascades)
	return BudgetLeftResult{left.Keys, left.Left, left.User, found.Cascades}, err
}

// ObserveBudgetInput says what was seen.
type ObserveBudgetInput struct {
	ID         uuid.UUID
	Generation int64
}

// ObserveBudget records that LiteLLM was seen to follow a budget as of a generation.
func (a *Budgets) ObserveBudget(ctx context.Context, in ObserveBudgetInput) error {
	return a.Store.ObserveBudget(ctx, in.ID, in.Generation)
}
