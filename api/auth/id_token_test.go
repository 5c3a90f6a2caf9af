package auth_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
)

// forged puts ID tokens that are not good for this sign-in into the provider's answer.
func forged(t *testing.T, at idp) {
	w := &wire{}
	p := provider(t, w.through(at.client()))
	sw := &wire{}
	stranger := provider(t, sw.through(at.stranger()))
	b := newBrowser(t)

	_, _, err := comeBack(t, p, b, uma).exchange(t.Context(), p)
	require.NoError(t, err)
	earlier := w.idToken(t)
	theirs := comeBack(t, stranger, newBrowser(t), uma)
	_, _, err = theirs.exchange(t.Context(), stranger)
	require.NoError(t, err)
	foreign := sw.idToken(t)

	for name, tc := range map[string]struct {
		change func(good string) string
		why    string
	}{
		"none":                    {func(string) string { return "" }, "malformed"},
		"no token":                {func(string) string { return "x" }, "malformed"},
		"another signature":       {func(s string) string { return flip(s, 2) }, "verify signature"},
		"another payload":         {func(s string) string { return flip(s, 1) }, "verify signature"},
		"signed with another key": {func(s string) string { return resigned(t, s, jwt.SigningMethodRS256, rsaKey(t)) }, "verify signature"},
		"of another sign-in":      {func(string) string { return earlier }, "another access token"},
		"for another client":      {func(string) string { return foreign }, "expected audience"},
		"no signature": {func(s string) string {
			return resigned(t, s, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType)
		}, `unexpected signature algorithm "none"`},
		"signed with our client secret": {func(s string) string {
			return resigned(t, s, jwt.SigningMethodHS256, []byte(at.client().ClientSecret.Reveal()))
		}, `unexpected signature algorithm "HS256"`},
		"signed with the public key": {func(s string) string {
			return resigned(t, s, jwt.SigningMethodHS256, publicKeys(t, at.client().Issuer))
		}, `unexpected signature algorithm "HS256"`},
	} {
		t.Run(name, func(t *testing.T) {
			w.set(func(w *wire) {
				w.change = func(a map[string]any) map[string]any {
					a["id_token"] = tc.change(a["id_token"].(string))
					return a
				}
			})
			_, _, err := comeBack(t, p, newBrowser(t), uma).exchange(t.Context(), p)
			refused(t, models.Unauthenticated, err)
			require.ErrorContains(t, err, tc.why)
			require.NotContains(t, err.Error(), "eyJ", "no token in an error")
		})
	}
	w.set(func(w *wire) { w.change = nil })
	t.Run("expired", func(t *testing.T) {
		a := comeBack(t, p, newBrowser(t), uma)
		auth.SetClock(p, func() time.Time { return time.Now().Add(2 * time.Hour) })
		defer auth.SetClock(p, time.Now)
		_, _, err := a.exchange(t.Context(), p)
		refused(t, models.Unauthenticated, err)
		require.ErrorContains(t, err, "expired")
	})
	t.Run("with the access token of somebody else", func(t *testing.T) {
		_, other, err := comeBack(t, p, newBrowser(t), ada).exchange(t.Context(), p)
		require.NoError(t, err)
		w.set(func(w *wire) {
			w.change = func(a map[string]any) map[string]any { a["access_token"] = other.Access; return a }
		})
		defer w.set(func(w *wire) { w.change = nil })
		_, _, err = comeBack(t, p, newBrowser(t), uma).exchange(t.Context(), p)
		refused(t, models.Unauthenticated, err)
		require.ErrorContains(t, err, "another access token")
	})
	t.Run("a whole answer of another sign-in", func(t *testing.T) {
		_, _, err := comeBack(t, p, newBrowser(t), uma).exchange(t.Context(), p)
		require.NoError(t, err)
		old := w.answered()
		a := comeBack(t, p, newBrowser(t), uma)
		w.set(func(w *wire) { w.change = func(map[string]any) map[string]any { return old } })
		defer w.set(func(w *wire) { w.change = nil })
		_, _, err = p.Exchange(t.Context(), a.code, "another-nonce", a.verifier)
		refused(t, models.Unauthenticated, err)
		require.ErrorContains(t, err, "of another sign-in")
	})
	t.Run("none of them", func(t *testing.T) {
		_, _, err := comeBack(t, p, b, uma).exchange(t.Context(), p)
		require.NoError(t, err)
	})
}

// A sign-in that ends with such a token is refused and written down, and nobody is let in.
func TestForgedSignInsAreAudited(t *testing.T) {
	at, w, sw := newCertified(t), &wire{}, &wire{}
	h, stranger := newHouse(t, w.through(at.client())), provider(t, sw.through(at.stranger()))
	_, _, err := comeBack(t, stranger, newBrowser(t), uma).exchange(t.Context(), stranger)
	require.NoError(t, err)
	signed := func(method jwt.SigningMethod, key any) func(map[string]any) map[string]any {
		return func(a map[string]any) map[string]any {
			a["id_token"] = resigned(t, a["id_token"].(string), method, key)
			return a
		}
	}
	for name, tc := range map[string]struct {
		change func(map[string]any) map[string]any
		why    string
	}{
		"alg none":                    {signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType), `unexpected signature algorithm "none"`},
		"HS256 with the public key":   {signed(jwt.SigningMethodHS256, publicKeys(t, at.issuer)), `unexpected signature algorithm "HS256"`},
		"HS256 with our secret":       {signed(jwt.SigningMethodHS256, []byte("litemaas-secret")), `unexpected signature algorithm "HS256"`},
		"another key":                 {signed(jwt.SigningMethodRS256, rsaKey(t)), "verify signature"},
		"another nonce":               {at.saying(t, jwt.MapClaims{"nonce": "another"}), "of another sign-in"},
		"another audience":            {at.saying(t, jwt.MapClaims{"aud": "somebody-else"}), "expected audience"},
		"another issuer":              {at.saying(t, jwt.MapClaims{"iss": "https://evil.example.com"}), "different provider"},
		"expired":                     {at.saying(t, jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()}), "expired"},
		"the answer to somebody else": {func(map[string]any) map[string]any { return sw.answered() }, "expected audience"},
	} {
		t.Run(name, func(t *testing.T) {
			w.set(func(w *wire) { w.change = tc.change })
			q, cookie := h.begin(t, auth.Ask{}, uma)
			_, _, err := h.flow.Finish(t.Context(), q, cookie.Value, from)
			refused(t, models.Unauthenticated, err)
			require.ErrorContains(t, err, tc.why)
			require.Equal(t, []string{err.Error()}, h.refusals())
			require.Empty(t, h.sessions)
			require.Empty(t, h.users)
		})
	}
}

// flip changes a character of one part of a token.
func flip(token string, part int) string {
	parts := strings.Split(token, ".")
	b := []byte(parts[part])
	if i := len(b) / 2; b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	parts[part] = string(b)
	return strings.Join(parts, ".")
}

// resigned is a token with the same claims, signed in another way.
func resigned(t *testing.T, token string, method jwt.SigningMethod, key any) string {
	t.Helper()
	c := jwt.MapClaims{}
	old, _, err := jwt.NewParser().ParseUnverified(token, c)
	require.NoError(t, err)
	forged := jwt.NewWithClaims(method, c)
	forged.Header["kid"] = old.Header["kid"]
	out, err := forged.SignedString(key)
	require.NoError(t, err)
	return out
}

// publicKeys is the first RSA key that a provider publishes, as an attacker would take it for a
// secret of HS256.
func publicKeys(t *testing.T, issuer string) []byte {
	t.Helper()
	var at struct {
		KeySet string `json:"jwks_uri"`
	}
	fetch(t, issuer+"/.well-known/openid-configuration", &at)
	var keys struct {
		Keys []struct{ N string }
	}
	fetch(t, at.KeySet, &keys)
	n, err := base64.RawURLEncoding.DecodeString(keys.Keys[0].N)
	require.NoError(t, err)
	return n
}

func fetch(t *testing.T, at string, out any) {
	t.Helper()
	res, err := http.Get(at)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	require.NoError(t, json.NewDecoder(res.Body).Decode(out))
}

// saying makes answers of the provider hold an ID token that it signed, with other claims; nil
// leaves one out.
func (c *certified) saying(t *testing.T, change jwt.MapClaims) func(map[string]any) map[string]any {
	t.Helper()
	key, err := c.SigningKey(t.Context())
	require.NoError(t, err)
	return func(answer map[string]any) map[string]any {
		claims := jwt.MapClaims{}
		old, _, err := jwt.NewParser().ParseUnverified(answer["id_token"].(string), claims)
		require.NoError(t, err)
		for k, v := range change {
			if claims[k] = v; v == nil {
				delete(claims, k)
			}
		}
		token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
		token.Header["kid"] = old.Header["kid"]
		answer["id_token"], err = token.SignedString(key.Key())
		require.NoError(t, err)
		return answer
	}
}

// What an ID token says must be right, however well it is signed.
func TestIDTokenClaims(t *testing.T) {
	at, w := newCertified(t), &wire{}
	p := provider(t, w.through(at.client()))
	for name, tc := range map[string]struct {
		change jwt.MapClaims // nil: leave it out
		why    string        // empty: it is good
	}{
		"as it is":                {nil, ""},
		"another issuer":          {jwt.MapClaims{"iss": "https://evil.example.com"}, "different provider"},
		"another audience":        {jwt.MapClaims{"aud": "somebody-else"}, "expected audience"},
		"another party":           {jwt.MapClaims{"azp": "somebody-else"}, "another client"},
		"no party of two":         {jwt.MapClaims{"aud": []string{"litemaas", "somebody-else"}, "azp": nil}, "another client"},
		"one party of two":        {jwt.MapClaims{"aud": []string{"litemaas", "somebody-else"}}, ""},
		"nobody":                  {jwt.MapClaims{"sub": ""}, "names nobody"},
		"somebody else":           {jwt.MapClaims{"sub": "id-of-" + ada}, "about somebody else"},
		"not good yet":            {jwt.MapClaims{"nbf": time.Now().Add(time.Hour).Unix()}, "before the nbf"},
		"no nonce":                {jwt.MapClaims{"nonce": nil}, "another sign-in"},
		"no time":                 {jwt.MapClaims{"exp": nil}, "expired"},
		"no hash of the access":   {jwt.MapClaims{"at_hash": nil}, ""},
		"a party that is no text": {jwt.MapClaims{"azp": 1}, "azp"},
		"another access token":    {jwt.MapClaims{"at_hash": "x"}, "another access token"},
	} {
		t.Run(name, func(t *testing.T) {
			w.set(func(w *wire) { w.change = at.saying(t, tc.change) })
			_, _, err := comeBack(t, p, newBrowser(t), uma).exchange(t.Context(), p)
			if tc.why == "" {
				require.NoError(t, err)
				return
			}
			refused(t, models.Unauthenticated, err)
			require.ErrorContains(t, err, tc.why)
		})
	}
}
