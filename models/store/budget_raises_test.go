package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// A raise releases at once, and when it ends the budget is what it was, once: by whoever sees it.
func TestRaiseBudget(t *testing.T) {
	w := newWorld(t)
	u := w.user("ada")
	b := w.used(models.BudgetOfUser, u, store.Spending{UserID: u})
	r := w.raise(b, 20, time.Now().Add(time.Hour))
	require.Equal(t, []any{models.RaiseActive, "a demo", machine.ID}, []any{r.Status, r.Reason, r.RequestedBy})
	judged := w.judge()
	require.True(t, judged[0].Released)
	require.EqualValues(t, 30, *judged[0].Limit())
	require.EqualValues(t, 30, *judged[0].HoldAt)

	same, err := w.s.EndRaise(t.Context(), r.ID, false, machine)
	require.NoError(t, err)
	require.Equal(t, models.RaiseActive, same.Status, "its time is not over")
	w.exec("UPDATE budget_raises SET until_at = now()")
	wait, err := w.s.BudgetsWait(t.Context(), time.Hour)
	require.NoError(t, err)
	require.True(t, wait)
	for _, err := range atOnce(4, func(i int) error {
		if i%2 == 0 {
			_, err := w.s.EndDueRaises(t.Context(), 10, machine)
			return err
		}
		_, err := w.s.EndRaise(t.Context(), r.ID, false, machine)
		return err
	}) {
		require.NoError(t, err)
	}
	b = w.budget(models.BudgetOfUser, u, "")
	require.Zero(t, b.Raised)
	require.True(t, w.judge()[0].Held)
	require.Equal(t, "threshold:50 threshold:80 threshold:90 threshold:100 held raised released restored held", w.news(b))
	list, err := w.s.BudgetRaises(t.Context(), b.ID)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, models.RaiseEnded, list[0].Status)
	require.NotNil(t, list[0].EndedAt)
	require.Equal(t, []models.AuditAction{
		models.AuditBudgetHold, models.AuditBudgetRestore, models.AuditBudgetRelease, models.AuditBudgetRaise, models.AuditBudgetHold,
	}, audited(t, w.s, b.ID.String()))
}

// A raise that needs an approval changes nothing until it has it; and nothing, if nobody decides.
func TestRaiseNeedsApproval(t *testing.T) {
	w := newWorld(t)
	u := w.user("ada")
	b := w.limited(models.BudgetOfUser, u, 10)
	ask := func() models.BudgetRaise {
		r, err := w.s.RequestRaise(t.Context(), models.BudgetRaise{BudgetID: b.ID, Amount: 5, UntilAt: time.Now().Add(time.Hour)}, true, self(u))
		require.NoError(t, err)
		require.Equal(t, models.RaisePending, r.Status)
		return r
	}
	raised := func() models.USD { return w.budget(models.BudgetOfUser, u, "").Raised }
	r := ask()
	require.Zero(t, raised())
	r, err := w.s.DecideRaise(t.Context(), r.ID, true, "fine", machine)
	require.NoError(t, err)
	require.Equal(t, []any{models.RaiseActive, "fine", machine.ID, models.USD(5)}, []any{r.Status, r.DecidedWhy, r.DecidedBy, raised()})
	_, err = w.s.DecideRaise(t.Context(), r.ID, false, "", machine)
	refused(t, models.Conflict, err)
	r, err = w.s.EndRaise(t.Context(), r.ID, true, self(u))
	require.NoError(t, err)
	require.Equal(t, []any{models.RaiseWithdrawn, models.USD(0)}, []any{r.Status, raised()})

	r, err = w.s.DecideRaise(t.Context(), ask().ID, false, "no", machine)
	require.NoError(t, err)
	require.Equal(t, models.RaiseDenied, r.Status)
	r, err = w.s.EndRaise(t.Context(), ask().ID, true, self(u))
	require.NoError(t, err)
	require.Equal(t, models.RaiseWithdrawn, r.Status)
	late := ask()
	w.exec("UPDATE budget_raises SET until_at = now() WHERE id = $1", late.ID)
	_, err = w.s.DecideRaise(t.Context(), late.ID, true, "", machine)
	refused(t, models.Conflict, err)
	n, err := w.s.EndDueRaises(t.Context(), 10, machine)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	late, err = w.s.Raise(t.Context(), late.ID)
	require.NoError(t, err)
	require.Equal(t, models.RaiseDenied, late.Status)
	require.Zero(t, raised())

	_, err = w.s.RequestRaise(t.Context(), models.BudgetRaise{BudgetID: b.ID, UntilAt: time.Now().Add(time.Hour)}, false, machine)
	refused(t, models.Invalid, err)
	_, err = w.s.RequestRaise(t.Context(), models.BudgetRaise{BudgetID: b.ID, Amount: 1, UntilAt: time.Now()}, false, machine)
	refused(t, models.Invalid, err)
	_, err = w.s.RequestRaise(t.Context(), models.BudgetRaise{BudgetID: uuid.New(), Amount: 1, UntilAt: time.Now().Add(time.Hour)}, false, machine)
	refused(t, models.NotFound, err)
	w.exec("UPDATE budgets SET amount = NULL")
	_, err = w.s.RequestRaise(t.Context(), models.BudgetRaise{BudgetID: b.ID, Amount: 1, UntilAt: time.Now().Add(time.Hour)}, false, machine)
	refused(t, models.Conflict, err)
}
