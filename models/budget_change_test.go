package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// What is left out of a change stays; null is none, and zero is nothing.
func TestChangeBudget(t *testing.T) {
	was := models.Budget{
		SubjectType: models.BudgetOfUser, Amount: new(5 * models.Dollar), SoftAmount: new(models.Dollar), Period: "monthly", TimeZone: "UTC",
		Thresholds: models.DefaultThresholds(), ThrottleRPM: new(int64(3)), HoldAfter: time.Hour,
	}
	same, err := models.BudgetChange{}.Apply(was)
	require.NoError(t, err)
	require.Equal(t, was, same)

	none, err := models.BudgetChange{
		Amount: null[models.USD](), SoftAmount: null[models.USD](), Period: null[string](), Thresholds: null[[]models.BudgetThreshold](), ThrottleRPM: null[int64](),
		HoldAfter: new(time.Duration(0)), TimeZone: new("Europe/Prague"), Rolling: new(true),
	}.Apply(was)
	require.NoError(t, err)
	require.Equal(t, models.Budget{SubjectType: models.BudgetOfUser, TimeZone: "Europe/Prague", Rolling: true}, none)

	nothing, err := models.BudgetChange{Amount: asked(models.USD(0)), Thresholds: asked([]models.BudgetThreshold{})}.Apply(was)
	require.NoError(t, err)
	require.Equal(t, models.USD(0), *nothing.Amount)
	require.NotNil(t, nothing.Thresholds, "none at all is not the same as those of the house")

	for field, change := range map[string]models.BudgetChange{
		"amount": {Amount: asked(models.USD(-1))}, "period": {Period: asked("fortnight")}, "timeZone": {TimeZone: new("Mars/Olympus")},
		"thresholds[0].percent": {Thresholds: asked([]models.BudgetThreshold{{Percent: 0}})}, "holdAfter": {HoldAfter: new(8 * 24 * time.Hour)},
	} {
		_, err := change.Apply(was)
		var e *models.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, []any{models.Invalid, field}, []any{e.Kind, e.Field})
	}
	_, err = models.BudgetChange{Amount: asked(models.Dollar), Period: null[string]()}.Apply(models.Budget{SubjectType: models.BudgetOfKeyModel, TimeZone: "UTC"})
	require.ErrorContains(t, err, "needs a period")
}

// What is left out of a change of a user's limits stays.
func TestChangeUserLimits(t *testing.T) {
	was := models.Limits{MaxBudget: new(models.Dollar), BudgetDuration: "monthly", TPM: new(int64(5)), RPM: new(int64(6))}
	same, err := models.UserLimitsChange{}.Apply(was)
	require.NoError(t, err)
	require.True(t, was.Equal(same))
	to, err := models.UserLimitsChange{MaxBudget: null[models.USD](), TPM: asked(int64(0)), BudgetDuration: null[string]()}.Apply(was)
	require.NoError(t, err)
	require.Equal(t, models.Limits{TPM: new(int64(0)), RPM: new(int64(6))}, to)
	require.False(t, was.Equal(to))
	_, err = models.UserLimitsChange{RPM: asked(int64(-1))}.Apply(was)
	require.Equal(t, models.Invalid, models.KindOf(err))
}

// Whatever the house says, all of a budget holds.
func TestHouseThresholds(t *testing.T) {
	for _, list := range [][]int{{50, 80, 90, 100}, {90, 50, 80}} {
		house, err := models.HouseThresholds(list)
		require.NoError(t, err)
		require.Equal(t, models.DefaultThresholds(), house)
	}
	house, err := models.HouseThresholds([]int{120})
	require.NoError(t, err)
	require.Equal(t, []models.BudgetAction{models.BudgetNotify, models.BudgetHold}, house[0].Actions)
	require.Equal(t, 120, house[1].Percent)
	for _, list := range [][]int{{0}, {1001}, {50, 50}, {100, 100, 5, 5}} {
		_, err := models.HouseThresholds(list)
		require.Equal(t, models.Invalid, models.KindOf(err), list)
	}
}
