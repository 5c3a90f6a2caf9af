package models

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Why keys are revoked by the program itself. Any other reason is words of a person.
const (
	KeyEndExpired = "expired" // its time was over
	KeyEndRotated = "rotated" // its successor is alone
	KeyEndUndone  = "rotation undone"
)

// What people are told of their keys.
const (
	KeyExpires           = "key.expires" // in 30, 7 or 1 days
	KeyExpiredNews       = "key.expired"
	KeyRotates           = "key.rotates" // by policy, in 30, 7 or 1 days
	KeyRotated           = "key.rotated"
	KeyRetired           = "key.retired"
	KeyRotationUndone    = "key.rotation_undone"
	KeyRevocationOverdue = "key.revocation_overdue" // LiteLLM still takes a key that was revoked a while ago
)

// RevocationAlarm is how long LiteLLM may take a key that was revoked, before people are told.
const RevocationAlarm = 2 * time.Minute

// The bounds of a rotation.
const (
	DefaultGrace   = 24 * time.Hour
	MaxGrace       = 90 * 24 * time.Hour
	MinSilence     = 10 * time.Minute // LiteLLM tells of a key's use some minutes late
	MinRotateEvery = 24 * time.Hour
	MaxRotateEvery = MaxExpirationDays * 24 * time.Hour
)

// HowToRotate is what somebody asks of a rotation.
type HowToRotate struct {
	Grace  time.Duration  // how long the old key works on, at most; never beyond its own end
	Silent *time.Duration // the old key goes sooner, when it was not used for so long; nil: it does not
}

// Check reports what is wrong with it; the error is Invalid and names the field.
func (h HowToRotate) Check() error {
	switch {
	case h.Grace < 0 || h.Grace > MaxGrace:
		return Errorf(Invalid, "the grace period is from 0 to 90d").On("gracePeriod")
	case h.Silent != nil && (*h.Silent < MinSilence || *h.Silent > MaxGrace):
		return Errorf(Invalid, "a silence is from 10m to 90d").On("retireWhenSilentFor")
	}
	return nil
}

// RetiresBy is when the key goes that is rotated now.
func (h HowToRotate) RetiresBy(k Key, now time.Time) time.Time {
	at := now.Add(h.Grace)
	if k.ExpiresAt != nil && k.ExpiresAt.Before(at) {
		return *k.ExpiresAt
	}
	return at
}

// MayRotate reports why the key cannot be rotated, where before is the key that it replaces, if
// any; the error is Conflict. Two rotations at once would leave nobody knowing which of three
// keys an undo gives back.
func (k Key) MayRotate(before *Key) error {
	const at = "2006-01-02 15:04:05 MST"
	switch {
	case k.RevokedAt != nil && k.RevokedWhy == KeyEndExpired, k.Expired():
		return Errorf(Conflict, "The API key has expired; make a new one")
	case k.RevokedAt != nil:
		return Errorf(Conflict, "The API key is revoked; make a new one")
	case k.RetiresAt != nil:
		return Errorf(Conflict, "The API key is being rotated already: its successor is alone from %s on", k.RetiresAt.UTC().Format(at))
	case before != nil && before.RevokedAt == nil && before.RetiresAt != nil:
		return Errorf(Conflict, "The API key has just taken the place of another, which works until %s: let that retire first",
			before.RetiresAt.UTC().Format(at))
	}
	return nil
}

// Heir is the part of a key's successor that is its own.
type Heir struct {
	ID                  uuid.UUID
	Alias, Hash, Prefix string
	Sealed              []byte
}

// NewHeir is the successor of a key, with a secret of its own.
func NewHeir(k Key, secret Secret, sealer Sealer) (Heir, error) {
	id := uuid.New()
	h := Heir{ID: id, Alias: heirAlias(k.Alias, id), Hash: secret.Hash(), Prefix: secret.Reveal()[:7]}
	var err error
	h.Sealed, err = sealer.Seal([]byte(secret.Reveal()), Key{ID: id}.SealContext())
	return h, err
}

// aliasEnd is what makes an alias unique.
var aliasEnd = regexp.MustCompile(`_[0-9a-f]{8}$`)

// heirAlias is of the same line as the alias, and nobody else's.
func heirAlias(alias string, id uuid.UUID) string {
	return aliasEnd.ReplaceAllString(alias, "") + "_" + strings.ReplaceAll(id.String(), "-", "")[:8]
}

// KeyRotation is how far a rotation has come.
type KeyRotation struct {
	Heir     uuid.UUID      // zero: the key is not being rotated
	Held     bool           // LiteLLM was seen to hold the successor
	Over     bool           // the key is revoked, or lives on: nothing is left to wait for
	End      string         // why it is revoked; empty: it is not
	RetireIn time.Duration  // until the key goes
	SilentIn *time.Duration // until it goes because it was silent, unless it is used; nil: no such rule
}

// Wait is how long nothing is to be done.
func (r KeyRotation) Wait() time.Duration {
	if r.SilentIn != nil {
		return max(0, min(r.RetireIn, *r.SilentIn))
	}
	return max(0, r.RetireIn)
}

// span is a length of time as people write it.
var span = regexp.MustCompile(`^(?:0|(0|[1-9][0-9]{0,7})([smhd]))$`)

// ParseSpan reads a length of time such as 0, 90s, 30m, 24h or 7d, which is that field of a request;
// the error is Invalid and names it.
func ParseSpan(field, text string) (time.Duration, error) {
	m := span.FindStringSubmatch(text)
	if m == nil {
		return 0, Errorf(Invalid, "must be a length of time such as 0, 90s, 30m, 24h or 7d").On(field)
	}
	n, _ := strconv.Atoi(m[1]) // at most eight digits; none for 0
	unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[m[2]]
	if unit > 0 && time.Duration(n) > MaxRotateEvery/unit {
		return 0, Errorf(Invalid, "must be at most %d days", MaxExpirationDays).On(field)
	}
	return time.Duration(n) * unit, nil
}
