package models

import "time"

// Rerate says which calls are to be priced anew, with the prices that are known now.
type Rerate struct {
	From, Until time.Time // when they began; Until is not part of it
	Model       string    // empty: all
	Reported    bool      // also those of which LiteLLM reported the cost; else what we computed, or could not
	DryRun      bool      // only say what would be
}

// Check reports what cannot be done; the error is Invalid and names the field.
func (r Rerate) Check() error {
	switch {
	case r.From.IsZero():
		return Errorf(Invalid, "say from when on").On("from")
	case !r.Until.After(r.From):
		return Errorf(Invalid, "it must end after it begins").On("until")
	}
	return nil
}

// Rerated is what pricing calls of a model anew has changed.
type Rerated struct {
	Model    string
	Calls    int // whose cost is another now
	Old, New USD // what they cost together, before and after
}

// RerateReport is what pricing calls anew has changed.
type RerateReport struct {
	Models []Rerated // by name
	Due    bool      // some budget has to be judged: EnforceBudgets
}
