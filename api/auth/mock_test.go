package auth_test

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
)

func mocked() auth.Config {
	return auth.Config{Provider: auth.ProviderMock, Development: true, CallbackURL: callback, FrontendURL: frontend}
}

// One picks on the mock's page who one is.
func TestMock(t *testing.T) {
	h := newHouse(t, mocked())
	mock, ok := h.provider.(*auth.Mock)
	require.True(t, ok)
	begun, err := h.flow.Begin(t.Context(), auth.Ask{}, from)
	require.NoError(t, err)
	require.Regexp(t, `^http://localhost:9999/api/auth/mock-login\?state=`, begun.URL)

	page := httptest.NewRecorder()
	mock.ServeHTTP(page, httptest.NewRequest(http.MethodGet, begun.URL, nil))
	links := regexp.MustCompile(`href="([^"]+)">([^<]+)<`).FindAllStringSubmatch(page.Body.String(), -1)
	require.Len(t, links, 3)
	require.Equal(t, []string{ada, uma, rea}, []string{links[0][2], links[1][2], links[2][2]})
	back, err := url.Parse(html.UnescapeString(links[2][1]))
	require.NoError(t, err)
	g, _, err := h.flow.Finish(t.Context(), back.Query(), begun.Cookie.Value, from)
	require.NoError(t, err)
	require.Equal(t, rea, g.Principal.Username)
	require.Equal(t, []string{models.RoleAdminReadonly, models.RoleUser}, g.Principal.Roles)
	where, err := h.flow.Logout(t.Context(), g.Principal, from)
	require.NoError(t, err)
	require.Empty(t, where)

	picked := httptest.NewRecorder()
	mock.ServeHTTP(picked, httptest.NewRequest(http.MethodGet, begun.URL+"&user=1", nil))
	require.Regexp(t, `^`+regexp.QuoteMeta(callback)+`\?code=1&state=`, picked.Header().Get("Location"))
	for _, code := range []string{"-1", "3", "x", ""} {
		_, _, err := mock.Exchange(t.Context(), code, "", "")
		refused(t, models.Unauthenticated, err)
	}
	evil := httptest.NewRecorder()
	mock.ServeHTTP(evil, httptest.NewRequest(http.MethodGet, "/?state="+url.QueryEscape(`"><script>alert(1)</script>`), nil))
	require.NotContains(t, evil.Body.String(), "<script>")
}

// For development one gets a token by name; one session serves all that ask.
func TestDevToken(t *testing.T) {
	h := newHouse(t, mocked())
	g, err := h.flow.DevToken(t.Context(), "developer", []string{models.RoleReadonly}, from)
	require.NoError(t, err)
	p, err := h.who(t, g)
	require.NoError(t, err)
	require.Equal(t, "developer", p.Username)
	require.Empty(t, p.Email)
	require.Equal(t, []string{models.RoleReadonly}, p.Roles)

	again, err := h.flow.DevToken(t.Context(), "developer", []string{models.RoleAdmin}, from)
	require.NoError(t, err)
	require.Equal(t, p.SessionID, again.Principal.SessionID)
	require.Equal(t, p.Roles, again.Principal.Roles, "he is there already")
	require.LessOrEqual(t, again.Lifetime, 24*time.Hour)
	require.Len(t, h.sessions, 1)

	require.NoError(t, h.RevokeSession(t.Context(), p.UserID, p.SessionID, models.SessionRevoked, models.Actor{}))
	next, err := h.flow.DevToken(t.Context(), "developer", nil, from)
	require.NoError(t, err)
	require.NotEqual(t, p.SessionID, next.Principal.SessionID)

	_, err = h.flow.DevToken(t.Context(), "another", []string{"root"}, from)
	refused(t, models.Invalid, err)

	other := newHouse(t, newCertified(t).client())
	_, err = other.flow.DevToken(t.Context(), "developer", nil, from)
	refused(t, models.NotFound, err)
}

// A provider that cannot work is refused at the start, with the setting to blame.
func TestProviderConfig(t *testing.T) {
	good := auth.Config{Provider: "oidc", Issuer: "https://sso.example.com", ClientID: "litemaas", CallbackURL: callback}
	for name, tc := range map[string]struct {
		change func(c *auth.Config)
		field  string
	}{
		"no provider":                  {func(c *auth.Config) { c.Provider = "" }, "provider"},
		"an unknown one":               {func(c *auth.Config) { c.Provider = "ldap" }, "provider"},
		"the mock in production":       {func(c *auth.Config) { c.Provider = "mock" }, "provider"},
		"no issuer":                    {func(c *auth.Config) { c.Issuer = "" }, "issuer"},
		"an issuer that is no address": {func(c *auth.Config) { c.Issuer = "sso.example.com" }, "issuer"},
		"an issuer with a login":       {func(c *auth.Config) { c.Issuer = "https://a:hush@sso.example.com" }, "issuer"},
		"no client":                    {func(c *auth.Config) { c.ClientID = "" }, "client_id"},
		"no callback":                  {func(c *auth.Config) { c.CallbackURL = "/api/auth/callback" }, "callback_url"},
		"an OpenShift of another name": {func(c *auth.Config) { c.Provider = "openshift" }, "openshift_api"},
		"an OpenShift that is to ask":  {func(c *auth.Config) { c.Provider, c.MaxAge = "openshift", time.Hour }, "max_age"},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			tc.change(&c)
			_, err := auth.NewProvider(c)
			refused(t, models.Invalid, err)
			var e *models.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tc.field, e.Field)
			require.NotContains(t, err.Error(), "hush")
		})
	}
	provider(t, good)
}
