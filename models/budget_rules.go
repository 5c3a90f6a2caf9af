package models

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// DefaultThresholds are what is done at which part of a budget, unless a budget or the house says
// otherwise.
func DefaultThresholds() []BudgetThreshold {
	return []BudgetThreshold{
		{Percent: 50, Actions: []BudgetAction{BudgetNotify}},
		{Percent: 80, Actions: []BudgetAction{BudgetNotify}},
		{Percent: 90, Actions: []BudgetAction{BudgetNotify}},
		{Percent: 100, Actions: []BudgetAction{BudgetNotify, BudgetHold}},
	}
}

// What people are told of budgets.
const (
	BudgetThresholdNews  = "budget.threshold"
	BudgetSoftLimitNews  = "budget.soft_limit"
	BudgetHeldNews       = "budget.held"
	BudgetReleasedNews   = "budget.released"
	BudgetRaisedNews     = "budget.raised"
	BudgetRaiseAskedNews = "budget.raise_requested"
	BudgetRestoredNews   = "budget.restored"
)

// The bounds of a budget's settings.
const (
	maxThresholds = 20
	maxPercent    = 1000
	MaxHoldAfter  = 7 * 24 * time.Hour
)

// Check reports what is wrong with what people set of a budget; the error is Invalid and names the
// field.
func (b Budget) Check() error {
	_, known := durations[b.Period]
	switch {
	case b.Amount != nil && *b.Amount < 0:
		return Errorf(Invalid, "a budget must be zero or more").On("amount")
	case b.SoftAmount != nil && *b.SoftAmount < 0:
		return Errorf(Invalid, "a budget must be zero or more").On("softAmount")
	case b.Period != "" && !known && !duration.MatchString(b.Period):
		return Errorf(Invalid, "a budget period is daily, weekly, monthly, yearly, or such as 12h, 30d or 1mo").On("period")
	case !knownZone(b.TimeZone):
		return Errorf(Invalid, "%q is no time zone such as UTC or Europe/Prague", b.TimeZone).On("timeZone")
	case b.ThrottleRPM != nil && *b.ThrottleRPM < 0:
		return Errorf(Invalid, "a limit must be zero or more").On("throttleRpm")
	case b.ThrottleTPM != nil && *b.ThrottleTPM < 0:
		return Errorf(Invalid, "a limit must be zero or more").On("throttleTpm")
	case b.HoldAfter < 0 || b.HoldAfter > MaxHoldAfter:
		return Errorf(Invalid, "a hold can be prevented for 7 days at most").On("holdAfter")
	}
	return b.checkThresholds()
}

// knownZone reports whether a time zone is known by that name. Local is whichever machine's.
func knownZone(name string) bool {
	if name == "" || strings.EqualFold(name, "local") {
		return false
	}
	_, err := time.LoadLocation(name)
	return err == nil
}

func (b Budget) checkThresholds() error {
	if len(b.Thresholds) > maxThresholds {
		return Errorf(Invalid, "a budget has %d thresholds at most", maxThresholds).On("thresholds")
	}
	if err := CheckThresholds(b.Thresholds); err != nil {
		return err
	}
	slows := slices.ContainsFunc(b.Thresholds, func(t BudgetThreshold) bool { return slices.Contains(t.Actions, BudgetThrottle) })
	switch {
	case slows && (b.SubjectType == BudgetOfSubscription || b.SubjectType == BudgetOfKeyModel):
		return Errorf(Invalid, "only users, teams and API keys can be throttled").On("thresholds")
	case slows && b.ThrottleRPM == nil && b.ThrottleTPM == nil:
		return Errorf(Invalid, "who throttles has to say to how many requests or tokens a minute").On("thresholds")
	}
	return nil
}

// CheckThresholds reports what is wrong with thresholds; the error is Invalid and names the field.
func CheckThresholds(list []BudgetThreshold) error {
	seen := map[int]bool{}
	for i, t := range list {
		field := fmt.Sprintf("thresholds[%d]", i)
		switch {
		case t.Percent < 1 || t.Percent > maxPercent:
			return Errorf(Invalid, "a threshold is from 1 to %d percent", maxPercent).On(field + ".percent")
		case seen[t.Percent]:
			return Errorf(Invalid, "there are two thresholds of %d percent", t.Percent).On(field + ".percent")
		}
		seen[t.Percent] = true
		for _, a := range t.Actions {
			if a != BudgetNotify && a != BudgetThrottle && a != BudgetHold {
				return Errorf(Invalid, "%q is none of notify, throttle and hold", a).On(field + ".actions")
			}
		}
	}
	return nil
}

// Limit is what may be spent in the period, with the raises that are active; nil: unlimited.
func (b Budget) Limit() *USD { return raisedBy(b.Amount, b.Raised) }

// raisedBy is a budget with what it is raised by; nil: unlimited.
func raisedBy(amount *USD, raised USD) *USD {
	switch {
	case amount == nil || raised == 0:
		return amount
	case *amount > math.MaxInt64-raised:
		return new(USD(math.MaxInt64))
	}
	return new(*amount + raised)
}

// Refused reports whether the subject may spend nothing at a time, by the row.
func (b Budget) Refused(now time.Time) bool {
	return !b.Over(now) && b.HoldAt != nil && b.Spent >= *b.HoldAt
}

// Part is the amount at which so many percent of a limit are spent.
func (u USD) Part(percent int) USD {
	p := USD(percent)
	if whole := u / 100; whole > math.MaxInt64/maxPercent {
		return math.MaxInt64
	}
	return u/100*p + (u%100*p+99)/100
}

// BudgetVerdict is what follows from what was spent of a budget.
type BudgetVerdict struct {
	Told            []BudgetThreshold // that are reached and were not told of, the lowest first
	Soft            bool              // the soft limit is
	Held, Throttled bool
	HoldDueAt       *time.Time // when a hold that a person may prevent begins
	NextAt          *USD       // the spend at which to judge again; nil: never
	HoldAt          *USD       // the spend from which the subject is refused; nil: never
	WakeAt          *time.Time // when to judge again, whatever is spent; nil: never
}

// Judge says what follows from what was spent of a budget, as it stands at a time (see On); house
// are the thresholds of a budget that has none of its own. What was told of once is not told of
// again in this period, also if the budget was raised meanwhile.
func (b Budget) Judge(now time.Time, house []BudgetThreshold) BudgetVerdict {
	var v BudgetVerdict
	next := func(at USD) {
		if at > b.Spent && (v.NextAt == nil || at < *v.NextAt) {
			v.NextAt = &at
		}
	}
	if b.SoftAmount != nil && !b.SoftTold {
		v.Soft = b.Spent > *b.SoftAmount
		next(min(*b.SoftAmount, math.MaxInt64-1) + 1)
	}
	limit := b.Limit()
	switch {
	case limit == nil:
	case *limit == 0:
		v.Held, v.HoldAt = true, new(USD(0))
	default:
		from := b.judgeThresholds(&v, *limit, house, next)
		b.judgeHold(&v, from, now)
	}
	if v.Held || v.Throttled {
		v.WakeAt = b.EndsAt
	}
	if v.HoldDueAt != nil && (v.WakeAt == nil || v.HoldDueAt.Before(*v.WakeAt)) {
		v.WakeAt = v.HoldDueAt
	}
	return v
}

// judgeThresholds judges what is told and slowed, and returns the spend that holds; nil: none does.
func (b Budget) judgeThresholds(v *BudgetVerdict, limit USD, house []BudgetThreshold, next func(USD)) (from *USD) {
	list := b.Thresholds
	if list == nil {
		list = house
	}
	list = slices.SortedFunc(slices.Values(list), func(x, y BudgetThreshold) int { return cmp.Compare(x.Percent, y.Percent) })
	for _, t := range list {
		at := limit.Part(t.Percent)
		holds := slices.Contains(t.Actions, BudgetHold)
		slows := slices.Contains(t.Actions, BudgetThrottle) && (b.ThrottleRPM != nil || b.ThrottleTPM != nil)
		if holds && from == nil {
			from = &at
		}
		if b.Spent >= at {
			v.Throttled = v.Throttled || slows
			if t.Percent > b.Reached {
				v.Told = append(v.Told, t)
			}
		}
		if t.Percent > b.Reached || holds || slows {
			next(at)
		}
	}
	return from
}

// judgeHold judges whether the subject is held from a spend on. A hold that a person may prevent
// begins after a while, once; what is held stays so.
func (b Budget) judgeHold(v *BudgetVerdict, from *USD, now time.Time) {
	if from == nil || b.Pardoned {
		return
	}
	if b.HoldAfter == 0 {
		v.HoldAt = from
	}
	if b.Spent < *from {
		return
	}
	due := b.HoldDueAt
	if due == nil {
		due = new(now.Add(b.HoldAfter))
	}
	if v.Held = b.Held || !now.Before(*due); v.Held {
		v.HoldAt = from
	} else {
		v.HoldDueAt = due
	}
}
