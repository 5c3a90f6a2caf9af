package auth_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// from is where the requests of these tests come from.
var from = models.Origin{IP: "192.0.2.7", UserAgent: "Mozilla/5.0", RequestID: "r-1"}

// house is one replica with all its parts.
type house struct {
	*memory
	flow       *auth.Flow
	provider   auth.Provider
	tokens     *auth.Tokens
	principals *auth.Principals
	auth       *auth.Authenticator
}

// houses are replicas of one database, at one provider.
func houses(t *testing.T, n int, c auth.Config) []house {
	t.Helper()
	m, sealer := newMemory(), newSealer(t)
	var out []house
	for range n {
		h := house{memory: m, provider: provider(t, c)}
		keys := auth.NewKeys(c, m, sealer)
		var err error
		h.tokens, err = auth.NewTokens(c, keys)
		require.NoError(t, err)
		h.principals = auth.NewPrincipals(m)
		h.auth = auth.NewAuthenticator(h.tokens, h.principals, []models.Secret{models.SecretOf("ltm_admin_1"), {}})
		h.flow, err = auth.NewFlow(c, h.provider, m, h.tokens, sealer)
		require.NoError(t, err)
		m.listen = append(m.listen, keys.Hear, h.principals.Hear)
		out = append(out, h)
	}
	m.tell(store.Notice{Kind: store.NoticeLost})
	m.tell(store.Notice{Kind: store.NoticeAlive, At: time.Now().Add(time.Hour)})
	return out
}

func newHouse(t *testing.T, c auth.Config) house {
	t.Helper()
	return houses(t, 1, c)[0]
}

// begin begins a sign-in in a browser, up to what the provider sends back.
func (h house) begin(t *testing.T, ask auth.Ask, user string) (url.Values, *http.Cookie) {
	t.Helper()
	begun, err := h.flow.Begin(t.Context(), ask, from)
	require.NoError(t, err)
	q := newBrowser(t).signIn(t, begun.URL, user)
	require.NotEmpty(t, q.Get("code"))
	return q, begun.Cookie
}

// signIn lets a user in.
func (h house) signIn(t *testing.T, user string, refresh bool) (auth.Grant, string) {
	t.Helper()
	q, cookie := h.begin(t, auth.Ask{Refresh: refresh}, user)
	g, to, err := h.flow.Finish(t.Context(), q, cookie.Value, from)
	require.NoError(t, err)
	return g, to
}

func (h house) who(t *testing.T, g auth.Grant) (models.Principal, error) {
	t.Helper()
	return h.auth.Principal(t.Context(), "Bearer "+g.Access.Reveal())
}

// A sign-in that begins at one replica may finish at another, and its token is good at both.
func TestSignIn(t *testing.T) {
	c := newCertified(t).client()
	c.InitialAdmins = []string{uma}
	both := houses(t, 2, c)
	a, b := both[0], both[1]
	begun, err := a.flow.Begin(t.Context(), auth.Ask{Page: frontend + "/login?x=1"}, from)
	require.NoError(t, err)
	require.Equal(t, a.flow.CookieName(), begun.Cookie.Name)
	require.Equal(t, "litemaas-login", begun.Cookie.Name)
	require.True(t, begun.Cookie.HttpOnly)
	require.Equal(t, http.SameSiteLaxMode, begun.Cookie.SameSite)
	require.Equal(t, 300, begun.Cookie.MaxAge)
	g, to, err := b.flow.Finish(t.Context(), newBrowser(t).signIn(t, begun.URL, uma), begun.Cookie.Value, from)
	require.NoError(t, err)

	page, fragment, _ := strings.Cut(to, "#")
	require.Equal(t, frontend+"/auth/callback", page)
	q, err := url.ParseQuery(fragment)
	require.NoError(t, err)
	require.Equal(t, url.Values{"token": {g.Access.Reveal()}, "expires_in": {"86400"}}, q)
	for _, h := range both {
		p, err := h.who(t, g)
		require.NoError(t, err)
		require.Equal(t, uma, p.Username)
		require.Equal(t, g.Principal.UserID, p.UserID)
		require.Equal(t, []string{models.RoleUser, models.RoleAdmin}, p.Roles)
		require.True(t, p.May("users:write"))
		require.WithinDuration(t, time.Now(), p.AuthTime, time.Minute)
	}
	s := a.sessions[g.Principal.SessionID]
	require.Equal(t, from.UserAgent, s.UserAgent)
	require.WithinDuration(t, time.Now().Add(24*time.Hour), s.ExpiresAt, time.Minute)
	require.NotContains(t, string(s.ProviderTokens), "eyJ", "the provider's tokens are sealed")
	require.Empty(t, a.refusals())
}

// What a browser must not come back with.
func TestFinishRefuses(t *testing.T) {
	h := newHouse(t, newCertified(t).client())
	another, err := h.flow.Begin(t.Context(), auth.Ask{}, from)
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		change func(q url.Values, cookie *http.Cookie)
		kind   models.Kind
	}{
		"another state":    {func(q url.Values, _ *http.Cookie) { q.Set("state", "x") }, models.Unauthenticated},
		"no state":         {func(q url.Values, _ *http.Cookie) { q.Del("state") }, models.Unauthenticated},
		"no code":          {func(q url.Values, _ *http.Cookie) { q.Del("code") }, models.Unauthenticated},
		"another code":     {func(q url.Values, _ *http.Cookie) { q.Set("code", "x") }, models.Unauthenticated},
		"a refusal":        {func(q url.Values, _ *http.Cookie) { q.Set("error", "access_denied") }, models.Unauthenticated},
		"another browser":  {func(_ url.Values, c *http.Cookie) { c.Value = another.Cookie.Value }, models.Unauthenticated},
		"no cookie":        {func(_ url.Values, c *http.Cookie) { c.Value = "" }, models.Unauthenticated},
		"a bigger promise": {func(q url.Values, _ *http.Cookie) { q.Set("state", "r."+q.Get("state")) }, models.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			q, cookie := h.begin(t, auth.Ask{}, uma)
			state, code, value := q.Get("state"), q.Get("code"), cookie.Value
			tc.change(q, cookie)
			_, _, err := h.flow.Finish(t.Context(), q, cookie.Value, from)
			refused(t, tc.kind, err)
			require.Equal(t, []string{err.Error()}, h.refusals())
			require.Equal(t, frontend+"/login?error=auth_failed&reason=unauthenticated", h.flow.Failed(err))
			if q.Get("state") == state {
				_, _, err = h.flow.Finish(t.Context(), url.Values{"state": {state}, "code": {code}}, value, from)
				refused(t, models.Unauthenticated, err) // there is no second try
				h.refusals()
			}
		})
	}
	t.Run("a replay", func(t *testing.T) {
		q, cookie := h.begin(t, auth.Ask{}, uma)
		_, _, err := h.flow.Finish(t.Context(), q, cookie.Value, from)
		require.NoError(t, err)
		_, _, err = h.flow.Finish(t.Context(), q, cookie.Value, from)
		refused(t, models.Unauthenticated, err)
		require.Len(t, h.refusals(), 1)
	})
	t.Run("too late", func(t *testing.T) {
		q, cookie := h.begin(t, auth.Ask{}, uma)
		h.now = func() time.Time { return time.Now().Add(5*time.Minute + time.Second) }
		defer func() { h.now = time.Now }()
		_, _, err := h.flow.Finish(t.Context(), q, cookie.Value, from)
		refused(t, models.Unauthenticated, err)
		require.Len(t, h.refusals(), 1)
	})
	t.Run("a user who is not active", func(t *testing.T) {
		g, _ := h.signIn(t, uma, false)
		h.change(g.Principal.UserID, func(u *models.User) { u.Holds = []models.Hold{models.HoldAdmin} })
		q, cookie := h.begin(t, auth.Ask{}, uma)
		_, _, err := h.flow.Finish(t.Context(), q, cookie.Value, from)
		refused(t, models.Forbidden, err)
		_, err = h.who(t, g)
		refused(t, models.Unauthenticated, err)
	})
}

// Two sign-ins may be under way in one browser, and one in each of two.
func TestTwoTabs(t *testing.T) {
	h := newHouse(t, newCertified(t).client())
	q1, cookie := h.begin(t, auth.Ask{}, uma)
	q2, again := h.begin(t, auth.Ask{Cookie: cookie.Value}, uma)
	require.Equal(t, cookie.Value, again.Value)
	_, other := h.begin(t, auth.Ask{Cookie: "short"}, ada)
	require.NotEqual(t, cookie.Value, other.Value)
	require.Len(t, other.Value, 43)
	for _, q := range []url.Values{q1, q2} {
		_, _, err := h.flow.Finish(t.Context(), q, cookie.Value, from)
		require.NoError(t, err)
	}
}

// A sign-in ends at the web UI, or at another one in the list; never elsewhere.
func TestRedirects(t *testing.T) {
	c := newCertified(t).client()
	c.FrontendURL = "https://ui.example.com/maas/"
	c.CORSOrigins = []string{"http://localhost:3000", "https://other.example.com:443", "*", "null"}
	c.CallbackURL = "https://ui.example.com/api/auth/callback"
	h := newHouse(t, c)
	for page, want := range map[string]string{
		"":                                 "https://ui.example.com/maas/auth/callback",
		"https://ui.example.com":           "https://ui.example.com/maas/auth/callback",
		"https://UI.example.com:443/x?y=z": "https://ui.example.com/maas/auth/callback",
		"http://localhost:3000":            "http://localhost:3000/auth/callback",
		"https://other.example.com/open?to=//evil": "https://other.example.com:443/auth/callback",
	} {
		begun, err := h.flow.Begin(t.Context(), auth.Ask{Page: page}, from)
		require.NoError(t, err, page)
		require.True(t, begun.Cookie.Secure)
		require.Equal(t, "__Host-litemaas-login", begun.Cookie.Name)
		for _, l := range h.logins {
			require.Equal(t, want, l.Redirect)
		}
		clear(h.logins)
	}
	for _, page := range []string{
		"https://evil.example.com", "http://ui.example.com", "https://ui.example.com:444", "https://ui.example.com.evil.com",
		"https://ui.example.com@evil.com", "https://user@ui.example.com", "//ui.example.com", "null", "*", "javascript:alert(1)",
		"https://evil.com\\@ui.example.com", "http://localhost:3001", "ui.example.com", "https://other.example.com:8443",
	} {
		_, err := h.flow.Begin(t.Context(), auth.Ask{Page: page}, from)
		refused(t, models.Forbidden, err)
		require.Len(t, h.refusals(), 1, page)
	}
	require.Empty(t, h.logins)
	c.FrontendURL = "localhost"
	_, err := auth.NewFlow(c, h.provider, h, h.tokens, nil)
	refused(t, models.Invalid, err)
}

// Somebody's sign-in at the provider may be as old as the provider likes, unless less is asked
// for: then it has to say, and to be right. Our tokens say what it says.
func TestMaxAge(t *testing.T) {
	at, w := newCertified(t), &wire{}
	hour := new(time.Hour)
	ago := func(d time.Duration) jwt.MapClaims { return jwt.MapClaims{"auth_time": time.Now().Add(-d).Unix()} }
	for name, tc := range map[string]struct {
		configured time.Duration
		asked      *time.Duration
		says       jwt.MapClaims
		why        string // empty: he is let in
	}{
		"any":                            {0, nil, ago(48 * time.Hour), ""},
		"any, and it does not say":       {0, nil, jwt.MapClaims{"auth_time": nil}, ""},
		"as configured":                  {time.Hour, nil, ago(50 * time.Minute), ""},
		"too old for the configuration":  {time.Hour, nil, ago(62 * time.Minute), "too old"},
		"as asked for":                   {0, hour, ago(50 * time.Minute), ""},
		"too old for what is asked for":  {0, hour, ago(62 * time.Minute), "too old"},
		"less than configured":           {24 * time.Hour, hour, ago(62 * time.Minute), "too old"},
		"no more than configured":        {time.Hour, new(24 * time.Hour), ago(62 * time.Minute), "too old"},
		"just now":                       {0, new(time.Duration(0)), nil, ""},
		"just now, and it was not asked": {0, new(time.Duration(0)), ago(2 * time.Minute), "too old"},
		"just now, and it does not say":  {0, new(time.Duration(0)), jwt.MapClaims{"auth_time": nil}, "does not say"},
	} {
		t.Run(name, func(t *testing.T) {
			c := w.through(at.client())
			c.MaxAge = tc.configured
			h := newHouse(t, c)
			w.set(func(w *wire) { w.change = at.saying(t, tc.says) })
			q, cookie := h.begin(t, auth.Ask{MaxAge: tc.asked}, uma)
			g, _, err := h.flow.Finish(t.Context(), q, cookie.Value, from)
			if tc.why != "" {
				refused(t, models.Unauthenticated, err)
				require.ErrorContains(t, err, tc.why)
				require.Equal(t, []string{err.Error()}, h.refusals())
				require.Empty(t, h.sessions)
				return
			}
			require.NoError(t, err)
			want := time.Now()
			if said, ok := tc.says["auth_time"].(int64); ok {
				want = time.Unix(said, 0)
			}
			claims := jwt.MapClaims{}
			_, _, err = jwt.NewParser().ParseUnverified(g.Access.Reveal(), claims)
			require.NoError(t, err)
			require.InDelta(t, want.Unix(), claims["auth_time"], 10)
			p, err := h.who(t, g)
			require.NoError(t, err)
			require.WithinDuration(t, want, p.AuthTime, 10*time.Second)
		})
	}
}

// A sign-in that takes its time at the provider is as fresh as when it began.
func TestMaxAgeOfASlowSignIn(t *testing.T) {
	h := newHouse(t, newCertified(t).client())
	auth.SetClock(h.flow, func() time.Time { return time.Now().Add(-4 * time.Minute) })
	q, cookie := h.begin(t, auth.Ask{MaxAge: new(time.Duration(0))}, uma)
	auth.SetClock(h.flow, time.Now)
	_, _, err := h.flow.Finish(t.Context(), q, cookie.Value, from)
	require.NoError(t, err)
}

// While the database is down, nobody is let in, and nobody is told that it is his fault.
func TestFlowWithoutDatabase(t *testing.T) {
	h := newHouse(t, newCertified(t).client())
	g, _ := h.signIn(t, uma, true)
	q, cookie := h.begin(t, auth.Ask{}, uma)
	h.down = models.Errorf(models.Unavailable, "down")
	_, err := h.flow.Begin(t.Context(), auth.Ask{}, from)
	refused(t, models.Unavailable, err)
	_, _, err = h.flow.Finish(t.Context(), q, cookie.Value, from)
	refused(t, models.Unavailable, err)
	_, err = h.flow.Refresh(t.Context(), g.Refresh.Reveal(), from)
	refused(t, models.Unavailable, err)
	_, err = h.flow.Logout(t.Context(), g.Principal, from)
	refused(t, models.Unavailable, err)
	require.Empty(t, h.refusals())
}
