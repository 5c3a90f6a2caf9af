package auth

import (
	"time"

	"github.com/litemaas/litemaas/models"
)

// SetClock makes a provider, tokens, keys, principals or a flow live at that time.
func SetClock(part any, now func() time.Time) {
	switch part := part.(type) {
	case *openID:
		part.now = now
	case *openShift:
		part.now = now
	case *Tokens:
		part.now, part.keys.now = now, now
	case *Principals:
		part.now = now
	case *KeyChecks:
		part.now = now
	case *Flow:
		part.now = now
	default:
		panic("it has no clock")
	}
}

// SetLimit bounds how many principals are remembered.
func SetLimit(p *Principals, limit int) { p.limit = limit }

// Remembered is how many principals are, and of how many users.
func Remembered(p *Principals) (principals, users int) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.known), len(p.of)
}

// SetKeyLimit bounds how many keys are remembered.
func SetKeyLimit(k *KeyChecks, limit int) { k.limit = limit }

// RememberedKeys is how many keys are, and how many of their owners.
func RememberedKeys(k *KeyChecks) (keys, owners int) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.known), len(k.owners)
}

// SeenTokens is how many tokens are remembered as verified.
func SeenTokens(t *Tokens) int { return len(t.seen.m) }

// SetSeenLimit bounds how many tokens are remembered as verified.
func SetSeenLimit(t *Tokens, limit int) { t.seen.limit = limit }

// Thumbprint is the name of a public key.
var Thumbprint = thumbprint

// ClusterAPI is where the API of an OpenShift cluster is.
var ClusterAPI = clusterAPI

// IdentityOf is whom the claims of an ID token and of userinfo are about.
func IdentityOf(c Config, idToken, info map[string]any) models.Identity {
	return claims(idToken).with(info).identity(c.withDefaults())
}
