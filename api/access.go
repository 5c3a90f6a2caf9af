package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/litemaas/litemaas/models"
)

// access says who may call an endpoint.
type access string

const (
	anyone access = "anyone"
	admins access = "admins"
)

// caller is who asks; the zero value is nobody in particular.
type caller struct {
	id    string // as the audit log names him
	admin bool

	user, team, apiKey string // what his requests count against; empty where he is none
}

// may reports whether the caller has that access.
func (c caller) may(a access) bool { return a == anyone || a == admins && c.admin }

// authenticator tells callers by what they bring.
type authenticator struct{ keys []adminKey }

// adminKey is a configured key, of which only the hash is kept.
type adminKey struct {
	hash [sha256.Size]byte
	name string
}

func newAuthenticator(keys []models.Secret) authenticator {
	var a authenticator
	for _, k := range keys {
		if k.IsZero() {
			continue
		}
		hash := sha256.Sum256([]byte(k.Reveal()))
		a.keys = append(a.keys, adminKey{hash, "admin-key-" + hex.EncodeToString(hash[:4])})
	}
	return a
}

// caller returns who sends the header Authorization; it is Unauthenticated when that is
// nobody we know. The time it takes says nothing about the keys.
func (a authenticator) caller(authorization string) (caller, error) {
	scheme, key, _ := strings.Cut(authorization, " ")
	hash := sha256.Sum256([]byte(strings.TrimSpace(key)))
	var who caller
	for _, k := range a.keys {
		if subtle.ConstantTimeCompare(k.hash[:], hash[:]) == 1 {
			who = caller{id: k.name, admin: true, apiKey: k.name}
		}
	}
	if !strings.EqualFold(scheme, "Bearer") || who.id == "" {
		return caller{}, models.Errorf(models.Unauthenticated, "Invalid or missing authentication token")
	}
	return who, nil
}

// identify finds out who sends a request. It answers nothing: what a stranger may do is for
// guard to say, after his request has been counted.
func (a authenticator) identify(c *gin.Context) {
	r := requestOf(c.Request.Context())
	r.caller, r.unknown = a.caller(c.GetHeader("Authorization"))
}

// guard lets a request through to an endpoint of that access, or answers it. An endpoint for
// anyone takes a caller whom we do not know for a stranger.
func guard(need access) gin.HandlerFunc {
	return func(c *gin.Context) {
		r := requestOf(c.Request.Context())
		if r.caller.may(need) {
			return
		}
		err := r.unknown
		if err == nil {
			err = models.Errorf(models.Forbidden, "Access denied")
		} else {
			c.Header("WWW-Authenticate", `Bearer realm="litemaas"`)
		}
		answer(c, fail(c.Request.Context(), err))
	}
}

// actor is the caller as the audit log names him.
func actor(ctx context.Context) models.Actor {
	return models.Actor{ID: requestOf(ctx).caller.id, Via: "api"}
}
