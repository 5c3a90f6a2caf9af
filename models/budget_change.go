package models

import (
	"cmp"
	"slices"
	"time"
)

// BudgetChange is what somebody asks of a budget; what is left out stays.
type BudgetChange struct {
	Amount, SoftAmount       Asked[USD] // null: unlimited; nobody is told
	Period                   Asked[string]
	Rolling                  *bool
	TimeZone                 *string
	Thresholds               Asked[[]BudgetThreshold] // null: those of the house
	ThrottleRPM, ThrottleTPM Asked[int64]
	HoldAfter                *time.Duration
}

// Apply is the budget as it is asked for, where it was b. It is Invalid when it cannot be.
func (c BudgetChange) Apply(b Budget) (Budget, error) {
	become(&b.Thresholds, c.Thresholds)
	become(&b.Period, c.Period)
	replace(&b.Amount, c.Amount)
	replace(&b.SoftAmount, c.SoftAmount)
	replace(&b.ThrottleRPM, c.ThrottleRPM)
	replace(&b.ThrottleTPM, c.ThrottleTPM)
	if c.Rolling != nil {
		b.Rolling = *c.Rolling
	}
	if c.TimeZone != nil {
		b.TimeZone = *c.TimeZone
	}
	if c.HoldAfter != nil {
		b.HoldAfter = *c.HoldAfter
	}
	if b.SubjectType == BudgetOfKeyModel && b.Amount != nil && b.Period == "" {
		return b, Errorf(Invalid, "the budget of a model of a key needs a period").On("period")
	}
	return b, b.Check()
}

// replace makes to what was asked for, null among it.
func replace[T any](to **T, ask Asked[T]) {
	if ask.Named {
		*to = ask.Value
	}
}

// UserLimitsChange is what an admin asks of the limits of a user; what is left out stays.
type UserLimitsChange struct {
	MaxBudget      Asked[USD]   // null: unlimited; 0: nothing
	TPM, RPM       Asked[int64] // likewise
	BudgetDuration Asked[string]
}

// Apply is the limits as they are asked for, where they were l. It is Invalid when they cannot be.
func (c UserLimitsChange) Apply(l Limits) (Limits, error) {
	replace(&l.MaxBudget, c.MaxBudget)
	replace(&l.TPM, c.TPM)
	replace(&l.RPM, c.RPM)
	become(&l.BudgetDuration, c.BudgetDuration)
	return l, l.Check()
}

// Equal reports whether both bound the same.
func (l Limits) Equal(o Limits) bool {
	return sameValue(l.MaxBudget, o.MaxBudget) && sameValue(l.TPM, o.TPM) && sameValue(l.RPM, o.RPM) && l.BudgetDuration == o.BudgetDuration
}

func sameValue[T comparable](a, b *T) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// MaxRaise is how long a budget can be raised for.
const MaxRaise = 366 * 24 * time.Hour

// HouseThresholds are the thresholds of budgets that have none of their own: each is told of, and
// at all of it, told of or not, the subject is held. They are Invalid when they cannot be.
func HouseThresholds(percents []int) ([]BudgetThreshold, error) {
	const all = 100
	list := []BudgetThreshold{}
	for _, p := range percents {
		if p != all {
			list = append(list, BudgetThreshold{Percent: p, Actions: []BudgetAction{BudgetNotify}})
		}
	}
	list = append(list, BudgetThreshold{Percent: all, Actions: []BudgetAction{BudgetNotify, BudgetHold}})
	slices.SortFunc(list, func(a, b BudgetThreshold) int { return cmp.Compare(a.Percent, b.Percent) })
	return list, CheckThresholds(list)
}
