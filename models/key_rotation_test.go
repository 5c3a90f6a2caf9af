package models_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// Lengths of time are read as people write them, and no others.
func TestParseSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "90s": 90 * time.Second, "30m": 30 * time.Minute, "24h": 24 * time.Hour, "7d": 168 * time.Hour, "36525d": models.MaxRotateEvery,
	} {
		got, err := models.ParseSpan("f", text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "1", "-1s", "+1s", "1.5h", "01s", "1h30m", "1w", "1 h", "h", "36526d", "99999999d", "999999999s", "1s\n"} {
		_, err := models.ParseSpan("f", text)
		require.Equal(t, models.Invalid, models.KindOf(err), text)
		var e *models.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "f", e.Field)
	}
}

// Only a key that works by itself is rotated; the reason is told otherwise.
func TestMayRotate(t *testing.T) {
	past, future := new(time.Now().Add(-time.Hour)), new(time.Now().Add(time.Hour))
	for name, tc := range map[string]struct {
		key    models.Key
		before *models.Key
		says   string
	}{
		"a key":                           {says: ""},
		"one that will expire":            {key: models.Key{ExpiresAt: future}},
		"one that is held":                {key: models.Key{Holds: []models.Hold{models.HoldAdmin}}},
		"a successor that is alone":       {before: &models.Key{RevokedAt: past, RetiresAt: past}},
		"a successor that is not alone":   {before: &models.Key{RetiresAt: future}, says: "has just taken the place of another"},
		"one that is overdue to go":       {key: models.Key{RetiresAt: past}, says: "is being rotated already"},
		"a revoked one":                   {key: models.Key{RevokedAt: past}, says: "is revoked"},
		"one whose time is over":          {key: models.Key{ExpiresAt: past}, says: "has expired"},
		"one that was ended by the clock": {key: models.Key{RevokedAt: past, RevokedWhy: models.KeyEndExpired}, says: "has expired"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.key.MayRotate(tc.before)
			if tc.says == "" {
				require.NoError(t, err)
				return
			}
			require.Equal(t, models.Conflict, models.KindOf(err))
			require.ErrorContains(t, err, tc.says)
		})
	}
}

// An end that is past is told as what it was: expired, or revoked once LiteLLM refuses the key.
func TestStatusOfAnEndedKey(t *testing.T) {
	ended := models.Key{RevokedAt: new(time.Now()), RevokedWhy: models.KeyEndExpired, Generation: 2, ObservedGeneration: 1}
	require.Equal(t, models.KeyRevoking, ended.Status())
	ended.ObservedGeneration = 2
	require.Equal(t, models.KeyExpired, ended.Status())
	ended.RevokedWhy = models.KeyEndRotated
	require.Equal(t, models.KeyRevoked, ended.Status())
	require.Equal(t, *ended.RevokedAt, ended.Ended())
	require.Zero(t, models.Key{ExpiresAt: new(time.Now().Add(time.Hour))}.Ended())
}

// A successor's alias is of the same line, however often it is rotated.
func TestHeirAlias(t *testing.T) {
	k := models.Key{Alias: "my_key"}
	for range 3 {
		heir, err := models.NewHeir(k, models.SecretOf("sk-0123456789abcdef"), plainSealer{})
		require.NoError(t, err)
		require.Regexp(t, `^my_key_[0-9a-f]{8}$`, heir.Alias)
		require.Equal(t, "sk-0123", heir.Prefix)
		require.Equal(t, models.Key{ID: heir.ID}.SealContext(), heir.Sealed[:len("api_keys/")+len(uuid.UUID{}.String())])
		k.Alias = heir.Alias
	}
}

// plainSealer shows what it was given.
type plainSealer struct{}

func (plainSealer) Seal(plain, associated []byte) ([]byte, error) {
	return append(associated, plain...), nil
}

func (plainSealer) Open(sealed, associated []byte) ([]byte, error) {
	return sealed[len(associated):], nil
}
