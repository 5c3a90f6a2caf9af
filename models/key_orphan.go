package models

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// KeyOrphan is a key of LiteLLM's that is not ours. Its state is a wish, which QuarantineOrphans
// makes LiteLLM follow.
type KeyOrphan struct {
	Hash        string // LiteLLM's name for it
	Alias       string
	UserID      string // LiteLLM's word: it may be nobody
	Suspect     bool   // it claims to be ours, or is of one of our users
	WasBlocked  bool   // by somebody else, before we did
	Seen        []byte // a ProxyKey in JSON, as of LastSeen
	State       OrphanState
	Settled     bool       // LiteLLM was seen to follow the state
	Failure     string     // why it refuses to
	DeleteAfter *time.Time // of a quarantined one
	KeyID       *uuid.UUID // of an adopted one
	DecidedBy   string
	DecidedAt   *time.Time
	FirstSeen   time.Time
	LastSeen    time.Time
}

// TableName is where they are stored.
func (KeyOrphan) TableName() string { return "sync_orphans" }

// OrphanState is what is to become of a key that is not ours.
type OrphanState string

// The states.
const (
	OrphanSeen        OrphanState = "seen"        // it is reported, and left alone
	OrphanQuarantined OrphanState = "quarantined" // LiteLLM must block it, until DeleteAfter
	OrphanAdopted     OrphanState = "adopted"     // it is one of ours now
	OrphanDeleted     OrphanState = "deleted"     // LiteLLM must not have it
	OrphanReleased    OrphanState = "released"    // an admin knows it: it is left alone for good
)

// OrphanPolicy says what a sync does about keys that claim to be ours, or are of our users, and
// that we do not know.
type OrphanPolicy string

// The policies.
const (
	OrphansReported    OrphanPolicy = "report"
	OrphansQuarantined OrphanPolicy = "quarantine"
)

// OrphanProof says what became of one at LiteLLM.
type OrphanProof struct {
	Hash    string
	State   OrphanState
	Failure string `json:",omitzero"` // why LiteLLM refuses; empty: it was seen to follow
}

// Next is the next write that brings LiteLLM, which holds seen (nil: nothing), nearer to the state.
// What somebody else has blocked stays so when it is released.
func (o KeyOrphan) Next(seen *ProxyKey) KeyStep {
	switch {
	case seen == nil:
	case o.State == OrphanDeleted:
		return KeyDelete
	case o.State == OrphanQuarantined && !seen.Blocked:
		return KeyBlock
	case o.State == OrphanReleased && seen.Blocked && !o.WasBlocked:
		return KeyUnblock
	}
	return KeySettled
}

// dashboardTeam is whose keys the sessions of LiteLLM's own UI are.
const dashboardTeam = "litellm-dashboard"

// LiteLLMs reports whether the key is a session of LiteLLM's own UI.
func (p ProxyKey) LiteLLMs() bool { return p.TeamID == dashboardTeam }

// ClaimsOurs reports whether the key says that we made it.
func (p ProxyKey) ClaimsOurs() bool { return string(p.Metadata[metadataCreator]) == `"litemaas"` }

// Many reports whether some things of many are more than may happen at once unseen.
func (g Guard) Many(of, some int) bool {
	return some > 0 && some >= g.MinRemoved && some*100 > of*g.MaxRemovedPercent
}

// KeysNote says in words what a person should know of what a sync found: how many of our keys,
// which are so many, LiteLLM had lost, and how many that claim to be ours were not blocked,
// because there are so many. Empty: nothing.
func (g Guard) KeysNote(ours, missing, spared int) string {
	var note string
	if g.Many(ours, missing) {
		note = fmt.Sprintf("LiteLLM had lost %d of %d keys; they are made again", missing, ours)
	}
	if spared > 0 {
		if note != "" {
			note += ". "
		}
		note += fmt.Sprintf("%d keys at LiteLLM claim to be ours, beside %d that are, more than the guard lets be blocked at once (%d %%, at least %d): none was", spared, ours, g.MaxRemovedPercent, g.MinRemoved)
	}
	return note
}
