package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// roleOf is the role of that name, of all.
func (s system) roleOf(t *testing.T, id string) map[string]any {
	t.Helper()
	var all []map[string]any
	require.NoError(t, json.Unmarshal(s.get(t, "/api/rbac/roles").is(http.StatusOK).Body.Bytes(), &all))
	i := slices.IndexFunc(all, func(r map[string]any) bool { return r["id"] == id })
	require.GreaterOrEqual(t, i, 0, id)
	return all[i]
}

// The roles that are always there are LiteMaaS's, each with all that it permits.
func TestListRoles(t *testing.T) {
	s := idle(t)
	require.Equal(t, map[string]any{
		"id": "user", "name": "user", "description": "Subscribes to models and holds API keys", "isSystem": true, "inherits": []any{"readonly"},
		"permissions": []any{
			"api_keys:delete", "api_keys:read", "api_keys:write", "models:read", "subscriptions:delete", "subscriptions:read", "subscriptions:write",
			"usage:export", "usage:read",
		},
		"ownPermissions": []any{"api_keys:delete", "api_keys:write", "subscriptions:delete", "subscriptions:write", "usage:export"},
	}, s.roleOf(t, "user"))
	require.Len(t, s.roleOf(t, "admin")["permissions"], len(models.Known))
	require.Equal(t, []any{"*"}, s.roleOf(t, "admin")["ownPermissions"])

	var all []map[string]any
	require.NoError(t, json.Unmarshal(s.get(t, "/api/rbac/permissions").is(http.StatusOK).Body.Bytes(), &all))
	require.Len(t, all, len(models.Known))
	for _, p := range all {
		if want, ok := map[string][]any{
			"models:read": {"models", "read"}, "admin:users": {"admin", "users"}, "admin:banners:read": {"banners", "read"},
		}[p["id"].(string)]; ok {
			require.Equal(t, want, []any{p["resource"], p["action"]})
		}
		require.NotEmpty(t, p["description"])
		require.NotEmpty(t, p["name"])
	}
}

// One can ask what one may.
func TestPermissions(t *testing.T) {
	s := idle(t)
	ada := s.as(t, "ada", user)
	mine := s.by(t, ada, http.MethodGet, "/api/rbac/permissions/me", "").is(http.StatusOK)
	require.Equal(t, []any{"user"}, mine.at("roles"))
	require.Equal(t, s.roleOf(t, "user")["permissions"], mine.at("permissions"))
	all := s.get(t, "/api/rbac/permissions/me").is(http.StatusOK)
	require.Len(t, all.at("permissions"), len(models.Known))

	check := func(who, body string) reply {
		return s.by(t, who, http.MethodPost, "/api/rbac/permissions/check", body)
	}
	require.Equal(t, map[string]any{"hasPermission": true, "permission": "models:read"}, check(ada, `{"permission": "models:read"}`).is(http.StatusOK).body())
	require.Equal(t, map[string]any{"hasPermission": false, "permission": "models:write", "resourceId": "7"},
		check(ada, `{"permission": "models:write", "resourceId": "7", "context": {"a": 1}}`).is(http.StatusOK).body())
	require.Equal(t, true, check("Bearer "+adminKey, `{"permission": "models:write"}`).at("hasPermission"))
	require.Equal(t, "permission", check(ada, `{}`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))

	bulk := func(body string) reply {
		return s.by(t, ada, http.MethodPost, "/api/rbac/permissions/check-bulk", body)
	}
	require.Equal(t, map[string]any{"hasAccess": true, "results": map[string]any{"models:read": true, "models:write": false}},
		bulk(`{"permissions": ["models:read", "models:write"]}`).is(http.StatusOK).body())
	require.Equal(t, false, bulk(`{"permissions": ["models:read", "models:write"], "requireAll": true}`).at("hasAccess"))
	require.Equal(t, false, bulk(`{"permissions": []}`).at("hasAccess"))
	require.Equal(t, "permissions", bulk(`{}`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
}

// Roles are data: made, changed and deleted; who holds one may what it says from then on.
func TestCustomRoles(t *testing.T) {
	s := idle(t)
	boss := s.as(t, "boss", admin)
	made := s.by(t, boss, http.MethodPost, "/api/rbac/roles", `{"id": "billing", "description": "Sees costs", "permissions": ["admin:usage"], "inherits": ["readonly"]}`)
	made.is(http.StatusCreated)
	require.Equal(t, s.roleOf(t, "billing"), made.body())
	require.Contains(t, made.at("permissions"), "models:read")
	require.Equal(t, false, made.at("isSystem"))

	ada := s.as(t, "ada", user)
	id := s.user(t, "ada").ID.String()
	grant := `{"userId": "` + id + `", "role": "billing"}`
	sees := func(status int) {
		t.Helper()
		s.by(t, ada, http.MethodGet, "/api/v1/admin/users", "").is(status)
	}
	sees(http.StatusForbidden)
	require.Equal(t, []any{"billing", "user"}, s.by(t, boss, http.MethodPost, "/api/rbac/assign", grant).is(http.StatusOK).at("roles"))
	s.by(t, boss, http.MethodPost, "/api/rbac/assign", grant).is(http.StatusOK)
	sees(http.StatusOK)
	s.by(t, boss, http.MethodPut, "/api/rbac/roles/billing", `{"description": "Sees nothing", "permissions": []}`).is(http.StatusOK)
	require.Empty(t, s.roleOf(t, "billing")["permissions"])
	sees(http.StatusForbidden)

	s.by(t, boss, http.MethodDelete, "/api/rbac/roles/billing", "").problem(http.StatusConflict, "CONFLICT")
	require.Equal(t, []any{"user"}, s.by(t, boss, http.MethodPost, "/api/rbac/unassign", grant).is(http.StatusOK).at("roles"))
	s.by(t, boss, http.MethodPost, "/api/rbac/unassign", grant).is(http.StatusOK)
	s.by(t, boss, http.MethodDelete, "/api/rbac/roles/billing", `{"reason": "x"}`).is(http.StatusOK)
	s.by(t, boss, http.MethodDelete, "/api/rbac/roles/billing", "").problem(http.StatusNotFound, "NOT_FOUND")
	actions := map[models.AuditAction]int{}
	for _, e := range s.entries(t, store.AuditQuery{Actor: s.user(t, "boss").ID.String()}) {
		actions[e.Action]++
	}
	require.Subset(t, slices.Collect(maps.Keys(actions)), []models.AuditAction{
		models.AuditRoleCreate, models.AuditRoleUpdate, models.AuditRoleDelete, models.AuditRoleGrant, models.AuditRoleRevoke,
	})
}

// What is wrong with a role is refused, and so is more than one has oneself.
func TestBadRoles(t *testing.T) {
	s := idle(t)
	boss := s.as(t, "boss", admin)
	for body, want := range map[string]struct {
		status int
		field  string
	}{
		`{"id": "a", "permissions": ["models:read"], "inherits": []}`: {400, "id"},
		`{"permissions": []}`:                                      {400, "id"},
		`{"id": "king"}`:                                           {400, "permissions"},
		`{"id": "king", "permissions": ["rule:all"]}`:              {400, "permissions"},
		`{"id": "king", "permissions": ["*"]}`:                     {400, "permissions"},
		`{"id": "king", "permissions": [], "inherits": ["queen"]}`: {400, "inherits"},
		`{"id": "king", "permissions": [], "inherits": ["admin"]}`: {400, "inherits"},
		`{"id": "king", "permissions": [], "inherits": ["king"]}`:  {409, "inherits"},
		`{"id": "user", "permissions": []}`:                        {409, ""},
	} {
		rep := s.by(t, boss, http.MethodPost, "/api/rbac/roles", body)
		require.Equal(t, want.field, rep.problem(want.status, map[int]string{400: "VALIDATION_ERROR", 409: "CONFLICT"}[want.status]), body)
	}
	for _, builtIn := range []string{"admin", "user", "readonly", "admin-readonly"} {
		s.by(t, boss, http.MethodPut, "/api/rbac/roles/"+builtIn, `{"permissions": []}`).problem(http.StatusForbidden, "FORBIDDEN")
		s.by(t, boss, http.MethodDelete, "/api/rbac/roles/"+builtIn, "").problem(http.StatusForbidden, "FORBIDDEN")
	}
	s.by(t, boss, http.MethodPut, "/api/rbac/roles/king", `{"permissions": []}`).problem(http.StatusNotFound, "NOT_FOUND")

	s.by(t, boss, http.MethodPost, "/api/rbac/roles", `{"id": "staff", "permissions": ["admin:roles:write", "users:write"]}`).is(http.StatusCreated)
	s.as(t, "ada", user)
	id := s.user(t, "ada").ID.String()
	s.by(t, boss, http.MethodPost, "/api/rbac/assign", `{"userId": "`+id+`", "role": "staff"}`).is(http.StatusOK)
	ada := s.as(t, "ada")
	s.by(t, ada, http.MethodPost, "/api/rbac/roles", `{"id": "more", "permissions": ["admin:backup"]}`).problem(http.StatusForbidden, "FORBIDDEN")
	s.by(t, ada, http.MethodPost, "/api/rbac/assign", `{"userId": "`+id+`", "role": "admin"}`).problem(http.StatusForbidden, "FORBIDDEN")
	s.by(t, ada, http.MethodPatch, "/api/v1/users/"+id, `{"roles": ["admin"]}`).problem(http.StatusForbidden, "FORBIDDEN")
	require.Len(t, s.entries(t, store.AuditQuery{Action: models.AuditDenied, Actor: id}), 3)

	for _, verb := range []string{"assign", "unassign"} {
		at := "/api/rbac/" + verb
		s.by(t, boss, http.MethodPost, at, `{"userId": "`+uuid.NewString()+`", "role": "user"}`).problem(http.StatusNotFound, "NOT_FOUND")
		require.Equal(t, "userId", s.by(t, boss, http.MethodPost, at, `{"userId": "x", "role": "user"}`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
		require.Equal(t, "role", s.by(t, boss, http.MethodPost, at, `{"userId": "`+id+`"}`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	}
	require.Equal(t, "roles", s.by(t, boss, http.MethodPost, "/api/rbac/assign", `{"userId": "`+id+`", "role": "king"}`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	s.by(t, boss, http.MethodPost, "/api/rbac/unassign", `{"userId": "`+s.user(t, "boss").ID.String()+`", "role": "admin"}`).problem(http.StatusForbidden, "FORBIDDEN")
	s.call(t, http.MethodPost, "/api/rbac/unassign", `{"userId": "`+s.user(t, "boss").ID.String()+`", "role": "admin"}`).problem(http.StatusConflict, "CONFLICT")
}
