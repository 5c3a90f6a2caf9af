package models

import (
	"time"

	"github.com/google/uuid"
)

// Provision says how far a subscription has come on its way to active.
type Provision struct {
	Status        SubscriptionStatus
	Reason        string // of the status
	UserID        uuid.UUID
	ModelID       string
	StaleModel    bool // LiteLLM has to be asked about the model first
	UnsettledUser bool // LiteLLM was not yet seen to hold the user as he is

	Cascades []uuid.UUID // that gave something back, now that it is active: RestoreSubscription follows them
}

// Done reports whether nothing is left to do.
func (p Provision) Done() bool { return !p.StaleModel && !p.UnsettledUser }

// Ruling is what an admin says about a subscription.
type Ruling struct {
	Reason string
	SeenAt time.Time // whatever another admin decided since is a Conflict
}

// Announcement is something that people have to be told. It is kept in the outbox, and holds no
// secret.
type Announcement struct {
	Type        string // such as subscription.requested
	SubjectType string // such as subscription
	SubjectID   string
	UserID      *uuid.UUID // whom it is about
	Data        any
}

// The announcements about subscriptions.
const (
	SubscriptionRequested = "subscription.requested" // to approvers
	SubscriptionReminder  = "subscription.reminder"  // to approvers
	SubscriptionActivated = "subscription.activated"
	SubscriptionRefused   = "subscription.refused"
	SubscriptionEnded     = "subscription.ended"
	SubscriptionHeld      = "subscription.suspended"
	SubscriptionExpires   = "subscription.expiring"
)
