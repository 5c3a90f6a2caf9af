package api_test

import (
	"bufio"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Every refusal is in the audit log, by name where there is one; what is let through is not.
func TestRefusalsAreAudited(t *testing.T) {
	s := idle(t)
	ada := s.as(t, "ada", user)
	id := s.user(t, "ada").ID.String()
	rep := s.call(t, http.MethodPost, "/api/v1/models/sync?secret=1", "{}", "Authorization", ada, "User-Agent", "golden/1.0")
	rep.problem(http.StatusForbidden, "FORBIDDEN")
	require.Equal(t, "Access denied. Required permission: models:write", rep.at("error.message"))
	shown := s.get(t, "/api/v1/admin/audit?excludeResourceTypes=API_ACCESS&limit=1").is(http.StatusOK)
	for at, want := range map[string]any{
		"data.0.action": "AUTH_DENIED", "data.0.resourceType": "SECURITY", "data.0.resourceId": nil, "data.0.userId": id, "data.0.username": "ada",
		"data.0.success": false, "data.0.errorMessage": "Access denied. Required permission: models:write", "data.0.ipAddress": "192.0.2.1",
		"data.0.userAgent": "golden/1.0", "data.0.requestId": rep.Header().Get("X-Request-ID"),
		"data.0.metadata": map[string]any{
			"url": "/api/v1/models/sync", "method": "POST", "statusCode": 403.0, "userRoles": []any{"user"},
			"error": "Access denied. Required permission: models:write",
		},
	} {
		require.Equal(t, want, shown.at(at), at)
	}

	s.call(t, http.MethodGet, "/api/v1/auth/me", "", "Authorization", "", "User-Agent", "Mozilla/5.0", "Origin", "http://localhost:3000").is(http.StatusUnauthorized)
	s.by(t, "Bearer eyJhbGciOiJub25lIn0.e30.", http.MethodGet, "/api/v1/auth/me", "").is(http.StatusUnauthorized)
	failed := s.entries(t, store.AuditQuery{Action: models.AuditFailed})
	require.Len(t, failed, 2)
	require.Equal(t, "anonymous", failed[1].Actor)
	require.Equal(t, models.AuditOfAccess, failed[1].ResourceType)
	require.Equal(t, "GET /api/v1/auth/me", failed[1].ResourceID)
	require.Equal(t, "Mozilla/5.0", failed[1].UserAgent)

	before := len(s.entries(t, store.AuditQuery{}))
	s.by(t, ada, http.MethodGet, "/api/v1/auth/me", "").is(http.StatusOK)
	s.by(t, "Bearer wrong", http.MethodGet, "/api/v1/models", "").is(http.StatusOK)
	require.Len(t, s.entries(t, store.AuditQuery{}), before)
}

// Whatever is no token of ours is refused, and each try is in the log; who sends it stays unknown.
func TestForgedTokensAreAudited(t *testing.T) {
	s := idle(t)
	good := strings.TrimPrefix(s.as(t, "ada", admin), "Bearer ")
	parts := strings.Split(good, ".")
	keys := s.by(t, "", http.MethodGet, "/.well-known/jwks.json", "").is(http.StatusOK)
	public, err := base64.RawURLEncoding.DecodeString(keys.at("keys.0.x").(string))
	require.NoError(t, err)
	signed := func(method jwt.SigningMethod, key any) string {
		c := jwt.MapClaims{}
		old, _, err := jwt.NewParser().ParseUnverified(good, c)
		require.NoError(t, err)
		token := jwt.NewWithClaims(method, c)
		token.Header["kid"] = old.Header["kid"]
		out, err := token.SignedString(key)
		require.NoError(t, err)
		return out
	}
	of := func(change func(*auth.Config)) string {
		c := authConfig()
		change(&c)
		people, err := api.NewAuth(c, nil, s.Store, sealer{})
		require.NoError(t, err)
		other := system{&api.Server{Store: s.Store, Auth: people}, nil}
		return strings.TrimPrefix(other.as(t, "ada"), "Bearer ")
	}
	_, stranger, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	for name, token := range map[string]string{
		"alg none":                  signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"HS256 with the public key": signed(jwt.SigningMethodHS256, public),
		"another key":               signed(jwt.SigningMethodEdDSA, stranger),
		"no signature":              parts[0] + "." + parts[1] + ".",
		"another issuer":            of(func(c *auth.Config) { c.TokenIssuer = "somebody-else" }),
		"expired":                   of(func(c *auth.Config) { c.WebLifetime = -time.Hour }),
	} {
		t.Run(name, func(t *testing.T) {
			before := len(s.entries(t, store.AuditQuery{Action: models.AuditFailed}))
			rep := s.by(t, "Bearer "+token, http.MethodGet, "/api/v1/users", "").is(http.StatusUnauthorized)
			failed := s.entries(t, store.AuditQuery{Action: models.AuditFailed})
			require.Len(t, failed, before+1)
			require.Equal(t, "anonymous", failed[0].Actor)
			require.Equal(t, "GET /api/v1/users", failed[0].ResourceID)
			require.Equal(t, rep.Header().Get("X-Request-ID"), failed[0].RequestID)
			require.NotContains(t, failed[0].Failure+string(failed[0].Detail), parts[1], "no token in the log")
		})
	}
	s.by(t, "Bearer "+good, http.MethodGet, "/api/v1/users", "").is(http.StatusOK)
}

// While the database is away nobody gets in whom it would have to vouch for; an admin key does,
// and who is nobody is told so.
func TestCallersWithoutDatabase(t *testing.T) {
	s := idle(t)
	ada := s.as(t, "ada", admin)
	s.Store.Close()
	me := func(who string) reply { return s.by(t, who, http.MethodGet, "/api/v1/auth/me", "") }
	me("").problem(http.StatusUnauthorized, "UNAUTHORIZED")
	me("Bearer ltm_admin_wrong").problem(http.StatusUnauthorized, "UNAUTHORIZED")
	me(ada).problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
	me("Bearer " + adminKey).is(http.StatusOK)
	s.by(t, ada, http.MethodGet, "/api/v1/config", "").is(http.StatusOK)
}

// The audit log is filtered as LiteMaaS's is.
func TestListAudit(t *testing.T) {
	s := idle(t)
	ada := s.as(t, "ada@example.com", user)
	id := s.user(t, "ada@example.com").ID.String()
	s.by(t, ada, http.MethodPatch, "/api/v1/users/me", `{"fullName": "Ada"}`).is(http.StatusOK)
	s.by(t, ada, http.MethodGet, "/api/v1/users", "").is(http.StatusForbidden)
	s.by(t, "", http.MethodGet, "/api/v1/users", "").is(http.StatusUnauthorized)
	today := time.Now().UTC().Format(time.DateOnly)
	later := time.Now().UTC().Add(time.Hour).Format(time.RFC3339)
	for query, actions := range map[string]string{
		"userId=" + id: "AUTH_DENIED PROFILE_UPDATE SESSION_CREATE LOGIN", "action=PROFILE_UPDATE": "PROFILE_UPDATE", "resourceType=SECURITY": "AUTH_DENIED SIGNING_KEY_ROTATE",
		"userId=anonymous": "AUTH_FAILED", "userId=" + id + "&excludeResourceTypes=AUTH, SECURITY": "PROFILE_UPDATE", "failed=true": "AUTH_FAILED AUTH_DENIED",
		"search=profile": "PROFILE_UPDATE", "search=ADA@example&resourceType=USER": "PROFILE_UPDATE", "startDate=" + later: "",
		"action=LOGIN&startDate=" + today: "LOGIN", "action=LOGIN&startDate=" + today + "&endDate=" + today: "LOGIN", "action=LOGIN&endDate=" + later: "LOGIN",
		"endDate=2020-01-01": "", "action=LOGIN&resourceId=" + id: "LOGIN",
	} {
		rep := s.get(t, "/api/v1/admin/audit?"+strings.ReplaceAll(query, " ", "%20")).is(http.StatusOK)
		var got []string
		for _, row := range rep.at("data").([]any) {
			got = append(got, row.(map[string]any)["action"].(string))
		}
		require.Equal(t, actions, strings.Join(got, " "), query)
		require.EqualValues(t, len(got), rep.at("pagination.total"), query)
	}
	change := s.get(t, "/api/v1/admin/audit?action=PROFILE_UPDATE")
	for at, want := range map[string]any{
		"data.0.actor": id, "data.0.via": "api", "data.0.email": "ada@example.com", "data.0.success": true, "data.0.errorMessage": nil,
		"data.0.metadata": map[string]any{"before": map[string]any{"fullName": "ada"}, "after": map[string]any{"fullName": "Ada"}},
	} {
		require.Equal(t, want, change.at(at), at)
	}
	require.Nil(t, s.get(t, "/api/v1/admin/audit?userId=anonymous").at("data.0.userId"))
	for query, field := range map[string]string{"limit=101": "limit", "page=0": "page", "startDate=yesterday": "startDate", "endDate=1.1.2026": "endDate", "failed=maybe": "failed"} {
		require.Equal(t, field, s.get(t, "/api/v1/admin/audit?"+query).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	}

	require.Equal(t, []any{"AUTH_DENIED", "AUTH_FAILED", "LOGIN", "PROFILE_UPDATE", "ROLE_GRANT", "SESSION_CREATE", "SIGNING_KEY_ROTATE", "USER_CREATE"},
		s.get(t, "/api/v1/admin/audit/actions").is(http.StatusOK).at("actions"))
	require.Equal(t, []any{"PROFILE_UPDATE", "ROLE_GRANT", "USER_CREATE"}, s.get(t, "/api/v1/admin/audit/actions?resourceType=USER").at("actions"))
	require.Equal(t, []any{"AUTH_FAILED", "LOGIN", "SESSION_CREATE"}, s.get(t, "/api/v1/admin/audit/actions?excludeResourceTypes=USER,SECURITY").at("actions"))
	require.Equal(t, []any{"API_ACCESS", "AUTH", "SECURITY", "USER"}, s.get(t, "/api/v1/admin/audit/categories").is(http.StatusOK).at("categories"))
}

// The audit log is exported as lines of JSON that can be verified, or as a table that no
// spreadsheet runs; the export is in the log itself.
func TestExportAudit(t *testing.T) {
	s := idle(t)
	s.as(t, "ada", user)
	s.call(t, http.MethodGet, "/api/v1/auth/me", "", "Authorization", "", "User-Agent", "=HYPERLINK(1)").is(http.StatusUnauthorized)

	lines := s.get(t, "/api/v1/admin/audit/export").is(http.StatusOK)
	require.Equal(t, "application/x-ndjson", lines.Header().Get("Content-Type"))
	require.Regexp(t, `^attachment; filename="audit-\d{8}-\d{6}\.ndjson"$`, lines.Header().Get("Content-Disposition"))
	var rows []map[string]any
	prev := strings.Repeat("0", 64)
	for in := bufio.NewScanner(lines.Body); in.Scan(); {
		var row map[string]any
		require.NoError(t, json.Unmarshal(in.Bytes(), &row))
		require.Equal(t, prev, row["prevHash"])
		prev = row["hash"].(string)
		rows = append(rows, row)
	}
	require.EqualValues(t, 1, rows[0]["id"])
	last := rows[len(rows)-1]
	require.Equal(t, "AUDIT_EXPORT", last["action"])
	require.Equal(t, map[string]any{"format": "ndjson", "filter": map[string]any{}}, last["detail"])

	table := s.get(t, "/api/v1/admin/audit/export?format=csv&action=AUTH_FAILED").is(http.StatusOK)
	require.Equal(t, "text/csv; charset=utf-8", table.Header().Get("Content-Type"))
	cells, err := csv.NewReader(table.Body).ReadAll()
	require.NoError(t, err)
	require.Len(t, cells, 2)
	require.Contains(t, cells[1], "'=HYPERLINK(1)")
	exports := s.entries(t, store.AuditQuery{Action: models.AuditExport})
	require.JSONEq(t, `{"format": "csv", "filter": {"action": "AUTH_FAILED"}}`, string(exports[0].Detail))
	require.Regexp(t, `^admin-key-`, exports[0].Actor)

	require.Empty(t, s.call(t, http.MethodHead, "/api/v1/admin/audit/export", "").is(http.StatusOK).Body.Bytes())
	require.Equal(t, "format", s.get(t, "/api/v1/admin/audit/export?format=xml").problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	require.Equal(t, "endDate", s.get(t, "/api/v1/admin/audit/export?endDate=x").problem(http.StatusBadRequest, "VALIDATION_ERROR"))
}

// An export that breaks off ends in such a way that nobody takes it for whole.
func TestExportBreaksOff(t *testing.T) {
	s := idle(t)
	for range 2500 {
		require.NoError(t, s.Store.Audit(t.Context(), models.System("test"), models.Event{Action: "X", ResourceType: "TEST", Failure: strings.Repeat("x", 400)}))
	}
	srv := httptest.NewServer(s.handler)
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/api/v1/admin/audit/export", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+adminKey)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	in := bufio.NewReader(res.Body)
	_, err = in.ReadString('\n')
	require.NoError(t, err)
	s.Store.Close()
	for err == nil {
		_, err = in.ReadString('\n')
	}
	require.ErrorContains(t, err, "unexpected EOF")
}
