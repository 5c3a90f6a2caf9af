package models

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// SecretPrefix starts every API key: LiteLLM demands it, and scanners know it.
const SecretPrefix = "sk-"

// secretBytes is the entropy of a key: 256 bits.
const secretBytes = 32

// Secret is the plaintext of a credential. It cannot be logged, printed or marshalled:
// the only way out is Reveal.
type Secret struct{ plain string }

// NewSecret draws an API key from r, which is crypto/rand.Reader outside tests.
func NewSecret(r io.Reader) (Secret, error) {
	buf := make([]byte, secretBytes)
	if _, err := io.ReadFull(r, buf); err != nil {
		return Secret{}, fmt.Errorf("draw secret: %w", err)
	}
	return Secret{SecretPrefix + base64.RawURLEncoding.EncodeToString(buf)}, nil
}

// SecretOf wraps a credential that came from outside.
func SecretOf(plain string) Secret { return Secret{plain} }

// Reveal returns the plaintext.
func (s Secret) Reveal() string { return s.plain }

// IsZero reports whether there is no credential at all.
func (s Secret) IsZero() bool { return s.plain == "" }

// Hash is the hex SHA-256 of the plaintext: what we store, and what LiteLLM calls a key.
func (s Secret) Hash() string {
	sum := sha256.Sum256([]byte(s.plain))
	return hex.EncodeToString(sum[:])
}

func (Secret) String() string { return "[secret]" }

// GoString is what %#v prints.
func (s Secret) GoString() string { return s.String() }

// LogValue is what slog prints.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON always fails, so that a secret cannot enter a history, a log or a response
// by accident.
func (Secret) MarshalJSON() ([]byte, error) {
	return nil, errors.New("a Secret must not be marshalled")
}
