package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// Authenticator tells who makes a request by the header Authorization: an admin by one of the
// configured keys, anybody by an access token. It is safe for use by many goroutines.
type Authenticator struct {
	tokens     *Tokens
	principals *Principals
	keys       []adminKey
	dotted     bool // one of them looks like a token
	now        func() time.Time
}

// adminKey is a configured key, of which only the hash is kept.
type adminKey struct {
	hash [sha256.Size]byte
	name string
}

// NewAuthenticator returns one that takes these admin keys; an empty one is none.
func NewAuthenticator(t *Tokens, p *Principals, adminKeys []models.Secret) *Authenticator {
	a := &Authenticator{tokens: t, principals: p, now: time.Now}
	for _, k := range adminKeys {
		if !k.IsZero() {
			sum := sha256.Sum256([]byte(k.Reveal()))
			a.keys = append(a.keys, adminKey{sum, "admin-key-" + hex.EncodeToString(sum[:4])})
			a.dotted = a.dotted || likeToken(k.Reveal())
		}
	}
	return a
}

// Principal returns who sends that header. It is Unauthenticated when that is nobody whom we
// know, ErrTokenExpired when he was known until his token expired, and Unavailable when it
// cannot be seen. The result is shared: do not change it.
func (a *Authenticator) Principal(ctx context.Context, authorization string) (models.Principal, error) {
	scheme, credential, _ := strings.Cut(authorization, " ")
	if credential = strings.TrimSpace(credential); credential == "" || !strings.EqualFold(scheme, "Bearer") {
		return models.Principal{}, models.Errorf(models.Unauthenticated, "Invalid or missing authentication token")
	}
	if name := a.adminKey(credential); name != "" {
		return models.Principal{
			Username: name, Name: name, Roles: []string{models.RoleAdmin}, Permissions: models.Permissions{models.Everything},
			Active: true, AuthTime: a.now(), Via: "admin-key",
		}, nil
	}
	return a.Token(ctx, credential)
}

// Token returns whose an access token is, in the same way.
func (a *Authenticator) Token(ctx context.Context, token string) (models.Principal, error) {
	b, err := a.tokens.Verify(ctx, token)
	if err != nil {
		return models.Principal{}, err
	}
	if b.SessionID == uuid.Nil {
		p, err := a.principals.User(ctx, b.UserID)
		if err == nil {
			p.AuthTime, p.ExpiresAt = b.AuthTime, b.ExpiresAt
		}
		return p, err
	}
	p, err := a.principals.Session(ctx, b.SessionID)
	if err == nil && p.UserID != b.UserID {
		return models.Principal{}, models.Errorf(models.Unauthenticated, "the token is of another session")
	}
	return p, err
}

// likeToken reports whether a credential has the three parts of a token.
func likeToken(credential string) bool { return strings.Count(credential, ".") == 2 }

// adminKey is the name of a configured key, or empty. The time that it takes says nothing about
// the keys, but whether any of them looks like a token.
func (a *Authenticator) adminKey(credential string) string {
	if len(a.keys) == 0 || likeToken(credential) && !a.dotted { // most requests: to hash theirs would be in vain
		return ""
	}
	sum := sha256.Sum256([]byte(credential))
	name := ""
	for _, k := range a.keys {
		if subtle.ConstantTimeCompare(k.hash[:], sum[:]) == 1 {
			name = k.name
		}
	}
	return name
}
