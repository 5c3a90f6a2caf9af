package models

import (
	"time"

	"github.com/google/uuid"
)

// Proposal is a removal that the guard held back: a person decides on it. At most one is
// open. It is as good as the last look at LiteLLM: every sync that still misses the models
// renews it, one that finds them withdraws it, and unanswered it lapses.
type Proposal struct {
	ID        uuid.UUID
	Status    ProposalStatus
	ModelIDs  []string `gorm:"serializer:json"`
	Why       string   // what made the guard hold it back
	CreatedAt time.Time
	RenewedAt time.Time // the last sync that missed the models
	ExpiresAt time.Time
	DecidedAt *time.Time
	DecidedBy string
	Reason    string     // the decider's words
	AppliedAt *time.Time // when an approved one was carried out
}

// ProposalStatus is where a proposal is in its life.
type ProposalStatus string

// The life of a proposal. All but the first are final.
const (
	ProposalOpen      ProposalStatus = "open"
	ProposalApproved  ProposalStatus = "approved"
	ProposalRejected  ProposalStatus = "rejected"
	ProposalLapsed    ProposalStatus = "lapsed"    // nobody answered in time; counts as rejected
	ProposalWithdrawn ProposalStatus = "withdrawn" // the models came back
)

// Decision is a person's answer to a proposal.
type Decision struct {
	Approve bool
	Reason  string
	By      Actor
}

// TableName is where proposals are stored.
func (Proposal) TableName() string { return "sync_proposals" }
