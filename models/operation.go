package models

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Operation is a mutation that its caller may want to hear of again: he named it by an
// idempotency key, or did not want to wait for it, or was told that it goes on.
type Operation struct {
	ID             uuid.UUID
	Actor          string
	IdempotencyKey *string // nil: none was given
	Request        string  // METHOD /path
	RequestHash    []byte  // of method, path, query and body: another request is not this operation
	Attempt        int     // counts who worked on it; only the last may commit anything for it
	ClaimedUntil   time.Time
	SubjectType    AuditResource      // what it did something to; empty: nothing yet
	Subjects       []OperationSubject `gorm:"serializer:json"`
	AppliedAt      *time.Time         // when that was committed
	CreatedAt      time.Time
	AnsweredAt     *time.Time // nil: there is no answer that stays

	OperationAnswer `gorm:"embedded"`

	State OperationState `gorm:"->"` // where it is read
}

// TableName is where operations are stored.
func (Operation) TableName() string { return "operations" }

// OperationSubject is one thing that an operation did something to.
type OperationSubject struct {
	ID   string `json:"id"`
	Wish string `json:"wish"` // of it: a generation, or the status of a subscription
}

// OperationAnswer is what the caller was told.
type OperationAnswer struct {
	Status        int
	Headers       map[string][]string `gorm:"serializer:json"`
	Body          []byte              // sealed; nil: it is not kept
	Code, Failure string              // of a failure
}

// OperationState is how far an operation has come.
type OperationState string

// The states. An answer other than 202 is the outcome; else the subjects prove it.
const (
	OperationRunning   OperationState = "running"
	OperationSucceeded OperationState = "succeeded"
	OperationFailed    OperationState = "failed"
)

// SubjectSyncRun is what an operation did that started a sync, which the audit log knows only
// once it has ended.
const SubjectSyncRun AuditResource = "SYNC_RUN"

const (
	// OperationKept is how long an operation is remembered at least, and its key means it.
	OperationKept = 24 * time.Hour

	// OperationFollowed is how long one is remembered that does not end.
	OperationFollowed = 30 * 24 * time.Hour
)

// maxSubjects bounds what is noted of a request that does something to many things.
const maxSubjects = 200

// Deed is what a request does: to what it does something, as the audit log names it. If the
// request is an operation, each of its transactions notes that in the operation's row, and is
// rolled back when somebody else works on the operation by then. It is safe for use by many
// goroutines.
type Deed struct {
	Operation uuid.UUID // zero: it is none
	Attempt   int

	mu   sync.Mutex
	what AuditResource
	ids  []string // the first of them are noted in the row
	kept int      // how many
}

// Note says what the request does something to. What was said first is what it is about: things
// of another kind are beside the point. An empty id says the kind alone, where the thing is yet to
// be made.
func (d *Deed) Note(what AuditResource, id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.what == "" {
		d.what = what
	}
	if d.what == what && id != "" && len(d.ids) < maxSubjects && !slices.Contains(d.ids, id) {
		d.ids = append(d.ids, id)
	}
}

// Subjects returns all that was noted.
func (d *Deed) Subjects() (what AuditResource, ids []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.what, slices.Clone(d.ids)
}

// News returns what was noted since it was asked last, for the operation's row.
func (d *Deed) News() (what AuditResource, ids []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ids = slices.Clone(d.ids[d.kept:])
	d.kept = len(d.ids)
	return d.what, ids
}
