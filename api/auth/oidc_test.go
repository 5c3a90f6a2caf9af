package auth_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
)

// refused requires an error of that kind.
func refused(t *testing.T, kind models.Kind, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, kind, models.KindOf(err), "%v", err)
}

func provider(t *testing.T, c auth.Config) auth.Provider {
	t.Helper()
	p, err := auth.NewProvider(c)
	require.NoError(t, err)
	return p
}

// attempt is one sign-in at a provider.
type attempt struct{ code, nonce, verifier string }

const verifier = "a-verifier-of-PKCE-must-have-at-least-43-characters"

// comeBack signs a user in at the provider, up to the code.
func comeBack(t *testing.T, p auth.Provider, b *browser, user string) attempt {
	t.Helper()
	a := attempt{nonce: "nonce-" + t.Name(), verifier: verifier}
	at, err := p.AuthURL(t.Context(), "the-state", a.nonce, a.verifier, nil)
	require.NoError(t, err)
	q := b.signIn(t, at, user)
	require.Equal(t, "the-state", q.Get("state"))
	a.code = q.Get("code")
	require.NotEmpty(t, a.code, q)
	return a
}

func (a attempt) exchange(ctx context.Context, p auth.Provider) (models.Identity, auth.ProviderTokens, error) {
	return p.Exchange(ctx, a.code, a.nonce, a.verifier)
}

// Every provider of OpenID Connect is used in the same way, and trusted as little.
func TestOIDC(t *testing.T) {
	t.Run("certified", func(t *testing.T) { suite(t, func(t *testing.T) idp { t.Helper(); return newCertified(t) }) })
	keycloaks(t, suite)
}

func suite(t *testing.T, start func(t *testing.T) idp) {
	t.Run("people and their roles", func(t *testing.T) { signsIn(t, start(t)) })
	t.Run("a code is good once, for who began", func(t *testing.T) { codes(t, start(t)) })
	t.Run("refresh", func(t *testing.T) { refreshes(t, start(t)) })
	t.Run("a user who is disabled there", func(t *testing.T) { disabled(t, start(t)) })
	t.Run("logout at both", func(t *testing.T) { logsOut(t, start(t)) })
	t.Run("asks for the password again", func(t *testing.T) { asksAgain(t, start(t)) })
	t.Run("forged ID tokens", func(t *testing.T) { forged(t, start(t)) })
	t.Run("a provider that is down", func(t *testing.T) { down(t, start(t)) })
	t.Run("the whole journey", func(t *testing.T) { journey(t, start(t)) })
	t.Run("key rotation", func(t *testing.T) { rotated(t, start(t)) })
}

func signsIn(t *testing.T, at idp) {
	p := provider(t, at.client())
	for user, roles := range map[string][]string{
		ada: {models.RoleAdmin, models.RoleUser},
		uma: {models.RoleUser},
		rea: {models.RoleAdminReadonly, models.RoleUser},
		vic: {models.RoleUser},
	} {
		id, tokens, err := comeBack(t, p, newBrowser(t), user).exchange(t.Context(), p)
		require.NoError(t, err)
		require.NoError(t, id.Check())
		require.Equal(t, auth.ProviderOIDC, id.Provider)
		require.Equal(t, user, id.Username)
		require.Equal(t, user, id.Email)
		require.Equal(t, user != vic, id.EmailVerified)
		require.NotContains(t, []string{"", user}, id.FullName)
		require.Equal(t, roles, id.Roles)
		require.Equal(t, id.Subject, tokens.Subject)
		require.WithinDuration(t, time.Now(), tokens.AuthTime, time.Minute)
		require.NotContains(t, []string{tokens.ID, tokens.Access, tokens.Refresh}, "")
	}
	t.Run("not let in", func(t *testing.T) {
		where, err := p.AuthURL(t.Context(), "s", "n", verifier, nil)
		require.NoError(t, err)
		require.Nil(t, newBrowser(t).signIn(t, where, "nobody@example.com"))
	})
}

func codes(t *testing.T, at idp) {
	p := provider(t, at.client())
	a := comeBack(t, p, newBrowser(t), uma)
	_, _, err := p.Exchange(t.Context(), a.code, a.nonce, strings.Repeat("another-verifier", 4))
	refused(t, models.Unauthenticated, err) // PKCE

	a = comeBack(t, p, newBrowser(t), uma)
	_, _, err = a.exchange(t.Context(), p)
	require.NoError(t, err)
	_, _, err = a.exchange(t.Context(), p)
	refused(t, models.Unauthenticated, err)

	a = comeBack(t, p, newBrowser(t), uma)
	_, _, err = p.Exchange(t.Context(), a.code, "another-nonce", a.verifier)
	refused(t, models.Unauthenticated, err)
	require.ErrorContains(t, err, "of another sign-in")

	c := at.client()
	c.ClientSecret = models.SecretOf("wrong-secret")
	_, _, err = comeBack(t, p, newBrowser(t), uma).exchange(t.Context(), provider(t, c))
	refused(t, models.Unavailable, err) // it is our fault, not the user's
	require.NotContains(t, err.Error(), "wrong-secret")
}

func refreshes(t *testing.T, at idp) {
	p := provider(t, at.client())
	_, first, err := comeBack(t, p, newBrowser(t), uma).exchange(t.Context(), p)
	require.NoError(t, err)
	second, err := p.Refresh(t.Context(), first)
	require.NoError(t, err)
	require.Equal(t, first.Subject, second.Subject)
	require.NotEqual(t, first.Access, second.Access)
	third, err := p.Refresh(t.Context(), second)
	require.NoError(t, err)
	require.NotEqual(t, second.Access, third.Access)

	third.Subject = "somebody-else"
	_, err = p.Refresh(t.Context(), third)
	refused(t, models.Unauthenticated, err)
	_, err = p.Refresh(t.Context(), auth.ProviderTokens{Refresh: "none"})
	refused(t, models.Unauthenticated, err)
	nothing, err := p.Refresh(t.Context(), auth.ProviderTokens{Subject: "x"})
	require.NoError(t, err)
	require.Equal(t, "x", nothing.Subject)
}

func disabled(t *testing.T, at idp) {
	p := provider(t, at.client())
	_, tokens, err := comeBack(t, p, newBrowser(t), uma).exchange(t.Context(), p)
	require.NoError(t, err)
	at.disable(t, uma)
	_, err = p.Refresh(t.Context(), tokens)
	refused(t, models.Unauthenticated, err)
	where, err := p.AuthURL(t.Context(), "s", "n", verifier, nil)
	require.NoError(t, err)
	require.Nil(t, newBrowser(t).signIn(t, where, uma))
}

func logsOut(t *testing.T, at idp) {
	p, b := provider(t, at.client()), newBrowser(t)
	_, tokens, err := comeBack(t, p, b, uma).exchange(t.Context(), p)
	require.NoError(t, err)
	where, err := p.EndSessionURL(t.Context(), tokens, frontend+"/login")
	require.NoError(t, err)
	back, _ := b.open(t, where)
	require.Equal(t, frontend+"/login", back)
	_, err = p.Refresh(t.Context(), tokens)
	refused(t, models.Unauthenticated, err) // the session is over there
	again, err := p.AuthURL(t.Context(), "s", "n", verifier, nil)
	require.NoError(t, err)
	back, page := b.open(t, again)
	require.Empty(t, back, "one has to sign in again")
	require.Regexp(t, formAction, page)
}

// Who is signed in there has to prove who he is again, when that is asked for.
func asksAgain(t *testing.T, at idp) {
	h, b := newHouse(t, at.client()), newBrowser(t)
	signIn := func(maxAge *time.Duration) time.Time {
		begun, err := h.flow.Begin(t.Context(), auth.Ask{MaxAge: maxAge}, from)
		require.NoError(t, err)
		if maxAge != nil {
			back, page := b.open(t, begun.URL)
			require.Empty(t, back)
			require.Regexp(t, formAction, page)
		}
		g, _, err := h.flow.Finish(t.Context(), b.signIn(t, begun.URL, uma), begun.Cookie.Value, from)
		require.NoError(t, err)
		p, err := h.who(t, g)
		require.NoError(t, err)
		return p.AuthTime
	}
	first := signIn(nil)
	require.WithinDuration(t, time.Now(), first, time.Minute)
	time.Sleep(1100 * time.Millisecond) // auth_time is in seconds
	require.True(t, signIn(new(time.Duration(0))).After(first))
}

// While a provider is down, what it said before is good enough to send people there; nobody is
// let in.
func down(t *testing.T, at idp) {
	w := &wire{}
	all := func(*http.Request) bool { return true }
	w.set(func(w *wire) { w.cut = all })
	p := provider(t, w.through(at.client()))
	_, err := p.AuthURL(t.Context(), "s", "n", verifier, nil)
	refused(t, models.Unavailable, err)

	w.set(func(w *wire) { w.cut = nil })
	a := comeBack(t, p, newBrowser(t), uma)
	discovered := w.called("openid-configuration")
	_, _, err = comeBack(t, p, newBrowser(t), uma).exchange(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, discovered, w.called("openid-configuration"), "it is read once a day")

	w.set(func(w *wire) { w.cut = all })
	later := time.Now().Add(25 * time.Hour)
	auth.SetClock(p, func() time.Time { return later })
	stale, err := p.AuthURL(t.Context(), "s", "n", verifier, nil)
	require.NoError(t, err)
	require.NotEmpty(t, stale)
	require.Equal(t, discovered+1, w.called("openid-configuration"))
	_, err = p.AuthURL(t.Context(), "s", "n", verifier, nil)
	require.NoError(t, err)
	require.Equal(t, discovered+1, w.called("openid-configuration"), "and not asked for by everybody meanwhile")
	_, _, err = a.exchange(t.Context(), p)
	refused(t, models.Unavailable, err)
	_, err = p.Refresh(t.Context(), auth.ProviderTokens{Refresh: "x"})
	refused(t, models.Unavailable, err)

	later = later.Add(2 * time.Minute)
	w.set(func(w *wire) { w.cut = nil })
	fresh, err := p.AuthURL(t.Context(), "s", "n", verifier, nil)
	require.NoError(t, err)
	require.Equal(t, stale, fresh)
	require.Equal(t, discovered+2, w.called("openid-configuration"))

	auth.SetClock(p, time.Now)
	w.set(func(w *wire) {
		w.cut = func(r *http.Request) bool {
			return strings.HasSuffix(r.URL.Path, "/keys") || strings.HasSuffix(r.URL.Path, "/certs")
		}
	})
	_, _, err = a.exchange(t.Context(), p)
	refused(t, models.Unavailable, err)
	require.ErrorContains(t, err, "keys cannot be read")
}

// After a rotation the provider's new key is good, and the old one is not, even for a token
// that was good before.
func rotated(t *testing.T, at idp) {
	w := &wire{}
	p := provider(t, w.through(at.client()))
	signIn := func() error {
		_, _, err := comeBack(t, p, newBrowser(t), uma).exchange(t.Context(), p)
		return err
	}
	require.NoError(t, signIn())
	old := w.answered()
	w.set(func(w *wire) { w.change = func(map[string]any) map[string]any { return old } })
	require.NoError(t, signIn(), "the old answer is good still")
	at.rotate(t)
	err := signIn()
	refused(t, models.Unauthenticated, err)
	require.ErrorContains(t, err, "signature")
	w.set(func(w *wire) { w.change = nil })
	require.NoError(t, signIn())
}

// What the browser is sent to the provider with.
func TestAuthURL(t *testing.T) {
	c := newCertified(t).client()
	c.Scopes = []string{"profile"}
	at, err := provider(t, c).AuthURL(t.Context(), "the state", "the nonce", verifier, new(time.Hour))
	require.NoError(t, err)
	u, err := url.Parse(at)
	require.NoError(t, err)
	q := u.Query()
	require.Len(t, q.Get("code_challenge"), 43)
	q.Del("code_challenge")
	require.Equal(t, url.Values{
		"client_id": {"litemaas"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid profile"},
		"state": {"the state"}, "nonce": {"the nonce"}, "code_challenge_method": {"S256"}, "max_age": {"3600"},
	}, q)
	require.NotContains(t, at, "secret")
}
