package models

import "time"

// LoginState is what a sign-in that went off to the identity provider has to come back to. It
// is good once, for a few minutes, in the browser that began.
type LoginState struct {
	StateHash   string // hex SHA-256 of the state that the provider hands back
	BrowserHash string // hex SHA-256 of the cookie of the browser
	Provider    string
	Nonce       string         // that the ID token must hold
	Verifier    string         // of PKCE
	Redirect    string         // where the browser goes in the end
	MaxAge      *time.Duration // how long ago, when he went off, he may have proved there who he is; nil: any time
	ExpiresAt   time.Time
}

// TableName is where login states are stored.
func (LoginState) TableName() string { return "login_states" }
