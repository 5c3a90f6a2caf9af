package auth

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
	"time"

	"github.com/litemaas/litemaas/models"
)

// refreshPrefix starts every refresh token, so that scanners and people know one.
const refreshPrefix = "ltr_"

// random is a text that nobody can guess: 256 bits in 43 characters that are good in addresses
// and cookies.
func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// wellFormed reports whether random could have made the text.
func wellFormed(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == 32
}

// hash is what is stored of a secret: its SHA-256, in hex.
func hash(s string) string { return models.SecretOf(s).Hash() }

// newRefreshToken returns a refresh token, and what is stored of it.
func newRefreshToken(expires time.Time) (models.Secret, models.RefreshToken) {
	token := refreshPrefix + random()
	return models.SecretOf(token), models.RefreshToken{Hash: hash(token), ExpiresAt: expires}
}

// isRefreshToken reports whether a text could be a refresh token.
func isRefreshToken(s string) bool {
	rest, ok := strings.CutPrefix(s, refreshPrefix)
	return ok && wellFormed(rest)
}
