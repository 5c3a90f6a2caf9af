package models_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// What follows from what was spent, and at which spend to look again.
func TestBudgetJudge(t *testing.T) {
	const d = models.Dollar
	now := at(t, "2026-03-05T12:00:00Z")
	end := at(t, "2026-04-01T00:00:00Z")
	slow := []models.BudgetThreshold{{Percent: 100, Actions: []models.BudgetAction{models.BudgetHold}}, {Percent: 80, Actions: []models.BudgetAction{models.BudgetThrottle}}}
	for _, tc := range []struct {
		name  string
		b     models.Budget
		told  []int
		want  models.BudgetVerdict // but what it tells of
		house []models.BudgetThreshold
	}{
		{name: "unlimited", b: models.Budget{Spent: 5 * d}},
		{name: "unlimited, with a soft limit", b: models.Budget{Spent: 5 * d, SoftAmount: new(5 * d)}, want: models.BudgetVerdict{NextAt: new(5*d + 1)}},
		{name: "more than the soft limit", b: models.Budget{Spent: 5*d + 1, SoftAmount: new(5 * d)}, want: models.BudgetVerdict{Soft: true}},
		{name: "it was told of", b: models.Budget{Spent: 6 * d, SoftAmount: new(5 * d), SoftTold: true}},
		{name: "nothing may be spent", b: models.Budget{Amount: new(models.USD(0))}, want: models.BudgetVerdict{Held: true, HoldAt: new(models.USD(0)), WakeAt: &end}},
		{name: "nothing, but for a raise", b: models.Budget{Amount: new(models.USD(0)), Raised: d}, want: models.BudgetVerdict{NextAt: new(d / 2), HoldAt: new(d)}},
		{name: "nothing is spent", b: models.Budget{Amount: new(10 * d)}, want: models.BudgetVerdict{NextAt: new(5 * d), HoldAt: new(10 * d)}},
		{name: "half of it", b: models.Budget{Amount: new(10 * d), Spent: 5 * d}, told: []int{50}, want: models.BudgetVerdict{NextAt: new(8 * d), HoldAt: new(10 * d)}},
		{name: "half of it was told of", b: models.Budget{Amount: new(10 * d), Spent: 6 * d, Reached: 50}, want: models.BudgetVerdict{NextAt: new(8 * d), HoldAt: new(10 * d)}},
		{name: "all at once", b: models.Budget{Amount: new(10 * d), Spent: 11 * d}, told: []int{50, 80, 90, 100}, want: models.BudgetVerdict{Held: true, HoldAt: new(10 * d), WakeAt: &end}},
		{name: "it is held", b: models.Budget{Amount: new(10 * d), Spent: 11 * d, Reached: 100, Held: true}, want: models.BudgetVerdict{Held: true, HoldAt: new(10 * d), WakeAt: &end}},
		{name: "it was raised", b: models.Budget{Amount: new(10 * d), Raised: 10 * d, Spent: 11 * d, Reached: 100, Held: true}, want: models.BudgetVerdict{NextAt: new(20 * d), HoldAt: new(20 * d)}},
		{name: "the raise ended", b: models.Budget{Amount: new(10 * d), Spent: 11 * d, Reached: 100}, want: models.BudgetVerdict{Held: true, HoldAt: new(10 * d), WakeAt: &end}},
		{name: "rounded up", b: models.Budget{Amount: new(models.USD(3)), Spent: 1}, want: models.BudgetVerdict{NextAt: new(models.USD(2)), HoldAt: new(models.USD(3))}},
		{
			name: "slowed", b: models.Budget{Amount: new(10 * d), Spent: 8 * d, Thresholds: slow, ThrottleRPM: new(int64(1))}, told: []int{80},
			want: models.BudgetVerdict{Throttled: true, NextAt: new(10 * d), HoldAt: new(10 * d), WakeAt: &end},
		},
		{
			name: "not slowed any more, and again at the same spend", b: models.Budget{Amount: new(20 * d), Spent: 8 * d, Reached: 80, Throttled: true, Thresholds: slow, ThrottleRPM: new(int64(1))},
			want: models.BudgetVerdict{NextAt: new(16 * d), HoldAt: new(20 * d)},
		},
		{name: "slowed to nothing in particular", b: models.Budget{Amount: new(10 * d), Spent: 8 * d, Reached: 80, Thresholds: slow}, want: models.BudgetVerdict{NextAt: new(10 * d), HoldAt: new(10 * d)}},
		{
			name: "thresholds of the house", b: models.Budget{Amount: new(10 * d), Spent: 10 * d}, told: []int{70},
			house: []models.BudgetThreshold{{Percent: 120}, {Percent: 70}}, want: models.BudgetVerdict{NextAt: new(12 * d)},
		},
		{name: "none at all", b: models.Budget{Amount: new(10 * d), Spent: 10 * d, Thresholds: []models.BudgetThreshold{}}},
		{
			name: "a hold that can be prevented begins later", b: models.Budget{Amount: new(10 * d), Spent: 10 * d, Reached: 90, HoldAfter: time.Hour}, told: []int{100},
			want: models.BudgetVerdict{HoldDueAt: new(now.Add(time.Hour)), WakeAt: new(now.Add(time.Hour))},
		},
		{
			name: "it waits", b: models.Budget{Amount: new(10 * d), Spent: 12 * d, Reached: 100, HoldAfter: time.Hour, HoldDueAt: new(now.Add(time.Minute))},
			want: models.BudgetVerdict{HoldDueAt: new(now.Add(time.Minute)), WakeAt: new(now.Add(time.Minute))},
		},
		{
			name: "it begins", b: models.Budget{Amount: new(10 * d), Spent: 12 * d, Reached: 100, HoldAfter: time.Hour, HoldDueAt: new(now)},
			want: models.BudgetVerdict{Held: true, HoldAt: new(10 * d), WakeAt: &end},
		},
		{name: "it was prevented", b: models.Budget{Amount: new(10 * d), Spent: 12 * d, Reached: 100, HoldAfter: time.Hour, HoldDueAt: new(now), Pardoned: true}},
		{
			name: "it was raised before it began", b: models.Budget{Amount: new(10 * d), Raised: 5 * d, Spent: 12 * d, Reached: 100, HoldAfter: time.Hour, HoldDueAt: new(now)},
			want: models.BudgetVerdict{NextAt: new(15 * d)},
		},
		{
			name: "as much as there can be", b: models.Budget{Amount: new(models.USD(math.MaxInt64)), Raised: d, Spent: 9 * d, Reached: 100},
			want: models.BudgetVerdict{NextAt: new(models.USD(math.MaxInt64)), HoldAt: new(models.USD(math.MaxInt64))},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.b.EndsAt = &end
			if tc.house == nil {
				tc.house = models.DefaultThresholds()
			}
			v := tc.b.Judge(now, tc.house)
			var told []int
			for _, th := range v.Told {
				told = append(told, th.Percent)
			}
			v.Told = nil
			require.Equal(t, tc.told, told)
			require.Equal(t, tc.want, v)
		})
	}
}

func TestBudgetCheck(t *testing.T) {
	good := models.Budget{
		Amount: new(models.USD(0)), Period: "12h", TimeZone: "Asia/Kolkata", ThrottleTPM: new(int64(0)), HoldAfter: time.Hour,
		Thresholds: []models.BudgetThreshold{{Percent: 1000, Actions: []models.BudgetAction{"notify", "throttle", "hold"}}, {Percent: 1}},
	}
	require.NoError(t, good.Check())
	many := make([]models.BudgetThreshold, 21)
	for i := range many {
		many[i].Percent = i + 1
	}
	for field, spoil := range map[string]func(b *models.Budget){
		"amount":                func(b *models.Budget) { b.Amount = new(models.USD(-1)) },
		"softAmount":            func(b *models.Budget) { b.SoftAmount = new(models.USD(-1)) },
		"period":                func(b *models.Budget) { b.Period = "0d" },
		"timeZone":              func(b *models.Budget) { b.TimeZone = "Local" },
		"throttleRpm":           func(b *models.Budget) { b.ThrottleRPM = new(int64(-1)) },
		"throttleTpm":           func(b *models.Budget) { b.ThrottleTPM = new(int64(-1)) },
		"holdAfter":             func(b *models.Budget) { b.HoldAfter = 169 * time.Hour },
		"thresholds":            func(b *models.Budget) { b.ThrottleTPM = nil },
		"thresholds[0].percent": func(b *models.Budget) { b.Thresholds = []models.BudgetThreshold{{Percent: 1001}} },
		"thresholds[1].percent": func(b *models.Budget) { b.Thresholds = []models.BudgetThreshold{{Percent: 5}, {Percent: 5}} },
		"thresholds[0].actions": func(b *models.Budget) {
			b.Thresholds = []models.BudgetThreshold{{Percent: 5, Actions: []models.BudgetAction{"x"}}}
		},
	} {
		b := good
		spoil(&b)
		err := b.Check()
		require.Equal(t, models.Invalid, models.KindOf(err), field)
		e, _ := errors.AsType[*models.Error](err)
		require.Equal(t, field, e.Field)
	}
	b := good
	b.Thresholds = many
	require.ErrorContains(t, b.Check(), "at most")
	b = good
	b.SubjectType = models.BudgetOfSubscription
	require.ErrorContains(t, b.Check(), "only users")
	b = good
	b.TimeZone = ""
	require.Error(t, b.Check())
}

// What LiteLLM is told of a key and of a user by their budgets.
func TestKeyByItsBudgets(t *testing.T) {
	k := models.Key{
		Models: []string{"a", "b"}, Limits: models.Limits{MaxBudget: new(5 * models.Dollar), RPM: new(int64(10)), TPM: new(int64(3))},
		Raised: 2 * models.Dollar, ThrottleRPM: new(int64(4)), ThrottleTPM: new(int64(9)), BlockedModels: []string{"b"}, ObservedGeneration: 1,
	}
	p := k.Proxy()
	require.Equal(t, 7*models.Dollar, *p.MaxBudget)
	require.Equal(t, int64(4), *p.RPM)
	require.Equal(t, int64(3), *p.TPM)
	require.Equal(t, []string{"a"}, p.Models)
	require.Equal(t, []string{"a", "b"}, k.Models)
	require.True(t, k.Narrower(models.ProxyKey{Models: []string{"a", "b"}}))
	require.Equal(t, models.KeyActive, k.Status())
	seen := p
	seen.MaxBudget, seen.RPM = new(9*models.Dollar), new(int64(99))
	require.Equal(t, models.SideOurs, models.KeysTheirs.Wins(k, seen, "max_budget"))
	require.Equal(t, models.SideOurs, models.KeysTheirs.Wins(k, seen, "rpm_limit"))

	k.BlockedModels = []string{"a", "b"}
	require.Equal(t, models.KeyDelete, k.Next(&p))
	require.Equal(t, models.KeyBlocked, k.Status())
	k.Limits = models.Limits{}
	require.Nil(t, k.Proxy().MaxBudget)
	require.Equal(t, int64(4), *k.Proxy().RPM)

	u := models.User{Limits: models.Limits{MaxBudget: new(5 * models.Dollar)}, Raised: models.Dollar}
	require.Equal(t, 6*models.Dollar, *u.Proxy().MaxBudget)
	u.Holds = []models.Hold{models.HoldAdmin}
	require.Zero(t, *u.Proxy().MaxBudget)
}
