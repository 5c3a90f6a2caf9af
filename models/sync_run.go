package models

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// SyncRun is one comparison of the catalogue with LiteLLM: what was asked, how it went,
// what it changed. Its ID is the run ID of its workflow, so a run and its page in the
// Temporal UI find each other.
type SyncRun struct {
	ID         uuid.UUID
	WorkflowID string
	Kind       SyncKind
	Trigger    SyncTrigger
	Actor      string
	Options    SyncOptions `gorm:"embedded"`
	Subject    string      // the model of a SyncOne
	Status     SyncStatus
	Phase      SyncPhase  // what a running run is at
	Expected   int        // deployments that LiteLLM says it has
	Fetched    int        // deployments read so far
	Counts     SyncCounts `gorm:"embedded"`
	Staged     int        // models that were put beside the catalogue
	List       ListState  `gorm:"serializer:json"`
	Users      UserCounts `gorm:"embedded;embeddedPrefix:users_"`
	Keys       KeyCounts  `gorm:"embedded;embeddedPrefix:keys_"`
	ProposalID *uuid.UUID // the proposal it made, renewed or carried out
	Failure    string     // why it failed, in words
	StartedAt  time.Time
	MergedAt   *time.Time // when its changes were committed
	FinishedAt *time.Time

	UsersComparedAt *time.Time // when LiteLLM's users were compared with ours
	KeysComparedAt  *time.Time // when its keys were
	KeysWished      int        // keys that are written to LiteLLM again
	KeysNote        string     // what a person should know of them, in words
}

// SyncKind says how much of LiteLLM a run looks at.
type SyncKind string

// The kinds.
const (
	SyncFull     SyncKind = "full"
	SyncOne      SyncKind = "model"    // one model only
	SyncRemovals SyncKind = "removals" // carries out an approved proposal
)

// SyncTrigger says what started a run.
type SyncTrigger string

// The triggers.
const (
	SyncByPerson   SyncTrigger = "manual"
	SyncBySchedule SyncTrigger = "schedule"
	SyncAtStart    SyncTrigger = "startup"
)

// SyncStatus is where a run is in its life.
type SyncStatus string

// The statuses.
const (
	SyncRunning   SyncStatus = "running"
	SyncCompleted SyncStatus = "completed"
	SyncFailed    SyncStatus = "failed"
)

// SyncPhase is what a running run is at.
type SyncPhase string

// The phases.
const (
	SyncFetching SyncPhase = "fetching" // reading LiteLLM's list, or waiting for LiteLLM
	SyncMerging  SyncPhase = "merging"  // comparing and writing
	SyncDone     SyncPhase = "done"
)

// SyncOptions is what a run may and may not do.
type SyncOptions struct {
	DryRun      bool `json:",omitzero"` // compare and report, change nothing
	Force       bool `json:",omitzero"` // write every model that LiteLLM lists, changed or not
	KeepMissing bool `json:",omitzero"` // leave models available that LiteLLM lists no more
}

// SyncCounts sums a run up.
type SyncCounts struct {
	Listed    int // models that LiteLLM lists
	Added     int `json:",omitzero"`
	Changed   int `json:",omitzero"` // models written because a field differed, or because of Force
	Unchanged int `json:",omitzero"`
	Returned  int `json:",omitzero"` // were unavailable and are back
	Gone      int `json:",omitzero"` // marked unavailable
	Held      int `json:",omitzero"` // missing at LiteLLM, but held back for a person to decide
	Kept      int `json:",omitzero"` // missing at LiteLLM, and kept by an earlier decision or KeepMissing
	Deleted   int `json:",omitzero"` // listed by LiteLLM, but deleted here by an admin, so left alone
}

// UserCounts sums up what a run found about users.
type UserCounts struct {
	Listed    int // users that LiteLLM lists
	Missing   int `json:",omitzero"` // ours that LiteLLM does not have
	Different int `json:",omitzero"` // ours that LiteLLM holds otherwise
	Unknown   int `json:",omitzero"` // LiteLLM's that are not ours; they are left alone
}

// UserDifference is what one run found about one user.
type UserDifference struct {
	UserID string // LiteLLM's names are not always ours
	Kind   UserDifferenceKind
	Fields []FieldChange `gorm:"serializer:json"` // of a different one, in LiteLLM's words: what it holds, what it should
}

// UserDifferenceKind says in which way a user differs.
type UserDifferenceKind string

// The kinds of difference.
const (
	UserMissing   UserDifferenceKind = "missing"
	UserDifferent UserDifferenceKind = "different"
	UserUnknown   UserDifferenceKind = "unknown"
)

// TableName is where differences are stored.
func (UserDifference) TableName() string { return "sync_user_differences" }

// KeyCounts sums up what a run found about API keys.
type KeyCounts struct {
	Listed    int // keys that LiteLLM lists
	Missing   int `json:",omitzero"` // ours that LiteLLM does not have
	Different int `json:",omitzero"` // ours that LiteLLM lets do something else, or that may do too much here
	Unknown   int `json:",omitzero"` // LiteLLM's that are not ours
	Followed  int `json:",omitzero"` // of the different: our row took over what LiteLLM holds
	Disputed  int `json:",omitzero"` // of the different: a person has to decide; see KeysManual
	Suspect   int `json:",omitzero"` // of the unknown: they claim to be ours, or are of our users
}

// KeyDifference is what one run found about one API key.
type KeyDifference struct {
	Hash   string     // LiteLLM's name for the key
	KeyID  *uuid.UUID // nil: it is not ours
	Alias  string
	Kind   KeyDifferenceKind
	Fields []KeyFieldChange `gorm:"serializer:json"` // see KeyFieldSubscriptions; else in LiteLLM's words
}

// KeyFieldSubscriptions is the field of a key that has models in our own row that its owner is not
// subscribed to: all its models, and those that stay. In the field models, none is every model
// where LiteLLM holds it, and no key at all where it is to be.
const KeyFieldSubscriptions = "subscriptions"

// KeyDifferenceKind says in which way a key differs.
type KeyDifferenceKind string

// The kinds of difference.
const (
	KeyMissing   KeyDifferenceKind = "missing"
	KeyDifferent KeyDifferenceKind = "different"
	KeyUnknown   KeyDifferenceKind = "unknown"
)

// TableName is where differences are stored.
func (KeyDifference) TableName() string { return "sync_key_differences" }

// Difference is what one run found about one model.
type Difference struct {
	ModelID string
	Kind    DifferenceKind
	Fields  []FieldChange `gorm:"serializer:json"` // of a changed or returned model
}

// DifferenceKind says in which way a model differs.
type DifferenceKind string

// The kinds of difference.
const (
	DifferenceAdded    DifferenceKind = "added"
	DifferenceChanged  DifferenceKind = "changed"
	DifferenceReturned DifferenceKind = "returned"
	DifferenceGone     DifferenceKind = "gone"
	DifferenceHeld     DifferenceKind = "held" // missing, and a person is asked
	DifferenceKept     DifferenceKind = "kept" // missing, and to be kept
)

// FieldChange is one field with both its values.
type FieldChange struct {
	Field string          `json:"field"`
	Old   json.RawMessage `json:"old"`
	New   json.RawMessage `json:"new"`
}

// Guard says how much a single sync may take away by itself. LiteLLM has been seen to
// answer with half a list, or none, when its database was slow to come up; what hangs on a
// model (subscriptions, keys) must not end for that.
type Guard struct {
	MaxRemovedPercent int // of the available models
	MinRemoved        int // fewer missing models than this are never held back
}

// Why explains, in words, why the removal of missing out of available models is held back
// for a person to decide; "" means that it is not.
func (g Guard) Why(l ListState, available, missing int) string {
	switch {
	case missing == 0:
		return ""
	case l.NotLoaded:
		return "LiteLLM says that its model list is not loaded"
	case l.Listed == 0:
		return "LiteLLM's list is empty"
	case l.Nameless > 0:
		return "LiteLLM's list holds entries without a usable name"
	case missing >= g.MinRemoved && missing*100 > available*g.MaxRemovedPercent:
		return fmt.Sprintf("%d of %d models vanished at once, more than the guard lets go (%d %%, at least %d)",
			missing, available, g.MaxRemovedPercent, g.MinRemoved)
	}
	return ""
}

// TableName is where differences are stored.
func (Difference) TableName() string { return "sync_differences" }
