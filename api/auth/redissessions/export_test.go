package redissessions

import "github.com/google/uuid"

// Lease is how long who ended a session has to record it.
const Lease = lease

// UnrecordedKey is where the sessions of a user are noted that ended and are not recorded.
func UnrecordedKey(userID uuid.UUID) string { return unrecordedPrefix + userID.String() }

// Prefix begins all keys, RefreshPrefix those of refresh tokens, SessionPrefix those of sessions.
const (
	Prefix        = "litemaas:{sessions}:"
	RefreshPrefix = refreshPrefix
	SessionPrefix = sessionPrefix
)
