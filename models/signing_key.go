package models

import (
	"encoding/json"
	"time"
)

// SigningKey signs access tokens until RetiresAt, and its signatures are good until ExpiresAt.
type SigningKey struct {
	KID       string          `gorm:"column:kid"`
	Algorithm string          // as in a token's header: EdDSA, ES256
	Private   []byte          // sealed
	Public    json.RawMessage // a JSON Web Key
	CreatedAt time.Time
	RetiresAt *time.Time // nil: it signs now
	ExpiresAt *time.Time // nil: not known yet
}

// TableName is where signing keys are stored.
func (SigningKey) TableName() string { return "signing_keys" }

// Sealer encrypts what must not be readable in the database. What was sealed with some
// associated data opens with the same only, so that nobody can put one row's secret into
// another.
type Sealer interface {
	Seal(plain, associated []byte) ([]byte, error)
	Open(sealed, associated []byte) ([]byte, error)
}
