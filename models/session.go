package models

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Session is one sign-in of a user on one device, until it expires or is revoked. Every token
// names its session, so that revoking the session is what ends its tokens.
type Session struct {
	ID, UserID     uuid.UUID
	Provider       string    // that vouched for him; "cli" for one that an operator made
	ProviderTokens []byte    // of the identity provider, sealed; lists leave them out
	AuthTime       time.Time // when he proved who he is
	IP, UserAgent  string    // at the last look
	CreatedAt      time.Time
	LastSeenAt     time.Time // to the minute
	ExpiresAt      time.Time
	RevokedAt      *time.Time
	RevokedWhy     SessionEnd
}

// TableName is where sessions are stored.
func (Session) TableName() string { return "sessions" }

// MaxSessions is how many live sessions a user has at most; a further one ends the oldest.
const MaxSessions = 10

// Live reports whether the session is good at that time.
func (s Session) Live(at time.Time) bool { return s.RevokedAt == nil && at.Before(s.ExpiresAt) }

// Begun is the beginning of the session, as the audit log tells it.
func (s Session) Begun() Event {
	return Event{
		Action: AuditSessionCreate, ResourceType: AuditOfAuth, ResourceID: s.ID.String(),
		Detail: map[string]any{"userId": s.UserID, "provider": s.Provider, "expiresAt": s.ExpiresAt},
	}
}

// SessionEnd says why a session was revoked.
type SessionEnd string

// The reasons.
const (
	SessionLoggedOut   SessionEnd = "logout"
	SessionRevoked     SessionEnd = "revoked"     // by its owner from another session, or by an admin
	SessionDisplaced   SessionEnd = "displaced"   // by a newer one, of too many
	SessionStolen      SessionEnd = "stolen"      // a refresh token of it was used twice, and not by mistake
	SessionDeactivated SessionEnd = "deactivated" // its user was
)

// EndedSession is a session that was revoked.
type EndedSession struct {
	ID, UserID uuid.UUID
	Why        SessionEnd
}

// Event is the end of the session, as the audit log tells it.
func (e EndedSession) Event() Event {
	action := AuditSessionRevoke
	if e.Why == SessionLoggedOut {
		action = AuditLogout
	}
	return Event{
		Action: action, ResourceType: AuditOfAuth, ResourceID: e.ID.String(),
		Detail: map[string]any{"userId": e.UserID, "reason": e.Why},
	}
}

// RefusedSession is that somebody was not let in, as the audit log tells it; the session is zero
// where there is none.
func RefusedSession(id uuid.UUID, why error) Event {
	e := Event{Action: AuditFailed, ResourceType: AuditOfAuth, Failure: why.Error()}
	if id != uuid.Nil {
		e.ResourceID = id.String()
	}
	return e
}

// SessionSeen says that a session was used.
type SessionSeen struct {
	ID uuid.UUID
	At time.Time
	IP string
}

// SeenEvery is how long after a use of a session the next one is recorded.
const SeenEvery = time.Minute

// LastSeen is the last use of each session, by ID.
func LastSeen(seen []SessionSeen) []SessionSeen {
	seen = slices.SortedFunc(slices.Values(seen), func(a, b SessionSeen) int {
		return cmp.Or(cmp.Compare(a.ID.String(), b.ID.String()), b.At.Compare(a.At))
	})
	return slices.CompactFunc(seen, func(a, b SessionSeen) bool { return a.ID == b.ID })
}

// RefreshGrace is how long after its use a refresh token may come again, from a client that
// lost the answer or sent twice. OAuth's best practice (RFC 9700, section 4.14.2) asks for
// rotation with reuse detection and leaves this open; identity providers call it the reuse or
// grace interval, and most have a few seconds of it.
const RefreshGrace = 10 * time.Second

// RefreshToken is a token that gives a session a new access token, once: using it gives the
// next one. Only its hash is kept.
type RefreshToken struct {
	Hash      string // hex SHA-256; see Secret.Hash
	ExpiresAt time.Time
}
