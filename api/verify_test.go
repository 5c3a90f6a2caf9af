package api_test

import (
	"database/sql"
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

const gatewaySecret = "a-secret-of-gateways"

// locked is an API that gateways may ask, with a key of ada, who is subscribed to gpt-4o and not
// to o3, though the key has both.
type locked struct {
	system
	db  *sql.DB
	key models.Key
	sk  string // its plaintext
}

func newLocked(t *testing.T, verify api.VerifyConfig) locked {
	t.Helper()
	url := storetest.URL(t)
	st, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(url), MaxConns: 8})
	require.NoError(t, err)
	t.Cleanup(st.Close)
	l := locked{system: serve(st, &away{}, &away{}), db: storetest.SQL(t, url)}
	l.Config.Verify = verify
	l.handler = l.Handler()
	l.as(t, "ada", user)
	storetest.LLMs(t, st, "gpt-4o", "o3")
	l.key = storetest.Key(t, st, l.user(t, "ada").ID, func(k *models.Key) { k.Limits.TPM = new(int64(0)) }, "gpt-4o", "o3")
	l.sk = storetest.Secret(t, l.key).Reveal()
	l.exec(t, `INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, reset_at, quota_requests)
		VALUES (gen_random_uuid(), $1, 'gpt-4o', 'active', 'test', now() + interval '1 hour', 10)`, l.key.UserID)
	return l
}

func (l locked) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := l.db.ExecContext(t.Context(), sql, args...)
	require.NoError(t, err)
}

// used is how many keys were ever used, as far as it is recorded.
func (l locked) used(t *testing.T) (n int) {
	t.Helper()
	require.NoError(t, l.Auth.UsedKeys.Flush(t.Context()))
	require.NoError(t, l.db.QueryRowContext(t.Context(), "SELECT count(*) FROM api_keys WHERE last_used_at IS NOT NULL").Scan(&n))
	return n
}

func (l locked) validate(t *testing.T, body string) reply {
	t.Helper()
	return l.call(t, http.MethodPost, "/api/v1/api-keys/validate", body)
}

// An admin sees what a key is good for.
func TestValidateKey(t *testing.T) {
	l := newLocked(t, api.VerifyConfig{})
	body, err := json.Marshal(map[string]string{"key": l.sk, "model": "gpt-4o"})
	require.NoError(t, err)
	rep := l.validate(t, string(body)).is(http.StatusOK)
	for path, want := range map[string]any{
		"isValid": true, "reason": "valid", "message": nil, "keyId": l.key.ID.String(), "name": "test", "keyPrefix": l.sk[:7],
		"owner.id": l.key.UserID.String(), "owner.username": "ada", "owner.roles": []any{"user"}, "owner.isActive": true, "team": nil, "expiresAt": nil,
		"models": []any{"gpt-4o", "o3"}, "limits.tpmLimit": 0.0, "limits.rpmLimit": nil, "limits.maxBudget": nil,
		"quota.0.model": "gpt-4o", "quota.0.requests": 10.0, "quota.0.tokens": nil, "quota.0.exhausted": false, "quota.0.status": "active",
	} {
		require.Equal(t, want, rep.at(path), path)
	}
	require.Len(t, rep.at("quota"), 1)
	require.NotContains(t, rep.Body.String(), l.sk)
	require.NotContains(t, rep.Body.String(), l.key.Hash)
	require.Equal(t, 1, l.used(t))

	body, err = json.Marshal(map[string]string{"key": l.sk, "model": "o3"})
	require.NoError(t, err)
	rep = l.validate(t, string(body)).is(http.StatusOK)
	require.Equal(t, false, rep.at("isValid"))
	require.Equal(t, "model_not_subscribed", rep.at("reason"))
	require.Equal(t, "The owner of the API key has no active subscription to this model", rep.at("message"))

	l.exec(t, "UPDATE api_keys SET team_id = $2, revoked_at = now(), expires_at = now(), max_budget = 0 WHERE id = $1", l.key.ID, models.DefaultTeamID)
	l.exec(t, "UPDATE budgets SET hold_at = 0 WHERE subject_id = $1", l.key.ID)
	rep = l.validate(t, `{"key": "`+l.sk+`"}`).is(http.StatusOK)
	require.Equal(t, "key_revoked", rep.at("reason"))
	require.Equal(t, "Default Team", rep.at("team.name"))
	require.InDelta(t, 1000, rep.at("team.limits.rpmLimit"), 0)
	require.InDelta(t, 0, rep.at("limits.maxBudget"), 0)
	require.Equal(t, true, rep.at("limits.exhausted"))
	require.NotNil(t, rep.at("expiresAt"))

	for _, unknown := range []string{"sk-" + strings.Repeat("0", 43), "sk-", "anything", adminKey} {
		rep = l.validate(t, `{"key": "`+unknown+`"}`).is(http.StatusOK)
		require.Equal(t, map[string]any{"isValid": false, "reason": "key_unknown", "message": "There is no such API key"}, rep.body())
	}
}

// What is wrong with a request is told, without what was in it.
func TestValidateKeyRefuses(t *testing.T) {
	l := newLocked(t, api.VerifyConfig{})
	for body, field := range map[string]string{
		`{}`: "key", `{"key": ""}`: "key", `{"key": 1}`: "key", `{"key": "` + strings.Repeat("sk-secret", 100) + `"}`: "key",
		`{"key": "` + l.sk + `", "model": 5}`: "model", `{"key": "` + l.sk + `", "modell": "x"}`: "modell", `{"key": "` + l.sk: "body", ``: "",
	} {
		rep := l.validate(t, body)
		require.Equal(t, field, rep.problem(http.StatusBadRequest, "VALIDATION_ERROR"), body)
		require.NotContains(t, rep.Body.String(), "sk-")
	}
	l.Store.Close()
	l.validate(t, `{"key": "`+l.sk+`"}`).problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
}

func networkOf(t *testing.T, text string) []netip.Prefix {
	t.Helper()
	p, err := netip.ParsePrefix(text)
	require.NoError(t, err)
	return []netip.Prefix{p}
}

// requireBlames requires an error to blame that field; none, where it is empty.
func requireBlames(t *testing.T, field string, err error) {
	t.Helper()
	if field == "" {
		require.NoError(t, err)
		return
	}
	var e *models.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, models.Invalid, e.Kind)
	require.Equal(t, field, e.Field)
}

// ask asks as a gateway does, for a request with that key.
func (l locked) ask(t *testing.T, method, path, key, body string, header ...string) reply {
	t.Helper()
	header = append([]string{"Authorization", "Bearer " + key, "X-Litemaas-Gateway", gatewaySecret, "Content-Type", ""}, header...)
	return l.call(t, method, "/ext-authz"+path, body, header...)
}

// A gateway is told whether a request may go on, and whose it is.
func TestExtAuthz(t *testing.T) {
	l := newLocked(t, api.VerifyConfig{ExtAuthz: true, Prefix: "/ext-authz/", Secret: models.SecretOf(gatewaySecret)})
	const chat = "/v1/chat/completions"
	rep := l.ask(t, http.MethodPost, chat, l.sk, `{"messages": [], "model": "gpt-4o"}`).is(http.StatusOK)
	require.Empty(t, rep.Body.String())
	for name, want := range map[string]string{
		"X-Litemaas-Key-Id": l.key.ID.String(), "X-Litemaas-User-Id": l.key.UserID.String(), "X-Litemaas-Roles": "user",
		"X-Litemaas-Model": "gpt-4o", "X-Litemaas-Team-Id": "", "X-Litemaas-Reason": "",
	} {
		require.Equal(t, want, rep.Header().Get(name), name)
	}
	require.Equal(t, 1, l.used(t))
	rep = l.ask(t, http.MethodPost, chat, l.sk, `{"model": "gpt-4o"}`, "Accept", "application/json").is(http.StatusOK)
	require.Equal(t, "ada", rep.at("owner.username"))
	require.Equal(t, true, rep.at("isValid"))

	for _, tc := range []struct {
		what, method, key, body string
		header                  []string
		status                  int
		reason                  string
	}{
		{"no body", http.MethodGet, l.sk, "", nil, 200, ""},
		{"any method", http.MethodOptions, l.sk, "", nil, 200, ""},
		{"the model in a header", http.MethodPost, l.sk, "", []string{"X-Litemaas-Model", "gpt-4o"}, 200, ""},
		{"a form, and the model in a header", http.MethodPost, l.sk, "a=b", []string{"X-Litemaas-Model", "gpt-4o"}, 200, ""},
		{"the same model twice", http.MethodPost, l.sk, `{"model": "gpt-4o"}`, []string{"X-Litemaas-Model", "gpt-4o"}, 200, ""},
		{"no model in the body", http.MethodPost, l.sk, `{}`, nil, 200, ""},
		{"the key in another header", http.MethodGet, "", "", []string{"Authorization", "", "X-Api-Key", l.sk}, 200, ""},
		{"another model", http.MethodPost, l.sk, `{"model": "gpt-5"}`, nil, 403, "model_not_allowed"},
		{"the last of two models", http.MethodPost, l.sk, `{"model": "gpt-4o", "model": "gpt-5"}`, nil, 403, "model_not_allowed"},
		{"a model without subscription", http.MethodPost, l.sk, `{"model": "o3"}`, nil, 403, "model_not_subscribed"},
		{"two models", http.MethodPost, l.sk, `{"model": "gpt-4o"}`, []string{"X-Litemaas-Model", "o3"}, 400, "model_unreadable"},
		{"a form", http.MethodPost, l.sk, "model=gpt-4o", nil, 400, "model_unreadable"},
		{"a model that is no text", http.MethodPost, l.sk, `{"model": ["gpt-4o"]}`, nil, 400, "model_unreadable"},
		{"a part of the body", http.MethodPost, l.sk, `{"model": "gpt-4o"}`, []string{"X-Envoy-Auth-Partial-Body", "true"}, 400, "model_unreadable"},
		{"no key", http.MethodGet, "", "", []string{"Authorization", ""}, 401, "key_unknown"},
		{"another scheme", http.MethodGet, "", "", []string{"Authorization", "Basic " + l.sk}, 401, "key_unknown"},
		{"a wrong key", http.MethodGet, l.sk + "x", "", nil, 401, "key_unknown"},
		{"an admin key", http.MethodGet, adminKey, "", nil, 401, "key_unknown"},
		{"no secret", http.MethodGet, l.sk, "", []string{"X-Litemaas-Gateway", ""}, 403, ""},
		{"a wrong secret", http.MethodGet, l.sk, "", []string{"X-Litemaas-Gateway", gatewaySecret + "x"}, 403, ""},
	} {
		rep := l.ask(t, tc.method, chat, tc.key, tc.body, tc.header...)
		require.Equal(t, tc.status, rep.Code, "%s: %s", tc.what, rep.Body)
		require.Equal(t, tc.reason, rep.Header().Get("X-Litemaas-Reason"), tc.what)
		require.NotContains(t, rep.Body.String(), "sk-", tc.what)
		if tc.status != http.StatusOK {
			require.NotEmpty(t, rep.at("error.message"), tc.what)
			require.Empty(t, rep.Header().Get("X-Litemaas-Key-Id"), tc.what)
		}
		if tc.status == http.StatusUnauthorized {
			require.Equal(t, `Bearer realm="litemaas"`, rep.Header().Get("WWW-Authenticate"), tc.what)
		}
	}
	l.Store.Close()
	l.ask(t, http.MethodGet, chat, l.sk, "").problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
}

// Whoever has used up what he has is told when to come back.
func TestExtAuthzLimits(t *testing.T) {
	l := newLocked(t, api.VerifyConfig{ExtAuthz: true, Prefix: "/ext-authz", Secret: models.SecretOf(gatewaySecret)})
	refused := func(model, reason string, atLeast, atMost float64) {
		t.Helper()
		rep := l.ask(t, http.MethodPost, "/", l.sk, `{"model": "`+model+`"}`)
		rep.problem(http.StatusTooManyRequests, "RATE_LIMITED")
		require.Equal(t, reason, rep.Header().Get("X-Litemaas-Reason"))
		require.GreaterOrEqual(t, rep.at("details.retryAfter"), atLeast)
		require.LessOrEqual(t, rep.at("details.retryAfter"), atMost)
	}
	l.exec(t, "UPDATE subscriptions SET used_requests = 10")
	refused("gpt-4o", "quota_exceeded", 3500, 3600)
	l.exec(t, "UPDATE subscriptions SET used_requests = 0")
	l.exec(t, "UPDATE budgets SET spent = 5, hold_at = 5 WHERE subject_type = 'key'")
	refused("gpt-4o", "budget_exceeded", 60, 60)
	l.exec(t, "UPDATE budgets SET spent = 0 WHERE subject_type = 'key'")

	counted := func(twice string, args ...any) {
		t.Helper()
		l.exec(t, "UPDATE api_keys SET rpm_limit = NULL, model_rpm = '{}', team_id = NULL")
		l.exec(t, twice, args...)
		for range 2 {
			l.ask(t, http.MethodPost, "/", l.sk, `{"model": "gpt-4o"}`).is(http.StatusOK)
		}
		refused("gpt-4o", "rate_limited", 1, 60)
	}
	counted("UPDATE api_keys SET rpm_limit = 2")
	counted(`UPDATE api_keys SET model_rpm = '{"gpt-4o": 2, "o3": 0}'`)
	l.exec(t, "INSERT INTO team_members (team_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING", models.DefaultTeamID, l.key.UserID)
	l.exec(t, "UPDATE teams SET rpm_limit = 2")
	counted("UPDATE api_keys SET team_id = $1", models.DefaultTeamID)
	l.exec(t, "UPDATE api_keys SET team_id = NULL, rpm_limit = 0")
	refused("gpt-4o", "rate_limited", 60, 60)
	l.exec(t, "UPDATE api_keys SET rpm_limit = 9007199254740991")
	l.ask(t, http.MethodGet, "/", l.sk, "").is(http.StatusOK)
}

// Unless it is configured, there is no such endpoint; where networks are, others may not ask.
func TestExtAuthzIsForGateways(t *testing.T) {
	l := newLocked(t, api.VerifyConfig{})
	l.ask(t, http.MethodGet, "/v1/models", l.sk, "").problem(http.StatusNotFound, "NOT_FOUND")

	for network, want := range map[string]int{"192.0.2.0/24": http.StatusOK, "10.0.0.0/8": http.StatusForbidden} { // httptest's is 192.0.2.1
		prefix := networkOf(t, network)
		l.Config.Verify = api.VerifyConfig{ExtAuthz: true, Prefix: "/ext-authz", Gateways: prefix}
		l.handler = l.Handler()
		l.ask(t, http.MethodGet, "/v1/models", l.sk, "", "X-Litemaas-Gateway", "").is(want)
	}
}

// A configuration by which anybody could try keys is refused.
func TestVerifyConfig(t *testing.T) {
	secret := models.SecretOf(gatewaySecret)
	for field, c := range map[string]api.VerifyConfig{
		"":       {ExtAuthz: true, Prefix: "/ext-authz", Secret: secret},
		"prefix": {ExtAuthz: true, Prefix: "/api/v1", Secret: secret},
		"secret": {ExtAuthz: true, Prefix: "/ext-authz"},
	} {
		requireBlames(t, field, c.Check())
	}
	require.NoError(t, api.VerifyConfig{}.Check())
	require.NoError(t, api.VerifyConfig{ExtAuthz: true, Prefix: "/ask", Gateways: networkOf(t, "10.0.0.0/8")}.Check())
	for _, prefix := range []string{"", "/", "ext", "/:x", "/*x", "/a b", "/api"} {
		requireBlames(t, "prefix", api.VerifyConfig{ExtAuthz: true, Prefix: prefix, Secret: secret}.Check())
	}
	requireBlames(t, "secret", api.VerifyConfig{ExtAuthz: true, Prefix: "/ext-authz", Secret: models.SecretOf("short")}.Check())
}

// By an API key its owner reads what keys are for, and does nothing else.
func TestAPIKeyReads(t *testing.T) {
	l := newLocked(t, api.VerifyConfig{})
	bearer := "Bearer " + l.sk
	for path, want := range map[string]int{
		"/api/v1/auth/me": http.StatusOK, "/api/v1/models": http.StatusOK, "/api/v1/models/sync/stats": http.StatusOK, "/api/v1/subscriptions": http.StatusOK,
		"/api/auth/sessions": http.StatusForbidden, "/api/v1/users/me": http.StatusForbidden, "/api/v1/users/me/activity": http.StatusForbidden,
		"/api/v1/admin/audit": http.StatusForbidden, "/api/v1/users": http.StatusForbidden,
	} {
		rep := l.by(t, bearer, http.MethodGet, path, "").is(want)
		if want == http.StatusForbidden {
			require.Contains(t, rep.at("message"), "Access denied. ")
		}
	}
	me := l.by(t, bearer, http.MethodGet, "/api/v1/auth/me", "")
	require.Equal(t, "ada", me.at("username"))
	require.Equal(t, 1, l.used(t))
	for _, r := range []string{
		"POST /api/v1/subscriptions", "PATCH /api/v1/users/me", "DELETE /api/auth/sessions", "POST /api/auth/logout", "POST /api/rbac/permissions/check",
		"POST /api/v1/api-keys/validate",
	} {
		method, path, _ := strings.Cut(r, " ")
		l.by(t, bearer, method, path, "{}").problem(http.StatusForbidden, "FORBIDDEN")
	}

	_, err := l.Store.AssignRole(t.Context(), l.key.UserID, models.RoleAdmin, models.System("test"), models.Permissions{models.Everything})
	require.NoError(t, err)
	l.by(t, bearer, http.MethodGet, "/api/v1/admin/audit", "").problem(http.StatusForbidden, "FORBIDDEN") // a key of an admin is no admin
	l.by(t, bearer, http.MethodGet, "/api/v1/subscriptions", "").is(http.StatusOK)

	l.exec(t, "UPDATE api_keys SET max_budget = 1, spend = 1")
	l.by(t, bearer, http.MethodGet, "/api/v1/subscriptions", "").is(http.StatusOK)
	for _, change := range []string{`holds = '["admin"]'`, `holds = '[]', revoked_at = now()`} {
		l.exec(t, "UPDATE api_keys SET "+change)
		l.by(t, bearer, http.MethodGet, "/api/v1/subscriptions", "").problem(http.StatusUnauthorized, "UNAUTHORIZED")
	}
	l.by(t, "Basic "+l.sk, http.MethodGet, "/api/v1/subscriptions", "").problem(http.StatusUnauthorized, "UNAUTHORIZED")
	l.Store.Close()
	l.by(t, bearer, http.MethodGet, "/api/v1/subscriptions", "").problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
}
