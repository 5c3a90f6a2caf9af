package models

import (
	"time"

	"github.com/google/uuid"
)

// CascadeCause says why subscriptions ended, or were held.
type CascadeCause string

// The causes.
const (
	CauseCancelled   CascadeCause = "cancelled"
	CauseDenied      CascadeCause = "denied"
	CauseReverted    CascadeCause = "reverted"
	CauseExpired     CascadeCause = "expired"
	CauseLapsed      CascadeCause = "lapsed"
	CauseDeleted     CascadeCause = "deleted"
	CauseUnavailable CascadeCause = "model_unavailable"
	CauseRestricted  CascadeCause = "model_restricted"
	CauseQuota       CascadeCause = "quota"
	CauseBudget      CascadeCause = "budget"
	CauseOffboarded  CascadeCause = "offboarded"
	CauseAdmin       CascadeCause = "admin" // an admin suspended them
)

// Cascade is one cause that moved subscriptions, with what it took from their owners' keys: so
// that it can be given back when the cause goes. Generation is 1 when it took, and one more each
// time that it gave something back; ObservedGeneration is the last one of which LiteLLM was seen
// to hold every key.
type Cascade struct {
	ID                             uuid.UUID
	Cause                          CascadeCause
	ModelID                        *string    // for causes of a model
	UserID                         *uuid.UUID // for causes of a user
	Reason                         string
	By                             string
	Subscriptions, Keys            int
	Generation, ObservedGeneration int64
	CreatedAt, UpdatedAt           time.Time
	LiftedAt                       *time.Time
}

// TableName is where cascades are stored.
func (Cascade) TableName() string { return "cascades" }

// FinalCauses are the causes of which nothing that a cascade took is ever given back: the
// subscription was given up, or its time was over.
func FinalCauses() []CascadeCause {
	return []CascadeCause{CauseCancelled, CauseExpired, CauseLapsed, CauseDeleted}
}

// Settled reports whether LiteLLM was seen to follow on every key.
func (c Cascade) Settled() bool { return c.ObservedGeneration >= c.Generation }
