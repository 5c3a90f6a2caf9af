package activities

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// RaiseRef names a temporary increase of a budget.
type RaiseRef struct{ ID uuid.UUID }

// RaiseState is what has to be known of a raise to look after it.
type RaiseState struct {
	Status  models.RaiseStatus // empty: it is gone, with its budget
	Amount  models.USD
	UntilAt time.Time
	Left    time.Duration // until then
}

// Over reports whether nothing more comes of it.
func (r RaiseState) Over() bool {
	return r.Status != models.RaisePending && r.Status != models.RaiseActive
}

// LookAtRaise says how a raise stands.
func (a *Budgets) LookAtRaise(ctx context.Context, in RaiseRef) (RaiseState, error) {
	r, err := a.Store.Raise(ctx, in.ID)
	if models.KindOf(err) == models.NotFound {
		return RaiseState{}, nil
	}
	if err != nil {
		return RaiseState{}, err
	}
	return raiseState(r), nil
}

// EndRaise ends a raise whose time is over; until then it changes nothing.
func (a *Budgets) EndRaise(ctx context.Context, in RaiseRef) (RaiseState, error) {
	r, err := a.Store.EndRaise(ctx, in.ID, false, models.System("RaiseBudget"))
	if models.KindOf(err) == models.NotFound {
		return RaiseState{}, nil
	}
	if err != nil {
		return RaiseState{}, err
	}
	return raiseState(r), nil
}

func raiseState(r models.BudgetRaise) RaiseState {
	return RaiseState{r.Status, r.Amount, r.UntilAt.UTC(), time.Until(r.UntilAt)}
}
