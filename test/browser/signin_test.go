//go:build browser

// Package browser signs in as people do: with a Chromium, at a real Keycloak, in a web UI that
// calls us as LiteMaaS's does. The built program runs as two replicas behind one address. Run
// it by `make browser`.
package browser_test

import (
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// What the web UI in testdata is made of.
const (
	signInButton  chromedp.CSS = "#login"
	reloadButton  chromedp.CSS = "#reload"
	signOutButton chromedp.CSS = "#logout"
	nameShown     chromedp.CSS = "#name"
	rolesShown    chromedp.CSS = "#roles"
	errorShown    chromedp.CSS = "#error"
)

// Everybody signs in at the identity provider, going off from one replica and coming back to
// the other, is what his groups say, and signs out at both: here and there.
func TestSignInAndOut(t *testing.T) {
	s := start(t)
	for _, who := range []struct {
		user, name, roles string
		listsUsers        int // the status
	}{
		{"admin@example.com", "Ada Admin", "admin user", http.StatusOK},
		{"user@example.com", "Uma User", "user", http.StatusForbidden},
		{"readonly@example.com", "Rea Reader", "admin-readonly user", http.StatusOK},
	} {
		t.Run(who.user, func(t *testing.T) {
			w := open(t)
			w.do(t, chromedp.Navigate(s.url), chromedp.WaitVisible(signInButton))
			w.shot(t, "1-signed-out")
			w.do(t, chromedp.Click(signInButton), chromedp.WaitVisible(userField))
			s.requireAsksRightly(t, w)
			w.shot(t, "2-keycloak")
			w.enter(t, who.user)
			w.do(t, chromedp.WaitVisible(nameShown))
			w.shot(t, "3-signed-in-as-"+password(who.user))

			for path, want := range map[string]int{"/api/auth/login": 0, "/api/auth/callback": 1} {
				replica, _ := s.last(path)
				require.Equal(t, want, replica, path)
			}
			require.Equal(t, s.url+"/", ask(t, w, chromedp.Location()), "no token is left in the address")
			require.Equal(t, who.name, w.text(t, nameShown))
			require.Equal(t, who.roles, w.text(t, rolesShown))
			expires, err := strconv.ParseInt(w.stored(t, "token_expires_at"), 10, 64)
			require.NoError(t, err)
			require.WithinDuration(t, time.Now().Add(24*time.Hour), time.UnixMilli(expires), time.Minute, "the web UI never refreshes")

			token := w.stored(t, "access_token")
			for _, replica := range s.replicas {
				require.Equal(t, http.StatusOK, s.status(t, replica, "/api/v1/auth/me", token))
				require.Equal(t, who.listsUsers, s.status(t, replica, "/api/v1/users", token))
			}
			w.do(t, chromedp.Click(signOutButton), chromedp.WaitVisible(signInButton))
			w.shot(t, "4-signed-out-again")
			require.Empty(t, w.stored(t, "access_token"))
			s.requireRefused(t, token)
			w.do(t, chromedp.Click(signInButton), chromedp.WaitVisible(passwordField)) // it would let us through, else
		})
	}
	require.Equal(t, 3, s.count(t, "SELECT count(*) FROM audit WHERE action = 'LOGIN'"))
	require.Equal(t, 3, s.count(t, "SELECT count(*) FROM audit WHERE action = 'LOGOUT'"))
	require.Equal(t, 2, s.count(t, "SELECT count(*) FROM audit WHERE action = 'AUTH_DENIED'"), "user@example.com at both replicas")
	require.Eventually(t, func() bool {
		return s.count(t, "SELECT count(*) FROM users WHERE observed_generation < generation") == 0
	}, patience, 50*time.Millisecond, "LiteLLM has the three of them")
	verify := exec.Command(binary, "audit", "verify")
	verify.Env, verify.Dir = s.settings, t.TempDir()
	out, err := verify.CombinedOutput()
	require.NoError(t, err, string(out))
	t.Logf("%s", out)
}

// requireAsksRightly requires that a browser was sent to Keycloak with all that keeps a sign-in
// from being somebody else's.
func (s *system) requireAsksRightly(t *testing.T, w *window) {
	t.Helper()
	at, err := url.Parse(ask(t, w, chromedp.Location()))
	require.NoError(t, err)
	q := at.Query()
	require.True(t, strings.HasPrefix(at.String(), variable(t, "OIDC_ISSUER")), at)
	require.Equal(t, "code", q.Get("response_type"))
	require.Equal(t, "S256", q.Get("code_challenge_method"))
	require.Equal(t, s.url+"/api/auth/callback", q.Get("redirect_uri"))
	for _, random := range []string{"state", "nonce", "code_challenge"} {
		require.GreaterOrEqual(t, len(q.Get(random)), 26, random)
	}
}

// enter fills in Keycloak's form.
func (w *window) enter(t *testing.T, user string) {
	t.Helper()
	w.do(t, chromedp.SendKeys(userField, user), chromedp.SendKeys(passwordField, password(user)), chromedp.Click(submitButton))
}

// signIn signs in from a page of the web UI.
func (w *window) signIn(t *testing.T, page, user string) {
	t.Helper()
	w.do(t, chromedp.Navigate(page), chromedp.Click(signInButton), chromedp.WaitVisible(userField))
	w.enter(t, user)
	w.do(t, chromedp.WaitVisible(nameShown))
}

// A browser that comes back twice with the same answer of the identity provider is let in once.
func TestReplay(t *testing.T) {
	s, w := start(t), open(t)
	w.signIn(t, s.url+"/login", "user@example.com")
	_, callback := s.last("/api/auth/callback")
	w.do(t, chromedp.Navigate(s.url+callback), chromedp.WaitVisible(errorShown))
	w.shot(t, "5-replayed")
	require.Equal(t, "Sign-in failed. Please try again.", w.text(t, errorShown))
	require.Contains(t, ask(t, w, chromedp.Location()), "/login?error=auth_failed&reason=unauthenticated")
	require.Equal(t, 1, s.count(t, "SELECT count(*) FROM sessions"))
	require.Equal(t, 1, s.count(t, "SELECT count(*) FROM audit WHERE action = 'AUTH_FAILED'"))
}

// A refresh token that is used when something has come of it ends its session, in the browser
// too. Before that, it is an answer that was lost.
func TestCopiedRefreshToken(t *testing.T) {
	s, w := start(t), open(t)
	w.signIn(t, s.url+"/login?refresh", "user@example.com")
	first, token := w.stored(t, "refresh_token"), w.stored(t, "access_token")
	status, lost := s.refresh(t, first)
	require.Equal(t, http.StatusOK, status)
	status, second := s.refresh(t, first)
	require.Equal(t, http.StatusOK, status, "the answer was lost")
	require.NotEqual(t, lost, second)
	status, third := s.refresh(t, second)
	require.Equal(t, http.StatusOK, status)
	status, _ = s.refresh(t, first)
	require.Equal(t, http.StatusUnauthorized, status)
	status, _ = s.refresh(t, third)
	require.Equal(t, http.StatusUnauthorized, status, "the family is dead")
	s.requireRefused(t, token)
	w.do(t, chromedp.Click(reloadButton), chromedp.WaitVisible(errorShown))
	w.shot(t, "6-revoked")
	require.Equal(t, "Your session has expired. Please sign in again.", w.text(t, errorShown))
}

// requireRefused requires that no replica lets a token in that another has just ended.
func (s *system) requireRefused(t *testing.T, token string) {
	t.Helper()
	for _, replica := range s.replicas {
		require.Eventually(t, func() bool {
			return s.status(t, replica, "/api/v1/auth/me", token) == http.StatusUnauthorized
		}, time.Second, 10*time.Millisecond)
	}
}

// Whom the identity provider disables goes on no longer than his access token is good, and
// comes in no more.
func TestDisabledAtTheProvider(t *testing.T) {
	s, w := start(t), open(t)
	const user = "user@example.com"
	w.signIn(t, s.url+"/login?refresh", user)
	status, next := s.refresh(t, w.stored(t, "refresh_token"))
	require.Equal(t, http.StatusOK, status)

	disable(t, user)
	status, _ = s.refresh(t, next)
	require.Equal(t, http.StatusUnauthorized, status)
	w.do(t, chromedp.Reload(), chromedp.Click(signInButton), chromedp.WaitVisible(userField))
	w.enter(t, user)
	w.do(t, chromedp.WaitVisible(complaint))
	w.shot(t, "7-disabled-at-keycloak")
	require.Contains(t, w.text(t, complaint), "disabled")
}
