package models

import (
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

// SessionSeen says that a session was used.
type SessionSeen struct {
	ID uuid.UUID
	At time.Time
	IP string
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
