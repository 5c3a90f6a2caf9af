package models

import (
	"time"

	"github.com/google/uuid"
)

// Principal is who makes a request, and what he may do now.
type Principal struct {
	UserID      uuid.UUID // zero for a configured admin key
	SessionID   uuid.UUID // zero: no session
	KeyID       uuid.UUID // of the API key that he came by; zero: none
	Username    string
	Email       string
	Name        string   // his full name, else his username
	Roles       []string // that he holds, by name
	Permissions Permissions
	Teams       []uuid.UUID // that he is in, but for the default one
	Active      bool
	AuthTime    time.Time // when he proved who he is
	ExpiresAt   time.Time // when his session ends; zero: it does not
	Via         string    // what he came by: api, api-key, admin-key, cli
}

// May reports whether he may do something.
func (p Principal) May(do Permission) bool { return p.Active && p.Permissions.Has(do) }

// ID is his name in the audit log: that of the user, or of the key.
func (p Principal) ID() string {
	if p.UserID == uuid.Nil {
		return p.Username
	}
	return p.UserID.String()
}

// Actor is the principal as the audit log names him, in one request.
func (p Principal) Actor(from Origin) Actor {
	from.SessionID = p.SessionID
	return Actor{ID: p.ID(), Via: p.Via, Origin: from}
}
