package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// begin begins a sign-in, and returns the state and the cookie that it has to come back with.
func (s system) begin(t *testing.T, body string) (state, cookie string) {
	t.Helper()
	rep := s.call(t, http.MethodPost, "/api/auth/login", body, "Authorization", "", "Origin", "http://localhost:3000").is(http.StatusOK)
	at, err := url.Parse(rep.at("authUrl").(string))
	require.NoError(t, err)
	require.Equal(t, "http://localhost:8081/api/auth/mock-login", at.Scheme+"://"+at.Host+at.Path)
	set := rep.Header().Get("Set-Cookie")
	require.Regexp(t, `^litemaas-login=[\w-]{43}; Path=/; Max-Age=300; HttpOnly; SameSite=Lax$`, set)
	cookie, _, _ = strings.Cut(set, ";")
	return at.Query().Get("state"), cookie
}

// comeBack comes back from the identity provider, and returns where the browser is sent.
func (s system) comeBack(t *testing.T, query, cookie string) *url.URL {
	t.Helper()
	rep := s.call(t, http.MethodGet, "/api/auth/callback?"+query, "", "Authorization", "", "Cookie", cookie, "User-Agent", "Firefox").is(http.StatusFound)
	at, err := url.Parse(rep.Header().Get("Location"))
	require.NoError(t, err)
	return at
}

// entries is the audit log, the newest first.
func (s system) entries(t *testing.T, q store.AuditQuery) []models.AuditEntry {
	t.Helper()
	q.Page, q.Limit = 1, 100
	entries, _, err := s.Store.AuditLog(t.Context(), q)
	require.NoError(t, err)
	return entries
}

// A browser signs in: it begins at one replica and ends at another, and gets a token behind the
// #, which says who it is. LiteLLM and Temporal are away, and it does not matter.
func TestSignIn(t *testing.T) {
	db, temporal := storetest.New(t), &away{}
	s, other := serve(db, temporal, &away{}), serve(db, temporal, &away{})
	state, cookie := s.begin(t, "{}")

	page := s.call(t, http.MethodGet, "/api/auth/mock-login?state="+state, "", "Authorization", "").is(http.StatusOK)
	require.Contains(t, page.Header().Get("Content-Type"), "text/html")
	require.Contains(t, page.Body.String(), "code=1&amp;state="+state)
	require.Contains(t, page.Body.String(), "user@example.com")

	to := other.comeBack(t, "code=1&state="+state, cookie)
	require.Equal(t, "http://localhost:3000/auth/callback", to.Scheme+"://"+to.Host+to.Path)
	given, err := url.ParseQuery(to.Fragment)
	require.NoError(t, err)
	require.Equal(t, "86400", given.Get("expires_in"))
	require.Empty(t, given.Get("refresh_token"))
	ada := s.user(t, "user@example.com")
	require.Equal(t, []string{"user/" + ada.ID.String()}, temporal.started)

	me := s.by(t, "Bearer "+given.Get("token"), http.MethodGet, "/api/v1/auth/me", "").is(http.StatusOK)
	require.Equal(t, map[string]any{
		"id": ada.ID.String(), "username": "user@example.com", "email": "user@example.com", "name": "user", "roles": []any{"user"},
	}, me.body())
	login := s.entries(t, store.AuditQuery{Action: models.AuditLogin})
	require.Len(t, login, 1)
	require.Equal(t, ada.ID.String(), login[0].Actor)
	require.Equal(t, "192.0.2.1", login[0].IP)
	require.Equal(t, "Firefox", login[0].UserAgent)
	require.NotEmpty(t, login[0].RequestID)

	require.Equal(t, "unauthenticated", s.comeBack(t, "code=1&state="+state, cookie).Query().Get("reason"), "a state is good once")
	failed := s.entries(t, store.AuditQuery{Action: models.AuditFailed})
	require.Len(t, failed, 1)
	require.Contains(t, failed[0].Failure, "never begun, or is over already")
}

// Who cannot sign in is sent to the web UI's page for that, and the audit log says why.
func TestSignInFails(t *testing.T) {
	s := idle(t)
	for name, come := range map[string]func() *url.URL{
		"without anything": func() *url.URL { return s.comeBack(t, "", "") },
		"with a state that nobody made": func() *url.URL {
			_, cookie := s.begin(t, "")
			return s.comeBack(t, "code=0&state=abc", cookie)
		},
		"in another browser": func() *url.URL {
			state, _ := s.begin(t, "")
			_, cookie := s.begin(t, "")
			return s.comeBack(t, "code=0&state="+state, cookie)
		},
		"without the cookie": func() *url.URL {
			state, _ := s.begin(t, "")
			return s.comeBack(t, "code=0&state="+state, "")
		},
		"refused by the provider": func() *url.URL {
			state, cookie := s.begin(t, "")
			return s.comeBack(t, "error=access_denied&state="+state, cookie)
		},
		"as nobody": func() *url.URL {
			state, cookie := s.begin(t, "")
			return s.comeBack(t, "code=9&state="+state, cookie)
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(s.entries(t, store.AuditQuery{Action: models.AuditFailed}))
			to := come()
			require.Equal(t, "http://localhost:8081/login", to.Scheme+"://"+to.Host+to.Path)
			require.Equal(t, url.Values{"error": {"auth_failed"}, "reason": {"unauthenticated"}}, to.Query())
			require.Empty(t, to.Fragment)
			failed := s.entries(t, store.AuditQuery{Action: models.AuditFailed})
			require.Len(t, failed, before+1)
			require.NotEmpty(t, failed[0].Failure)
			require.Equal(t, "anonymous", failed[0].Actor)
		})
	}
	t.Run("from another site", func(t *testing.T) {
		s.call(t, http.MethodPost, "/api/auth/login", "", "Authorization", "", "Origin", "https://evil.example.com").problem(http.StatusForbidden, "FORBIDDEN")
		failed := s.entries(t, store.AuditQuery{Action: models.AuditFailed})
		require.Contains(t, string(failed[0].Detail), "evil.example.com")
	})
	t.Run("deactivated", func(t *testing.T) {
		s.as(t, "user@example.com", user)
		_, err := s.Store.DeactivateUser(t.Context(), s.user(t, "user@example.com").ID, models.HoldAdmin, "", models.System("test"))
		require.NoError(t, err)
		state, cookie := s.begin(t, "")
		require.Equal(t, "forbidden", s.comeBack(t, "code=1&state="+state, cookie).Query().Get("reason"))
	})
	t.Run("with no JSON", func(t *testing.T) {
		s.call(t, http.MethodPost, "/api/auth/login", `{"refresh": "yes"}`).problem(http.StatusBadRequest, "VALIDATION_ERROR")
	})
}

// Who is about to do what matters may be asked to prove again who he is.
func TestSignInAnew(t *testing.T) {
	db := storetest.New(t)
	s := serve(db, &away{}, &away{})
	state, cookie := s.begin(t, `{"maxAge": 0}`)
	to := s.comeBack(t, "code=1&state="+state, cookie)
	require.NotEmpty(t, to.Fragment)
	for _, wrong := range []string{"-1", "31536001", `"now"`, "1.5"} {
		rep := s.call(t, http.MethodPost, "/api/auth/login", `{"maxAge": `+wrong+`}`)
		require.Equal(t, "maxAge", rep.problem(http.StatusBadRequest, "VALIDATION_ERROR"), wrong)
	}

	people, err := api.NewAuth(auth.Config{
		Provider: auth.ProviderOpenShift, Issuer: "https://oauth-openshift.apps.lab.example.com", ClientID: "litemaas",
		CallbackURL: "https://maas.example.com/api/auth/callback", FrontendURL: "https://maas.example.com",
	}, nil, db, sealer{})
	require.NoError(t, err)
	srv := &api.Server{Store: db, Auth: people}
	openShift := system{srv, srv.Handler()}
	openShift.by(t, "", http.MethodPost, "/api/auth/login", `{}`).is(http.StatusOK)
	rep := openShift.by(t, "", http.MethodPost, "/api/auth/login", `{"maxAge": 0}`)
	require.Equal(t, "maxAge", rep.problem(http.StatusBadRequest, "VALIDATION_ERROR"))
}

// Signing out ends the session at once; the token is worth nothing from then on.
func TestLogout(t *testing.T) { testLogout(t, idle(t)) }

func testLogout(t *testing.T, s system) {
	t.Helper()
	ada := s.as(t, "ada", user)
	rep := s.by(t, ada, http.MethodPost, "/api/auth/logout", "{}").is(http.StatusOK)
	require.Equal(t, map[string]any{"message": "Logged out successfully", "logoutUrl": nil}, rep.body())
	s.by(t, ada, http.MethodGet, "/api/v1/auth/me", "").problem(http.StatusUnauthorized, "UNAUTHORIZED")
	s.by(t, ada, http.MethodPost, "/api/auth/logout", "{}").problem(http.StatusUnauthorized, "UNAUTHORIZED")
	out := s.entries(t, store.AuditQuery{Action: models.AuditLogout})
	require.Len(t, out, 1)
	require.Equal(t, s.user(t, "ada").ID.String(), out[0].Actor)
	require.Equal(t, out[0].ResourceID, *out[0].SessionID)
	s.call(t, http.MethodPost, "/api/auth/logout", "").is(http.StatusOK) // an admin key has nothing to end
}

// Who asks for it gets a refresh token: good once, or again at once when the answer was lost. To
// use it when something came of it ends the session.
func TestRefresh(t *testing.T) { testRefresh(t, idle(t)) }

func testRefresh(t *testing.T, s system) {
	t.Helper()
	state, cookie := s.begin(t, `{"refresh": true}`)
	given, err := url.ParseQuery(s.comeBack(t, "code=1&state="+state, cookie).Fragment)
	require.NoError(t, err)
	require.Equal(t, "900", given.Get("expires_in"))
	first := given.Get("refresh_token")
	works := func(token any, status int) {
		t.Helper()
		s.by(t, "Bearer "+token.(string), http.MethodGet, "/api/v1/auth/me", "").is(status)
	}

	second := s.by(t, "", http.MethodPost, "/api/auth/refresh", `{"refreshToken": "`+first+`", "sessionId": "x"}`).is(http.StatusOK)
	require.EqualValues(t, 900, second.at("expiresIn"))
	works(second.at("accessToken"), http.StatusOK)
	again := s.by(t, "", http.MethodPost, "/api/auth/refresh", `{"refreshToken": "`+first+`"}`).is(http.StatusOK)
	works(again.at("accessToken"), http.StatusOK)
	third := s.by(t, "", http.MethodPost, "/api/v1/auth/refresh", `{"refresh_token": "`+again.at("refreshToken").(string)+`"}`).is(http.StatusOK)
	for path, want := range map[string]any{"token_type": "Bearer", "expires_in": 900.0, "user.username": "user@example.com", "user.roles": []any{"user"}} {
		require.Equal(t, want, third.at(path), path)
	}
	works(third.at("access_token"), http.StatusOK)

	for _, used := range []string{first, first, second.at("refreshToken").(string), third.at("refresh_token").(string), "nope"} {
		s.by(t, "", http.MethodPost, "/api/auth/refresh", `{"refreshToken": "`+used+`"}`).problem(http.StatusUnauthorized, "UNAUTHORIZED")
	}
	require.Len(t, s.entries(t, store.AuditQuery{Action: models.AuditFailed}), 5)
	require.Len(t, s.entries(t, store.AuditQuery{Action: models.AuditSessionRevoke}), 1)
	for _, token := range []any{given.Get("token"), second.at("accessToken"), again.at("accessToken"), third.at("access_token")} {
		works(token, http.StatusUnauthorized)
	}
	require.Equal(t, "refresh_token", s.by(t, "", http.MethodPost, "/api/v1/auth/refresh", `{}`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	require.Equal(t, "refreshToken", s.by(t, "", http.MethodPost, "/api/auth/refresh", `{}`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
}

// A token can be held against what we know.
func TestValidateToken(t *testing.T) {
	s := idle(t)
	token := strings.TrimPrefix(s.as(t, "ada", user, admin), "Bearer ")
	ok := s.by(t, "", http.MethodPost, "/api/auth/validate", `{"token": "`+token+`"}`).is(http.StatusOK)
	require.Equal(t, map[string]any{
		"valid": true, "user": map[string]any{"userId": s.user(t, "ada").ID.String(), "username": "ada", "email": "", "roles": []any{"admin", "user"}},
	}, ok.body())
	bad := s.by(t, "", http.MethodPost, "/api/auth/validate", `{"token": "x"}`)
	bad.problem(http.StatusUnauthorized, "UNAUTHORIZED")
	require.Equal(t, false, bad.at("valid"))
	require.Equal(t, "token", s.by(t, "", http.MethodPost, "/api/auth/validate", `{}`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
}

// A token that was good says so, for a client that can refresh it.
func TestTokenExpires(t *testing.T) {
	s := idle(t)
	cfg := authConfig()
	cfg.WebLifetime = -time.Hour
	people, err := api.NewAuth(cfg, nil, s.Store, sealer{})
	require.NoError(t, err)
	s.Auth = people
	s.by(t, s.as(t, "ada", user), http.MethodGet, "/api/v1/auth/me", "").problem(http.StatusUnauthorized, "TOKEN_EXPIRED")
}

// Others can verify our tokens by our keys.
func TestJWKS(t *testing.T) {
	s := idle(t)
	require.Equal(t, map[string]any{"keys": []any{}}, s.by(t, "", http.MethodGet, "/.well-known/jwks.json", "").is(http.StatusOK).body())
	s.as(t, "ada", user)
	s = serve(s.Store, &away{}, &away{}) // it has not read the keys yet
	rep := s.by(t, "", http.MethodGet, "/.well-known/jwks.json", "").is(http.StatusOK)
	require.Equal(t, "public, max-age=300", rep.Header().Get("Cache-Control"))
	require.Equal(t, "application/json", rep.Header().Get("Content-Type"))
	require.Equal(t, "EdDSA", rep.at("keys.0.alg"))
	require.NotContains(t, rep.at("keys.0"), "d")
}

// In development one may be anybody.
func TestDevelopment(t *testing.T) {
	s := idle(t)
	who := s.by(t, "", http.MethodGet, "/api/auth/mock-users", "").is(http.StatusOK)
	var people []map[string]any
	require.NoError(t, json.Unmarshal(who.Body.Bytes(), &people))
	require.Len(t, people, 3)
	require.Equal(t, map[string]any{
		"id": "readonly@example.com", "username": "readonly@example.com", "email": "readonly@example.com", "fullName": "readonly", "roles": []any{"admin-readonly", "user"},
	}, people[2])

	made := s.by(t, "", http.MethodPost, "/api/auth/dev-token", `{"username": "user@example.com", "roles": ["user"]}`).is(http.StatusOK)
	for path, want := range map[string]any{
		"token_type": "Bearer", "expires_in": 86400.0, "user.userId": s.user(t, "user@example.com").ID.String(), "user.roles": []any{"user"},
	} {
		require.Equal(t, want, made.at(path), path)
	}
	s.by(t, "Bearer "+made.at("access_token").(string), http.MethodGet, "/api/v1/auth/me", "").is(http.StatusOK)
	require.Equal(t, "developer", s.by(t, "", http.MethodPost, "/api/auth/dev-token", "").is(http.StatusOK).at("user.username"))
	require.Equal(t, "developer", s.by(t, "", http.MethodPost, "/api/auth/dev-token", "{}").is(http.StatusOK).at("user.username"))
	reader := s.by(t, "", http.MethodPost, "/api/auth/dev-token", `{"username": "readonly@example.com"}`).is(http.StatusOK)
	require.Equal(t, []any{models.RoleAdminReadonly, models.RoleUser}, reader.at("user.roles"), "who is what his name says")
	s.by(t, "", http.MethodPost, "/api/auth/dev-token", `{"roles": ["king"]}`).problem(http.StatusBadRequest, "VALIDATION_ERROR")
	s.by(t, "", http.MethodPost, "/api/auth/dev-token", `{"username": "a\u0000"}`).problem(http.StatusBadRequest, "VALIDATION_ERROR")
}

// With a real identity provider nobody gets in without it; with none, nobody signs in at all.
func TestProviders(t *testing.T) {
	db := storetest.New(t)
	var up atomic.Bool
	idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !up.Load() {
			http.NotFound(w, r)
			return
		}
		at := "http://" + r.Host
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"issuer": %q, "authorization_endpoint": %q, "token_endpoint": %q, "jwks_uri": %q}`, at, at+"/auth", at+"/token", at+"/keys")
	}))
	defer idp.Close()
	with := func(c auth.Config) system {
		people, err := api.NewAuth(c, config().AdminKeys, db, sealer{})
		require.NoError(t, err)
		srv := &api.Server{Store: db, Temporal: &away{}, Auth: people, Config: config()}
		return system{srv, srv.Handler()}
	}
	oidc := with(auth.Config{
		Provider: auth.ProviderOIDC, Issuer: idp.URL, ClientID: "litemaas", Development: true,
		CallbackURL: "https://maas.example.com/api/auth/callback", FrontendURL: "https://maas.example.com",
	})
	none := with(auth.Config{})
	for _, s := range []system{oidc, none} {
		for _, route := range []string{"GET /api/auth/mock-users", "GET /api/auth/mock-login", "POST /api/auth/dev-token"} {
			method, path, _ := strings.Cut(route, " ")
			s.by(t, "", method, path, "").problem(http.StatusNotFound, "NOT_FOUND")
		}
		require.Equal(t, "oauth", s.get(t, "/api/v1/config").at("authMode"))
		s.by(t, "", http.MethodPost, "/api/auth/login", "").problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
	}
	none.by(t, "", http.MethodGet, "/api/auth/callback?code=1", "").problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
	none.by(t, "", http.MethodPost, "/api/auth/refresh", `{"refreshToken": "x"}`).problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
	none.call(t, http.MethodPost, "/api/auth/logout", "").is(http.StatusOK)
	require.Equal(t, map[string]any{"provider": "oidc", "issuer": "127.0.0.1", "groupsClaim": "groups", "discoveryStatus": "unknown"},
		oidc.get(t, "/api/v1/admin/auth/info").is(http.StatusOK).body())
	up.Store(true)
	require.Equal(t, "healthy", oidc.get(t, "/api/v1/admin/auth/info").is(http.StatusOK).at("discoveryStatus"))
	require.Equal(t, map[string]any{"provider": "", "issuer": "", "groupsClaim": "groups", "discoveryStatus": "not_applicable"},
		none.get(t, "/api/v1/admin/auth/info").is(http.StatusOK).body())
}
