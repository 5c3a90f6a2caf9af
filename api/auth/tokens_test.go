package auth_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
)

// rsaKey is a key that nobody knows.
func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return k
}

// mint is an issuer of tokens, with a clock.
type mint struct {
	*memory
	keys   *auth.Keys
	tokens *auth.Tokens
	clock  time.Time
}

func newMint(t *testing.T, c auth.Config) *mint {
	t.Helper()
	return anotherMint(t, c, newMemory(), newSealer(t))
}

func anotherMint(t *testing.T, c auth.Config, m *memory, s models.Sealer) *mint {
	t.Helper()
	out := &mint{memory: m, keys: auth.NewKeys(c, m, s), clock: time.Now()}
	var err error
	out.tokens, err = auth.NewTokens(c, out.keys)
	require.NoError(t, err)
	auth.SetClock(out.tokens, func() time.Time { return out.clock })
	m.now = func() time.Time { return out.clock }
	m.listen = append(m.listen, out.keys.Hear)
	return out
}

func (m *mint) issue(t *testing.T, p models.Principal) string {
	t.Helper()
	token, err := m.tokens.Issue(t.Context(), p, time.Hour)
	require.NoError(t, err)
	return token.Reveal()
}

func (m *mint) refuses(t *testing.T, token string) {
	t.Helper()
	_, err := m.tokens.Verify(t.Context(), token)
	refused(t, models.Unauthenticated, err)
	if token != "" {
		require.NotContains(t, err.Error(), token)
	}
}

func somebody() models.Principal {
	return models.Principal{
		UserID: uuid.New(), SessionID: uuid.New(), Username: "uma", Email: uma, Roles: []string{models.RoleUser}, AuthTime: time.Now().Add(-time.Hour).Truncate(time.Second),
	}
}

// A token says whose it is, to us and to LiteMaaS's clients.
func TestToken(t *testing.T) {
	m, p := newMint(t, auth.Config{TokenIssuer: "https://maas.example.com"}), somebody()
	token := m.issue(t, p)
	for range 2 { // the second time it is known
		b, err := m.tokens.Verify(t.Context(), token)
		require.NoError(t, err)
		require.Equal(t, p.UserID, b.UserID)
		require.Equal(t, p.SessionID, b.SessionID)
		require.True(t, p.AuthTime.Equal(b.AuthTime))
		require.WithinDuration(t, m.clock.Add(time.Hour), b.ExpiresAt, time.Second)
	}
	require.Equal(t, 1, auth.SeenTokens(m.tokens))

	c := jwt.MapClaims{}
	parsed, _, err := jwt.NewParser().ParseUnverified(token, c)
	require.NoError(t, err)
	require.Equal(t, "EdDSA", parsed.Header["alg"])
	require.Equal(t, m.memory.keys[0].KID, parsed.Header["kid"])
	require.NotEmpty(t, c["jti"])
	for k, v := range map[string]any{
		"iss": "https://maas.example.com", "aud": []any{"litemaas"}, "sub": p.UserID.String(), "sid": p.SessionID.String(), "userId": p.UserID.String(),
		"username": "uma", "email": uma, "roles": []any{"user"}, "auth_time": float64(p.AuthTime.Unix()), "exp": float64(m.clock.Add(time.Hour).Unix()),
	} {
		require.Equal(t, v, c[k], k)
	}
	require.NotEqual(t, token, m.issue(t, p), "no two are alike")
}

// However many tokens there are, only so many are remembered.
func TestTokensAreBounded(t *testing.T) {
	m := newMint(t, auth.Config{})
	auth.SetSeenLimit(m.tokens, 3)
	for range 10 {
		_, err := m.tokens.Verify(t.Context(), m.issue(t, somebody()))
		require.NoError(t, err)
	}
	require.Equal(t, 3, auth.SeenTokens(m.tokens))
}

// What is no token of ours, whatever it says.
func TestForgedTokens(t *testing.T) {
	m := newMint(t, auth.Config{})
	good := m.issue(t, somebody())
	kid := m.memory.keys[0].KID
	var j struct{ X string }
	require.NoError(t, json.Unmarshal(m.memory.keys[0].Public, &j))
	public, err := base64.RawURLEncoding.DecodeString(j.X)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(public))
	require.NoError(t, err)
	_, stranger, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	rs := rsaKey(t)
	another := newMint(t, auth.Config{}).issue(t, somebody())

	for name, token := range map[string]string{
		"nothing":                          "",
		"no token":                         "x.y.z",
		"an admin key":                     "ltm_admin_1",
		"another signature":                flip(good, 2),
		"another payload":                  flip(good, 1),
		"no signature":                     resigned(t, good, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"a signature that is cut off":      good[:strings.LastIndex(good, ".")+1],
		"HS256 with the public key":        resigned(t, good, jwt.SigningMethodHS256, public),
		"HS256 with the public key as PEM": resigned(t, good, jwt.SigningMethodHS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"HS256 with no key":                resigned(t, good, jwt.SigningMethodHS256, []byte{}),
		"RS256":                            resigned(t, good, jwt.SigningMethodRS256, rs),
		"another key by our name":          resigned(t, good, jwt.SigningMethodEdDSA, stranger),
		"a key that we do not have":        another,
		"a key of no name":                 headed(t, good, map[string]any{"alg": "EdDSA"}),
		"a key that comes along":           headed(t, good, map[string]any{"alg": "EdDSA", "kid": kid, "jwk": map[string]string{"kty": "OKP"}}),
		"a name that is no text":           headed(t, good, map[string]any{"alg": "EdDSA", "kid": 1}),
	} {
		t.Run(name, func(t *testing.T) { m.refuses(t, token) })
	}
	_, err = m.tokens.Verify(t.Context(), good)
	require.NoError(t, err)
}

// headed is a token with another header.
func headed(t *testing.T, token string, header map[string]any) string {
	t.Helper()
	b, err := json.Marshal(header)
	require.NoError(t, err)
	_, rest, _ := strings.Cut(token, ".")
	return base64.RawURLEncoding.EncodeToString(b) + "." + rest
}

// What a token says must be right, also when we have signed it.
func TestTokenClaims(t *testing.T) {
	s := newSealer(t)
	m := anotherMint(t, auth.Config{}, newMemory(), s)
	good := m.issue(t, somebody())
	seed, err := s.Open(m.memory.keys[0].Private, []byte("signing_keys/"+m.memory.keys[0].KID))
	require.NoError(t, err)
	key := ed25519.NewKeyFromSeed(seed)
	at := func(d time.Duration) int64 { return m.clock.Add(d).Unix() }
	for name, tc := range map[string]struct {
		change jwt.MapClaims
		good   bool
	}{
		"as it is":                  {nil, true},
		"another issuer":            {jwt.MapClaims{"iss": "elsewhere"}, false},
		"no issuer":                 {jwt.MapClaims{"iss": nil}, false},
		"another audience":          {jwt.MapClaims{"aud": "another"}, false},
		"no audience":               {jwt.MapClaims{"aud": nil}, false},
		"no time":                   {jwt.MapClaims{"exp": nil}, false},
		"over since the leeway":     {jwt.MapClaims{"exp": at(-31 * time.Second)}, false},
		"over just now":             {jwt.MapClaims{"exp": at(-29 * time.Second)}, true},
		"not good yet":              {jwt.MapClaims{"nbf": at(31 * time.Second)}, false},
		"good by another clock":     {jwt.MapClaims{"nbf": at(29 * time.Second)}, true},
		"nobody":                    {jwt.MapClaims{"sub": nil}, false},
		"nobody in particular":      {jwt.MapClaims{"sub": uuid.Nil.String()}, false},
		"a subject that is no user": {jwt.MapClaims{"sub": "uma"}, false},
		"a session that is none":    {jwt.MapClaims{"sid": "x"}, false},
		"no session":                {jwt.MapClaims{"sid": nil}, true},
		"no time of authentication": {jwt.MapClaims{"auth_time": nil}, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := jwt.MapClaims{}
			old, _, err := jwt.NewParser().ParseUnverified(good, c)
			require.NoError(t, err)
			for k, v := range tc.change {
				if c[k] = v; v == nil {
					delete(c, k)
				}
			}
			token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
			token.Header["kid"] = old.Header["kid"]
			signed, err := token.SignedString(key)
			require.NoError(t, err)
			if tc.good {
				_, err = m.tokens.Verify(t.Context(), signed)
				require.NoError(t, err)
				return
			}
			m.refuses(t, signed)
		})
	}
}

// A token that is known is no longer good when its time is over.
func TestTokenExpires(t *testing.T) {
	m := newMint(t, auth.Config{})
	token := m.issue(t, somebody())
	unknown := m.issue(t, somebody())
	_, err := m.tokens.Verify(t.Context(), token)
	require.NoError(t, err)
	m.clock = m.clock.Add(time.Hour + 31*time.Second)
	for _, token := range []string{token, unknown} {
		_, err = m.tokens.Verify(t.Context(), token)
		require.ErrorIs(t, err, auth.ErrTokenExpired)
	}
}

// LiteMaaS's tokens are good when that is switched on, and nothing else is then.
func TestLegacyTokens(t *testing.T) {
	const secret = "a-secret-that-LiteMaaS-signs-with"
	id := uuid.New()
	token := func(secret string, change jwt.MapClaims) string {
		c := jwt.MapClaims{"userId": id.String(), "username": "uma", "roles": []string{"admin"}, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
		for k, v := range change {
			if c[k] = v; v == nil {
				delete(c, k)
			}
		}
		out, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte(secret))
		require.NoError(t, err)
		return out
	}
	off := newMint(t, auth.Config{JWTSecret: models.SecretOf(secret)})
	off.refuses(t, token(secret, nil))

	on := newMint(t, auth.Config{JWTSecret: models.SecretOf(secret), AcceptHS256: true})
	b, err := on.tokens.Verify(t.Context(), token(secret, nil))
	require.NoError(t, err)
	require.Equal(t, id, b.UserID)
	require.Equal(t, uuid.Nil, b.SessionID)
	require.WithinDuration(t, time.Now(), b.AuthTime, 2*time.Second)
	for name, bad := range map[string]string{
		"another secret": token(secret+"x", nil),
		"no secret":      token("", nil),
		"expired":        token(secret, jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix()}),
		"for ever":       token(secret, jwt.MapClaims{"exp": nil}),
		"nobody":         token(secret, jwt.MapClaims{"userId": nil}),
		"no user":        token(secret, jwt.MapClaims{"userId": "1"}),
		"from when":      token(secret, jwt.MapClaims{"iat": nil}),
		"tomorrow":       token(secret, jwt.MapClaims{"iat": time.Now().Add(time.Hour).Unix()}),
		"no signature":   resigned(t, token(secret, nil), jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"HS512":          resigned(t, token(secret, nil), jwt.SigningMethodHS512, []byte(secret)),
	} {
		t.Run(name, func(t *testing.T) { on.refuses(t, bad) })
	}
	own := on.issue(t, somebody())
	_, err = on.tokens.Verify(t.Context(), own)
	require.NoError(t, err)
	for _, short := range []string{"", "change-me"} {
		_, err = auth.NewTokens(auth.Config{JWTSecret: models.SecretOf(short), AcceptHS256: true}, on.keys)
		refused(t, models.Invalid, err)
	}
}
