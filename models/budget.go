package models

import (
	"time"

	"github.com/google/uuid"
)

// BudgetSubject is what kind of thing a budget is for.
type BudgetSubject string

// The subjects.
const (
	BudgetOfUser         BudgetSubject = "user"
	BudgetOfTeam         BudgetSubject = "team"
	BudgetOfKey          BudgetSubject = "key"
	BudgetOfSubscription BudgetSubject = "subscription"
	BudgetOfKeyModel     BudgetSubject = "key_model" // one model of a key
)

// Budget bounds what its subject may spend in a period, and is where that is counted. There is one
// for every subject, also where nothing bounds it. Held and Throttled are wishes; Generation counts
// their changes and those of Raised, FollowedGeneration is the last one that the rows of keys, users
// and subscriptions follow, and ObservedGeneration the last one that LiteLLM was seen to.
type Budget struct {
	ID          uuid.UUID
	SubjectType BudgetSubject
	SubjectID   uuid.UUID // of BudgetOfKeyModel the key
	ModelID     string    // of BudgetOfKeyModel

	Amount      *USD              // nil: unlimited; 0: nothing
	SoftAmount  *USD              // whoever spends more is told of it; nil: nobody is
	Raised      USD               // by the raises that are active
	Period      string            // as Limits.BudgetDuration; empty: it never starts anew
	Rolling     bool              // periods begin when the budget did, and not by the calendar
	TimeZone    string            // of that calendar, as in the IANA database
	Thresholds  []BudgetThreshold `gorm:"serializer:json"` // nil: those of the house
	ThrottleRPM *int64            // what a throttled key has a minute; nil: as it is
	ThrottleTPM *int64
	HoldAfter   time.Duration `gorm:"-"` // how long a person may prevent a hold

	AnchorAt   time.Time // when the first period began, of a rolling budget
	StartsAt   time.Time
	CountsFrom time.Time  // what was spent before does not count
	EndsAt     *time.Time // nil: never
	Spent      USD        // in this period, from the ledger

	Reached   int        // the highest threshold that was told of, in percent
	SoftTold  bool       // it was told that SoftAmount is spent
	HoldDueAt *time.Time // when a hold that a person may prevent begins
	Pardoned  bool       // a person prevented it, for this period
	Held      bool       // its subject may spend nothing
	Throttled bool       // its subject is slowed
	NextAt    *USD       // the spend at which it is due; nil: never
	HoldAt    *USD       // the spend from which its subject is refused; nil: never
	Due       bool       // it has to be judged

	Generation, FollowedGeneration, ObservedGeneration int64
	ResetGeneration                                    int64 // the last one by which LiteLLM counts from zero, too
	CreatedAt, UpdatedAt                               time.Time
}

// TableName is where budgets are stored.
func (Budget) TableName() string { return "budgets" }

// BudgetThreshold is what is done when so much of a budget is spent. It is always told of.
type BudgetThreshold struct {
	Percent int            `json:"percent"` // 1 to 1000
	Actions []BudgetAction `json:"actions"`
}

// BudgetAction is something that is done at a threshold.
type BudgetAction string

// The actions.
const (
	BudgetNotify   BudgetAction = "notify"
	BudgetThrottle BudgetAction = "throttle" // to ThrottleRPM and ThrottleTPM
	BudgetHold     BudgetAction = "hold"     // until the period ends, or the budget is raised
)

// BudgetPeriod is a period that is over.
type BudgetPeriod struct {
	BudgetID         uuid.UUID
	StartsAt, EndsAt time.Time
	Amount           *USD
	Raised, Spent    USD
	Reached          int
	Held             bool
}

// BudgetRaise is a temporary increase.
type BudgetRaise struct {
	ID, BudgetID           uuid.UUID
	Amount                 USD // more than zero
	Reason                 string
	UntilAt                time.Time
	Status                 RaiseStatus
	RequestedBy, DecidedBy string
	DecidedWhy             string
	CreatedAt              time.Time
	DecidedAt, EndedAt     *time.Time
}

// TableName is where raises are stored.
func (BudgetRaise) TableName() string { return "budget_raises" }

// RaiseStatus is what became of a raise.
type RaiseStatus string

// The statuses.
const (
	RaisePending   RaiseStatus = "pending" // it waits for an admin, see budgets.raise_needs_approval
	RaiseActive    RaiseStatus = "active"
	RaiseEnded     RaiseStatus = "ended"
	RaiseDenied    RaiseStatus = "denied"
	RaiseWithdrawn RaiseStatus = "withdrawn" // ended by a person before its time
)
