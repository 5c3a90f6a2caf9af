package models

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"
)

// SubscriptionStatus is where a subscription is in its life.
type SubscriptionStatus string

// The seven, by LiteMaaS's words.
const (
	SubscriptionPending   SubscriptionStatus = "pending" // waits for an admin; or for LiteLLM, while something is wanted
	SubscriptionActive    SubscriptionStatus = "active"
	SubscriptionSuspended SubscriptionStatus = "suspended" // by its holds
	SubscriptionDenied    SubscriptionStatus = "denied"
	SubscriptionInactive  SubscriptionStatus = "inactive" // given up by its owner, or its model is gone
	SubscriptionExpired   SubscriptionStatus = "expired"
	SubscriptionCancelled SubscriptionStatus = "cancelled" // in rows that were brought over from LiteMaaS; never entered
)

// SubscriptionStatuses are all of them.
func SubscriptionStatuses() []SubscriptionStatus {
	return []SubscriptionStatus{
		SubscriptionPending, SubscriptionActive, SubscriptionSuspended, SubscriptionDenied, SubscriptionInactive, SubscriptionExpired, SubscriptionCancelled,
	}
}

// SubscriptionStep is one kind of move in the life of a subscription: who makes it and why.
type SubscriptionStep string

// The steps.
const (
	StepRenew     SubscriptionStep = "renew"     // its owner asks for it again
	StepProvision SubscriptionStep = "provision" // what was wanted has come true
	StepRefuse    SubscriptionStep = "refuse"    // what was wanted cannot be
	StepApprove   SubscriptionStep = "approve"   // by an admin
	StepDeny      SubscriptionStep = "deny"      // by an admin
	StepReview    SubscriptionStep = "review"    // its owner asks an admin to look again
	StepRevert    SubscriptionStep = "revert"    // an admin takes a decision back
	StepCancel    SubscriptionStep = "cancel"    // by its owner
	StepExpire    SubscriptionStep = "expire"    // by the clock
	StepLapse     SubscriptionStep = "lapse"     // nobody decided in time
	StepVanish    SubscriptionStep = "vanish"    // LiteLLM offers the model no more
	StepRestrict  SubscriptionStep = "restrict"  // the model needs an approval from now on
	StepSuspend   SubscriptionStep = "suspend"   // the first hold was set
	StepResume    SubscriptionStep = "resume"    // the last hold was lifted
	StepRestore   SubscriptionStep = "restore"   // what a cascade did is undone
	StepRelease   SubscriptionStep = "release"   // the model needs no approval any more
)

// subscriptionMoves is the state machine: from where a step may be taken, where it may lead,
// what the audit log calls it, and what people are told ("": nothing).
var subscriptionMoves = map[SubscriptionStep]struct {
	from, to     []SubscriptionStatus
	action       AuditAction
	announcement string
}{
	StepRenew:     {list(SubscriptionInactive, SubscriptionExpired, SubscriptionCancelled), list(SubscriptionPending), AuditSubscriptionReactivate, ""},
	StepProvision: {list(SubscriptionPending), list(SubscriptionActive), AuditSubscriptionActivate, SubscriptionActivated},
	StepRefuse:    {list(SubscriptionPending), list(SubscriptionPending, SubscriptionInactive), AuditSubscriptionRefuse, SubscriptionRefused},
	StepApprove:   {list(SubscriptionPending), list(SubscriptionActive), AuditSubscriptionApprove, ""},
	StepDeny:      {list(SubscriptionPending, SubscriptionActive), list(SubscriptionDenied), AuditSubscriptionDeny, SubscriptionRefused},
	StepReview:    {list(SubscriptionDenied), list(SubscriptionPending), AuditSubscriptionReview, SubscriptionRequested},
	StepRevert:    {list(SubscriptionActive, SubscriptionDenied, SubscriptionPending), list(SubscriptionActive, SubscriptionDenied, SubscriptionPending), AuditSubscriptionRevert, ""},
	StepCancel:    {list(SubscriptionActive, SubscriptionPending, SubscriptionDenied, SubscriptionSuspended), list(SubscriptionInactive), AuditSubscriptionCancel, ""},
	StepExpire:    {list(SubscriptionActive, SubscriptionSuspended, SubscriptionPending), list(SubscriptionExpired), AuditSubscriptionExpire, SubscriptionEnded},
	StepLapse:     {list(SubscriptionPending), list(SubscriptionInactive), AuditSubscriptionLapse, SubscriptionEnded},
	StepVanish:    {list(SubscriptionActive, SubscriptionSuspended), list(SubscriptionInactive), AuditSubscriptionEnd, SubscriptionEnded},
	StepRestrict:  {list(SubscriptionActive, SubscriptionSuspended), list(SubscriptionPending), AuditSubscriptionEnd, SubscriptionEnded},
	StepSuspend:   {list(SubscriptionActive), list(SubscriptionSuspended), AuditSubscriptionSuspend, SubscriptionHeld},
	StepResume:    {list(SubscriptionSuspended), list(SubscriptionActive), AuditSubscriptionResume, SubscriptionActivated},
	StepRestore:   {list(SubscriptionInactive, SubscriptionPending, SubscriptionDenied), list(SubscriptionActive, SubscriptionPending), AuditSubscriptionRestore, SubscriptionActivated},
	StepRelease:   {list(SubscriptionPending), list(SubscriptionActive), AuditSubscriptionRestore, SubscriptionActivated},
}

func list(s ...SubscriptionStatus) []SubscriptionStatus { return s }

// Sources are the statuses from which the step may be taken.
func (s SubscriptionStep) Sources() []SubscriptionStatus {
	return slices.Clone(subscriptionMoves[s].from)
}

// Action is what the audit log calls the step.
func (s SubscriptionStep) Action() AuditAction { return subscriptionMoves[s].action }

// Announcement is the type of what people are told of the step; empty: nothing.
func (s SubscriptionStep) Announcement() string { return subscriptionMoves[s].announcement }

// Leads reports whether the step may lead from one status to the other.
func (s SubscriptionStep) Leads(from, to SubscriptionStatus) bool {
	m := subscriptionMoves[s]
	return slices.Contains(m.from, from) && slices.Contains(m.to, to) && (from != to || s == StepRefuse)
}

// Subscription is a user's right to put one model on his keys.
type Subscription struct {
	ID, UserID      uuid.UUID
	ModelID         string
	Status          SubscriptionStatus
	StatusReason    string
	StatusChangedAt time.Time
	StatusChangedBy string // a user's id, an admin key's name, or "system"

	Wanted       SubscriptionStatus // active while it is being provisioned; else empty
	WantedAt     *time.Time
	WantedBy     string
	WantedReason string

	Holds        []Hold     `gorm:"serializer:json"` // why it is suspended
	DeniedAt     *time.Time // a denial stands until an admin approves
	DeniedBy     string
	DeniedReason string
	RequestedAt  time.Time // since when it waits for an admin, while it does

	QuotaRequests, QuotaTokens *int64 // each calendar month in UTC; nil: unlimited
	UsedRequests, UsedTokens   int64
	ResetAt                    time.Time // when the use is counted from zero again
	ExpiresAt                  *time.Time
	Metadata                   json.RawMessage
	CreatedAt, UpdatedAt       time.Time

	// Read beside the row.
	Ending bool `gorm:"->"` // LiteLLM was not yet seen to have taken the model off a key, or to have given it back
}

// TableName is where subscriptions are stored.
func (Subscription) TableName() string { return "subscriptions" }

// The reasons that LiteMaaS gives, word for word.
const (
	ReasonRestricted = "Model marked as restricted access - requires re-approval"
	ReasonReleased   = "Auto-approved: model restriction removed"
)

// The holds of subscriptions and keys, beside those of users.
const (
	HoldQuota      Hold = "quota"
	HoldBudget     Hold = "budget"
	HoldQuarantine Hold = "quarantine" // nobody knows whose key it is
)

// The defaults and bounds of quotas: those of LiteMaaS, which only warns beyond the bounds.
const (
	DefaultQuotaRequests = 10_000
	DefaultQuotaTokens   = 1_000_000
	MaxQuotaRequests     = 1_000_000
	MaxQuotaTokens       = 100_000_000
)

// Settled reports whether nothing is under way for the subscription: its status is the whole
// truth.
func (s Subscription) Settled() bool { return s.Wanted == "" && !s.Ending }

// Waiting reports whether an admin has to decide.
func (s Subscription) Waiting() bool {
	return s.Status == SubscriptionPending && s.Wanted == ""
}

// Approved reports whether what is wanted is so by the word of an admin, who is never the owner
// himself: then it needs no other approval, and ends a denial.
func (s Subscription) Approved() bool {
	return s.Wanted != "" && s.WantedBy != s.UserID.String() && s.WantedBy != System("").ID
}

// Exceeded reports whether a quota is used up.
func (s Subscription) Exceeded() bool {
	return s.QuotaRequests != nil && s.UsedRequests >= *s.QuotaRequests || s.QuotaTokens != nil && s.UsedTokens >= *s.QuotaTokens
}

// Roll shows the use as it is at that time: in a month of which nothing was counted yet, none.
func (s *Subscription) Roll(now time.Time) {
	if !s.ResetAt.After(now) {
		s.UsedRequests, s.UsedTokens, s.ResetAt = 0, 0, QuotaReset(now)
	}
}

// QuotaReset is when the use at that time stops to count: the first moment of the next calendar
// month in UTC.
func QuotaReset(at time.Time) time.Time {
	at = at.UTC()
	return time.Date(at.Year(), at.Month()+1, 1, 0, 0, 0, 0, time.UTC)
}

// SubscriptionChange is one entry of a subscription's history.
type SubscriptionChange struct {
	ID             int64
	SubscriptionID uuid.UUID
	OldStatus      *SubscriptionStatus // nil: it was made
	NewStatus      SubscriptionStatus
	Reason         string
	ChangedBy      string
	ChangedAt      time.Time
}

// TableName is where the history is stored.
func (SubscriptionChange) TableName() string { return "subscription_status_history" }

// Usage is what calls of a user to a model used, for his quota. At is when.
type Usage struct {
	UserID           uuid.UUID
	ModelID          string
	Requests, Tokens int64
	At               time.Time
}
