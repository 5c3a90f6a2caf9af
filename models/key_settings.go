package models

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
)

// KeyDefaults is what an admin says of the keys that people make for themselves: what a key gets
// that asks for nothing, and what no key may exceed. Nil is none of either; 0 is a limit. Keys
// that admins make are not bound by it.
type KeyDefaults struct {
	Defaults KeyLimitDefaults `json:"defaults"`
	Maximums KeyLimitMaximums `json:"maximums"`
}

// KeyLimitDefaults is what a key gets that asks for nothing.
type KeyLimitDefaults struct {
	MaxBudget      *USD    `json:"maxBudget"`
	TPM            *int64  `json:"tpmLimit"`
	RPM            *int64  `json:"rpmLimit"`
	BudgetDuration *string `json:"budgetDuration"`
	SoftBudget     *USD    `json:"softBudget"`
	ExpirationDays *int    `json:"expirationDays"`
}

// KeyLimitMaximums is what no key may exceed: where there is one, a key cannot be without a limit.
type KeyLimitMaximums struct {
	MaxBudget      *USD   `json:"maxBudget"`
	TPM            *int64 `json:"tpmLimit"`
	RPM            *int64 `json:"rpmLimit"`
	ExpirationDays *int   `json:"expirationDays"`
}

// MaxExpirationDays bounds how far away the end of a key may be: a hundred years.
const MaxExpirationDays = 36_525

// Check reports what is wrong with the settings, in LiteMaaS's words where it has some; the error
// is Invalid and names the field.
func (d KeyDefaults) Check() error {
	def, most := d.Defaults, d.Maximums
	limits := Limits{MaxBudget: def.MaxBudget, TPM: def.TPM, RPM: def.RPM}
	if def.BudgetDuration != nil {
		if limits.BudgetDuration = *def.BudgetDuration; limits.BudgetDuration == "" {
			limits.BudgetDuration = "none" // which is no period
		}
	}
	if err, ok := errors.AsType[*Error](limits.Check()); ok {
		return err.On("defaults." + err.Field)
	}
	if err, ok := errors.AsType[*Error](Limits{MaxBudget: most.MaxBudget, TPM: most.TPM, RPM: most.RPM}.Check()); ok {
		return err.On("maximums." + err.Field)
	}
	switch {
	case def.SoftBudget != nil && *def.SoftBudget < 0:
		return Errorf(Invalid, "a budget must be zero or more").On("defaults.softBudget")
	case !expires(def.ExpirationDays):
		return Errorf(Invalid, "a key lives from 1 to %d days", MaxExpirationDays).On("defaults.expirationDays")
	case !expires(most.ExpirationDays):
		return Errorf(Invalid, "a key lives from 1 to %d days", MaxExpirationDays).On("maximums.expirationDays")
	case above(def.MaxBudget, most.MaxBudget):
		return Errorf(Invalid, "Default max budget cannot exceed the maximum limit").On("defaults.maxBudget")
	case above(def.TPM, most.TPM):
		return Errorf(Invalid, "Default TPM limit cannot exceed the maximum limit").On("defaults.tpmLimit")
	case above(def.RPM, most.RPM):
		return Errorf(Invalid, "Default RPM limit cannot exceed the maximum limit").On("defaults.rpmLimit")
	case above(def.ExpirationDays, most.ExpirationDays):
		return Errorf(Invalid, "Default expiration cannot exceed the maximum expiration limit").On("defaults.expirationDays")
	}
	return nil
}

func expires(days *int) bool { return days == nil || *days >= 1 && *days <= MaxExpirationDays }

func above[T cmp.Ordered](v, most *T) bool { return v != nil && most != nil && *v > *most }

// Asked is a field of a request: it may be left out, and it may be null, which are not the same.
type Asked[T any] struct {
	Named bool
	Value *T // nil: null
}

// KeyLimits bounds one key.
type KeyLimits struct {
	Limits
	SoftBudget *USD       // whoever spends more is told of it; nil: nobody is
	ExpiresAt  *time.Time // nil: never
}

// AskedLimits is what somebody asks of a key that he makes or changes.
type AskedLimits struct {
	MaxBudget, SoftBudget Asked[USD]
	TPM, RPM              Asked[int64]
	BudgetDuration        Asked[string]
	ExpiresAt             Asked[time.Time] // null: never
}

// New is the limits of a new key, of which that is asked: what it leaves out gets the default,
// else the maximum. It is Invalid when that is more than a maximum.
func (d KeyDefaults) New(ask AskedLimits, now time.Time) (KeyLimits, error) {
	return d.Change(KeyLimits{}, d.Merge(ask, now), now)
}

// Merge is what a new key asks for, with the defaults where it asks for nothing. Null asks for
// nothing, as at LiteMaaS, but as an expiry: that is never.
func (d KeyDefaults) Merge(ask AskedLimits, now time.Time) AskedLimits {
	def := d.Defaults
	out := AskedLimits{
		MaxBudget: orDefault(ask.MaxBudget, def.MaxBudget), SoftBudget: orDefault(ask.SoftBudget, def.SoftBudget),
		TPM: orDefault(ask.TPM, def.TPM), RPM: orDefault(ask.RPM, def.RPM),
		BudgetDuration: orDefault(ask.BudgetDuration, def.BudgetDuration), ExpiresAt: ask.ExpiresAt,
	}
	if !out.ExpiresAt.Named {
		out.ExpiresAt = Asked[time.Time]{true, inDays(now, cmp.Or(def.ExpirationDays, d.Maximums.ExpirationDays))}
	}
	return out
}

func orDefault[T any](ask Asked[T], def *T) Asked[T] {
	return Asked[T]{true, cmp.Or(ask.Value, def)}
}

func inDays(now time.Time, days *int) *time.Time {
	if days == nil {
		return nil
	}
	return new(now.Add(time.Duration(*days) * 24 * time.Hour))
}

// Change is the limits of a key that has had others, of which that is asked; what it leaves out
// stays. A null becomes the maximum, if there is one. It is Invalid when that is more than a
// maximum, or a key shall never expire though there is a maximum.
func (d KeyDefaults) Change(was KeyLimits, ask AskedLimits, now time.Time) (KeyLimits, error) {
	out, most, e := was, d.Maximums, excess{}
	bound(&e, "maxBudget", &out.MaxBudget, ask.MaxBudget, most.MaxBudget)
	bound(&e, "tpmLimit", &out.TPM, ask.TPM, most.TPM)
	bound(&e, "rpmLimit", &out.RPM, ask.RPM, most.RPM)
	if ask.SoftBudget.Named {
		out.SoftBudget = ask.SoftBudget.Value
	}
	if ask.BudgetDuration.Named {
		out.BudgetDuration = ""
		if v := ask.BudgetDuration.Value; v != nil {
			out.BudgetDuration = *v
		}
	}
	if ask.ExpiresAt.Named {
		out.ExpiresAt = e.expiry(ask.ExpiresAt.Value, most.ExpirationDays, now)
	}
	if err := e.err(); err != nil {
		return KeyLimits{}, err
	}
	return out, nil
}

// excess collects what is more than its maximum.
type excess struct {
	field string // the first
	parts []string
}

// bound makes to what was asked for, at most the maximum.
func bound[T cmp.Ordered](e *excess, field string, to **T, ask Asked[T], most *T) {
	switch {
	case !ask.Named:
	case above(ask.Value, most):
		e.add(field, "%s: %v exceeds maximum %v", field, *ask.Value, *most)
	default:
		*to = cmp.Or(ask.Value, most)
	}
}

// expiry is when a key expires that shall expire at that time. What is less than a day beyond
// the maximum is cut, not refused: a browser counts days by its own clock and summer time.
func (e *excess) expiry(at *time.Time, most *int, now time.Time) *time.Time {
	if most == nil {
		return at
	}
	last := inDays(now, most)
	switch {
	case at == nil:
		e.add("expiresAt", "expirationDays: 'Never' is not allowed")
	case !at.Before(last.Add(24 * time.Hour)):
		e.add("expiresAt", "expirationDays: %d exceeds maximum %d", (at.Unix()-now.Unix())/(24*60*60), *most)
	case at.Before(*last):
		return at
	}
	return last
}

func (e *excess) add(field, format string, args ...any) {
	e.field = cmp.Or(e.field, field)
	e.parts = append(e.parts, fmt.Sprintf(format, args...))
}

func (e *excess) err() error {
	if e.field == "" {
		return nil
	}
	return Errorf(Invalid, "Quota limits exceeded: %s", strings.Join(e.parts, "; ")).On(e.field)
}
