package models

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// KeyConflict is a field of a key in which LiteLLM and the row differ, and a person has to decide:
// see KeysManual. Until then both stay as they are.
type KeyConflict struct {
	ID, KeyID  uuid.UUID
	Field      string          // in LiteLLM's words
	Ours       json.RawMessage // what the row says
	Theirs     json.RawMessage // what LiteLLM holds
	RunID      uuid.UUID       // the sync that last saw it
	State      KeyConflictState
	Resolution KeySide // or KeyAgreed; empty: open
	ResolvedBy string
	ResolvedAt *time.Time
	CreatedAt  time.Time
	SeenAt     time.Time

	KeyName, KeyPrefix string // of the key now
	OwnerID            uuid.UUID
	KeySettled         bool // LiteLLM was seen to follow the key's row
}

// KeyConflictState is whether a conflict has been decided.
type KeyConflictState string

// The states.
const (
	ConflictOpen     KeyConflictState = "open"
	ConflictResolved KeyConflictState = "resolved"
)

// KeyAgreed is how a conflict ends that nobody had to decide: both came to say the same.
const KeyAgreed KeySide = "agreed"

// Seen is a key of LiteLLM's that has what LiteLLM holds in the field, and nothing else.
func (c KeyConflict) Seen() (ProxyKey, error) {
	var p ProxyKey
	into := map[string]any{
		"max_budget": &p.MaxBudget, "budget_duration": &p.BudgetDuration, "tpm_limit": &p.TPM, "rpm_limit": &p.RPM,
		"max_parallel_requests": &p.MaxParallelRequests, metadataTPM: &p.ModelTPM, metadataRPM: &p.ModelRPM, "metadata": &p.Metadata,
	}[c.Field]
	if into == nil {
		return p, Errorf(Invalid, "the field %s of a key does not follow LiteLLM", c.Field)
	}
	if err := json.Unmarshal(c.Theirs, into); err != nil {
		return p, Wrap(Invalid, err, "what LiteLLM holds in %s cannot be read", c.Field)
	}
	return p, nil
}

// The announcements of a sync about keys.
const (
	SyncKeysMissing      = "sync.keys_missing"      // LiteLLM had lost many of ours
	SyncConflictsFound   = "sync.conflicts_found"   // somebody has to decide
	SyncOrphansConfined  = "sync.orphans_confined"  // keys that are not ours are blocked, and will be deleted
	SyncOrphansUnguarded = "sync.orphans_unguarded" // so many that they are not
)
