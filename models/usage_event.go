package models

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// UsageEvent is one call of a model as LiteLLM tells of it, by whichever way.
type UsageEvent struct {
	RequestID string // LiteLLM's name for the call; unique, but see ID
	CallID    string // another, which a caller may choose
	KeyHash   string // hex SHA-256 of the key that was used; empty: none
	UserID    string // in LiteLLM's words: who is counted where the key is not ours; may be nobody's id
	TeamID    string
	Model     string // the name by which it was called
	Provider  string // as LiteLLM says; empty: the catalogue knows

	At         time.Time // when it began, to the millisecond
	Latency    time.Duration
	Requests   int64 // 1; more for a day's sum
	Failed     int64 // of these
	Prompt     int64 // tokens
	Completion int64
	Cost       *USD // as LiteLLM reports it; nil: it does not, and the price of the model says
}

// cacheHit is what LiteLLM puts into the request id of a call that its cache answered, before a
// time that is not the same each time that it tells of the call.
const cacheHit = "_cache_hit"

// ID is the name of the call in the ledger: the same however often, and by whichever way, LiteLLM
// tells of it. It goes by the request id, because callers may choose the other; of what the cache
// answered, which costs nothing, by both but the time.
func (e UsageEvent) ID() uuid.UUID {
	name := e.RequestID
	if before, _, hit := strings.Cut(name, cacheHit); hit {
		name = fmt.Sprintf("%s%s/%s/%d", before, cacheHit, e.CallID, e.At.UnixMilli())
	}
	sum := sha256.Sum256([]byte(name))
	id := uuid.UUID(sum[:16])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // version 8, RFC 9562: made our own way
	return id
}

// Check reports what the ledger cannot take; the error is Invalid and names the field.
func (e UsageEvent) Check(now time.Time) error {
	const most, dearest = 1 << 40, 1_000_000 * Dollar // tokens and cost; more is a mistake
	switch {
	case e.RequestID == "":
		return Errorf(Invalid, "a call needs an id").On("id")
	case e.At.IsZero():
		return Errorf(Invalid, "a call needs the time when it began").On("startTime")
	case e.At.After(now.Add(24 * time.Hour)), e.At.Year() < 2020:
		return Errorf(Invalid, "%s is no time when a call can have begun", e.At.UTC().Format(time.RFC3339)).On("startTime")
	case e.Requests < 1, e.Failed < 0, e.Failed > e.Requests:
		return Errorf(Invalid, "a call is one request or more, of which some failed").On("status")
	case e.Prompt < 0, e.Prompt > most:
		return Errorf(Invalid, "tokens must be zero or more").On("prompt_tokens")
	case e.Completion < 0, e.Completion > most:
		return Errorf(Invalid, "tokens must be zero or more").On("completion_tokens")
	case e.Cost != nil && *e.Cost < 0:
		return Errorf(Invalid, "a cost must be zero or more").On("response_cost")
	case e.Cost != nil && *e.Cost > dearest:
		return Errorf(Invalid, "no call costs more than %s dollars", dearest).On("response_cost")
	case e.Latency < 0:
		return Errorf(Invalid, "a call cannot end before it begins").On("endTime")
	}
	return nil
}

// UsageSource is the way by which the ledger learnt of something.
type UsageSource string

// The sources.
const (
	UsagePushed UsageSource = "push"   // LiteLLM told us
	UsagePulled UsageSource = "pull"   // we read LiteLLM's log: what it says counts
	UsageDaily  UsageSource = "daily"  // we read its sums of a day, as it has no log to read
	UsageRerate UsageSource = "rerate" // prices were corrected
)

// Recorded is what became of events that the ledger was told of.
type Recorded struct {
	New       int // entries that were not there
	Known     int // that were
	Corrected int // that were, and differ: an entry of the difference was made

	Due    bool      // some budget has to be judged: EnforceBudgets
	Follow []Cascade // on which LiteLLM has to follow, because a quota is used up
}

// RecentUsage is what was recorded in one transaction of one second, for the counters of the last
// minutes.
type RecentUsage struct {
	At         int64     `json:"t"` // the second, of Unix, in which the calls ended
	UserID     uuid.UUID `json:"u"`
	TeamID     uuid.UUID `json:"g"`
	KeyID      uuid.UUID `json:"k"`
	Model      string    `json:"m"`
	Requests   int64     `json:"n"`
	Failed     int64     `json:"f,omitempty"`
	Prompt     int64     `json:"p,omitempty"`
	Completion int64     `json:"c,omitempty"`
	Cost       USD       `json:"d,omitempty"`
	LatencyMS  int64     `json:"l,omitempty"` // of all the requests together
}

// UsageWindow is a length of time that was read at LiteLLM, and how it compared with the ledger.
type UsageWindow struct {
	From, Until time.Time
	Source      UsageSource
	Read        int // entries at LiteLLM
	Missing     int // that were not in the ledger, and are now
	Corrected   int // that differed
	Extra       int // in the ledger, and not at LiteLLM
	CollectedAt time.Time
}
