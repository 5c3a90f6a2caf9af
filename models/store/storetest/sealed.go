package storetest

import (
	"bytes"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Keyring is a models.Keyring that everybody can look into: of these keys, by names of four
// letters, the first seals.
type Keyring []string

// Keys implements models.Keyring.
func (k Keyring) Keys() []models.SealingKey {
	keys := make([]models.SealingKey, len(k))
	for i, name := range k {
		keys[i] = models.SealingKey{Name: name, Mark: []byte("#" + name)}
	}
	return keys
}

// Seal implements models.Sealer.
func (k Keyring) Seal(plain, to []byte) ([]byte, error) {
	return slices.Concat(k.Keys()[0].Mark, to, []byte{0}, plain), nil
}

// Open implements models.Sealer.
func (k Keyring) Open(sealed, to []byte) ([]byte, error) {
	for _, key := range k.Keys() {
		if plain, ok := bytes.CutPrefix(sealed, slices.Concat(key.Mark, to, []byte{0})); ok {
			return plain, nil
		}
	}
	return nil, models.Errorf(models.Internal, "no key opens it")
}

// sealedRows makes rows of the keys $1 with the sealed values $2, of the user $3.
var sealedRows = map[string]string{ //nolint:gosec // these are names of columns, no credentials
	"signing_keys.private": `
		INSERT INTO signing_keys (kid, algorithm, private, public)
		SELECT key, 'EdDSA', sealed, '{}' FROM unnest($1::text[], $2::bytea[]) v(key, sealed) WHERE $3::uuid IS NOT NULL`,
	"sessions.provider_tokens": `
		INSERT INTO sessions (id, user_id, expires_at, provider, provider_tokens, auth_time, ip, created_at, user_agent, last_seen_at)
		SELECT key, $3, now() + interval '1 hour', 'oidc', sealed, now(), '', now(), '', now() FROM unnest($1::uuid[], $2::bytea[]) v(key, sealed)`,
	"api_keys.sealed": `
		INSERT INTO api_keys (id, user_id, name, alias, hash, prefix, sealed)
		SELECT key, $3, 'key', key, encode(sha256(sealed), 'hex'), 'sk-abcd', sealed FROM unnest($1::uuid[], $2::bytea[]) v(key, sealed)`,
	"operations.body": `
		INSERT INTO operations (id, actor, request, request_hash, claimed_until, body)
		SELECT key, $3::uuid, 'POST /', '', now(), sealed FROM unnest($1::uuid[], $2::bytea[]) v(key, sealed)`,
}

// hidden begins what is sealed in a test; the key of the row follows.
const hidden = "hush "

// Seal makes n rows of each place that holds sealed values.
func Seal(tb testing.TB, db *sql.DB, s models.Sealer, n int) {
	tb.Helper()
	var owner uuid.UUID
	require.NoError(tb, db.QueryRow(`
		INSERT INTO users (id, username, oauth_provider, oauth_id) SELECT id, id::text, 'oidc', id::text FROM gen_random_uuid() id RETURNING id`).Scan(&owner))
	for _, place := range store.SealedPlaces() {
		insert, ok := sealedRows[place]
		require.True(tb, ok, "say how to make a row for %s", place)
		keys, sealed := make([]string, n), make([][]byte, n)
		for i := range keys {
			var err error
			keys[i] = uuid.NewString()
			sealed[i], err = s.Seal([]byte(hidden+keys[i]), sealedTo(place, keys[i]))
			require.NoError(tb, err)
		}
		_, err := db.Exec(insert, keys, sealed, owner)
		require.NoError(tb, err, place)
	}
}

func sealedTo(place, key string) []byte {
	table, _, _ := strings.Cut(place, ".")
	return []byte(table + "/" + key)
}

// RequireSealed opens all that Seal has made, and says how many values there are. What the keyring
// does not open fails the test.
func RequireSealed(tb testing.TB, db *sql.DB, s models.Sealer) int {
	tb.Helper()
	n := 0
	for _, place := range store.SealedPlaces() {
		n += requireSealed(tb, db, s, place)
	}
	return n
}

func requireSealed(tb testing.TB, db *sql.DB, s models.Sealer, place string) (n int) {
	tb.Helper()
	table, column, _ := strings.Cut(place, ".")
	key := "id"
	if table == "signing_keys" {
		key = "kid"
	}
	rows, err := db.Query(fmt.Sprintf("SELECT %s::text, %s FROM %s", key, column, table))
	require.NoError(tb, err)
	defer rows.Close()
	for ; rows.Next(); n++ {
		var at string
		var sealed []byte
		require.NoError(tb, rows.Scan(&at, &sealed))
		plain, err := s.Open(sealed, sealedTo(place, at))
		require.NoError(tb, err, "%s of %s", place, at)
		require.Equal(tb, hidden+at, string(plain))
	}
	require.NoError(tb, rows.Err())
	return n
}
