package auth

import (
	"sync/atomic"
	"time"

	"github.com/litemaas/litemaas/models/store"
)

// maxSilence is how long after its last sign of life a listener counts as one that hears
// everything. What was committed before that long ago has been told then; with the time that a
// look at the database takes, no change takes a second to be heeded.
const maxSilence = 700 * time.Millisecond

// pulse knows whether we hear what is told. The zero value does not.
type pulse struct {
	beat  atomic.Int64  // of the last sign of life, in nanoseconds; 0: none
	epoch atomic.Uint64 // counts what was told
}

// hear takes note of what is told, and reports whether something changed.
func (p *pulse) hear(n store.Notice) bool {
	switch n.Kind {
	case store.NoticeAlive:
		p.beat.Store(n.At.UnixNano())
		return false
	case store.NoticeLost:
		p.beat.Store(0)
	case store.NoticeUser, store.NoticeSession, store.NoticeRoles, store.NoticeKeys, store.NoticeAPIKey, store.NoticeOwner, store.NoticeAPIKeys:
	}
	p.epoch.Add(1)
	return true
}

// alive reports whether everything has been told that was committed until just now.
func (p *pulse) alive(now time.Time) bool {
	beat := p.beat.Load()
	return beat != 0 && now.Sub(time.Unix(0, beat)) < maxSilence
}
