package auth_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Others can verify our tokens by the published keys, and see nothing private.
func TestJWKS(t *testing.T) {
	m := newMint(t, auth.Config{})
	token := m.issue(t, somebody())
	document, err := m.keys.JWKS(t.Context())
	require.NoError(t, err)
	var set struct{ Keys []map[string]string }
	require.NoError(t, json.Unmarshal(document, &set))
	require.Len(t, set.Keys, 1)
	x, err := base64.RawURLEncoding.DecodeString(set.Keys[0]["x"])
	require.NoError(t, err)
	require.Len(t, x, ed25519.PublicKeySize)
	delete(set.Keys[0], "x")
	require.Equal(t, map[string]string{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": m.memory.keys[0].KID}, set.Keys[0])
	_, err = jwt.Parse(token, func(*jwt.Token) (any, error) { return ed25519.PublicKey(x), nil }, jwt.WithValidMethods([]string{"EdDSA"}))
	require.NoError(t, err)
}

// The key is named by its thumbprint: the example of RFC 8037.
func TestThumbprint(t *testing.T) {
	m := newMint(t, auth.Config{})
	m.issue(t, somebody())
	var j struct{ X string }
	require.NoError(t, json.Unmarshal(m.memory.keys[0].Public, &j))
	require.Equal(t, m.memory.keys[0].KID, auth.Thumbprint(j.X))
	require.Equal(t, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", auth.Thumbprint("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"))
}

// A key makes room for the next, and its tokens live out their time.
func TestKeyRotation(t *testing.T) {
	c, s, mem := auth.Config{KeyLifetime: 24 * time.Hour, WebLifetime: 2 * time.Hour}, newSealer(t), newMemory()
	m := anotherMint(t, c, mem, s)
	token := m.issue(t, somebody())
	m.clock = m.clock.Add(23*time.Hour + 30*time.Minute)
	last := m.issue(t, somebody())
	require.Len(t, mem.keys, 1)
	m.clock = m.clock.Add(45 * time.Minute)
	next := m.issue(t, somebody())
	require.Len(t, mem.keys, 2)
	require.NotEqual(t, mem.keys[0].KID, mem.keys[1].KID)
	m.refuses(t, token)
	for _, token := range []string{last, next} {
		_, err := m.tokens.Verify(t.Context(), token)
		require.NoError(t, err)
	}
	document, err := m.keys.JWKS(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(string(document), `"kid"`))

	other := anotherMint(t, c, mem, s) // knows nothing yet
	other.clock, mem.now = m.clock, func() time.Time { return m.clock }
	_, err = other.tokens.Verify(t.Context(), next)
	require.NoError(t, err)
	m.clock = m.clock.Add(3 * time.Hour)
	document, err = m.keys.JWKS(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(document), `"kid"`), "nothing is left that the old one signed")
}

// Replicas that start at once sign with one key.
func TestKeysOfReplicas(t *testing.T) {
	mem, s := newMemory(), newSealer(t)
	a, b := anotherMint(t, auth.Config{}, mem, s), anotherMint(t, auth.Config{}, mem, s)
	a.clock = b.clock
	token := a.issue(t, somebody())
	_, err := b.tokens.Verify(t.Context(), token)
	require.NoError(t, err)
	b.issue(t, somebody())
	require.Len(t, mem.keys, 1)
}

// A key that is revoked signs and verifies nothing from then on: at once where that is told,
// else within a second.
func TestRevokedKey(t *testing.T) {
	for name, told := range map[string]bool{"told": true, "not told": false} {
		t.Run(name, func(t *testing.T) {
			m := newMint(t, auth.Config{})
			if !told {
				m.listen = nil
			} else {
				m.keys.Hear(store.Notice{Kind: store.NoticeAlive, At: m.clock})
			}
			token := m.issue(t, somebody())
			_, err := m.tokens.Verify(t.Context(), token)
			require.NoError(t, err)
			m.revokeKeys()
			if !told {
				m.clock = m.clock.Add(time.Second)
			}
			m.refuses(t, token)
			next := m.issue(t, somebody())
			_, err = m.tokens.Verify(t.Context(), next)
			require.NoError(t, err)
			m.refuses(t, token)
		})
	}
}

// Keys are read once while changes are told, once a second while they are not, and no stranger
// can make us read more.
func TestKeysAreReadSeldom(t *testing.T) {
	m := newMint(t, auth.Config{})
	token := m.issue(t, somebody())
	alive := func() { m.keys.Hear(store.Notice{Kind: store.NoticeAlive, At: m.clock}) }
	alive()
	m.reads = 0
	for range 100 {
		alive()
		_, err := m.tokens.Verify(t.Context(), token)
		require.NoError(t, err)
		m.clock = m.clock.Add(time.Second)
	}
	require.LessOrEqual(t, m.reads, 2, "in a hundred seconds")
	for range 10 { // nobody tells
		_, err := m.tokens.Verify(t.Context(), token)
		require.NoError(t, err)
		m.clock = m.clock.Add(500 * time.Millisecond)
	}
	require.LessOrEqual(t, m.reads, 8)
	alive()
	m.issue(t, somebody())
	m.reads = 0
	for i := range 1000 {
		m.refuses(t, headed(t, token, map[string]any{"alg": "EdDSA", "kid": fmt.Sprint(i)}))
	}
	require.LessOrEqual(t, m.reads, 1)
}

// A replica with the wrong keyset cannot sign, and does not put the right key out of use.
func TestKeyThatCannotBeOpened(t *testing.T) {
	mem := newMemory()
	right := anotherMint(t, auth.Config{}, mem, newSealer(t))
	token := right.issue(t, somebody())
	wrong := anotherMint(t, auth.Config{}, mem, newSealer(t))
	right.clock = wrong.clock
	_, err := wrong.tokens.Issue(t.Context(), somebody(), time.Hour)
	refused(t, models.Internal, err)
	_, err = wrong.tokens.Verify(t.Context(), token)
	require.NoError(t, err, "it can verify")
	require.Len(t, mem.keys, 1)
}

// While the keys cannot be read, no token is judged.
func TestKeysOutOfReach(t *testing.T) {
	m := newMint(t, auth.Config{})
	token := m.issue(t, somebody())
	m.keys.Hear(store.Notice{Kind: store.NoticeLost})
	m.down = models.Errorf(models.Unavailable, "down")
	_, err := m.tokens.Verify(t.Context(), token)
	refused(t, models.Unavailable, err)
	_, err = m.tokens.Issue(t.Context(), somebody(), time.Hour)
	refused(t, models.Unavailable, err)
	_, err = m.keys.JWKS(t.Context())
	refused(t, models.Unavailable, err)
}
