package api_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// One reads and changes one's own profile, and sees what one did.
func TestProfile(t *testing.T) {
	s := idle(t)
	ada := s.as(t, "ada@example.com", user)
	id := s.user(t, "ada@example.com").ID.String()
	for _, path := range []string{"/api/v1/auth/profile", "/api/v1/users/me"} {
		rep := s.by(t, ada, http.MethodGet, path, "").is(http.StatusOK)
		require.Regexp(t, `Z$`, rep.at("createdAt"))
		for at, want := range map[string]any{"id": id, "username": "ada@example.com", "email": "ada@example.com", "fullName": "ada", "roles": []any{"user"}} {
			require.Equal(t, want, rep.at(at), at)
		}
	}
	require.Equal(t, "Ada Lovelace", s.by(t, ada, http.MethodPatch, "/api/v1/users/me", `{"fullName": " Ada Lovelace "}`).is(http.StatusOK).at("fullName"))
	require.Equal(t, "Ada Lovelace", s.by(t, ada, http.MethodPatch, "/api/v1/users/me", `{}`).is(http.StatusOK).at("fullName"))
	require.Equal(t, "Ada Lovelace", s.by(t, ada, http.MethodGet, "/api/v1/auth/me", "").at("name"))
	for body, field := range map[string]string{`{"fullName": 1}`: "fullName", `{"fullName": "\u0000"}`: "fullName", `{"email": "x@y"}`: "email", `[]`: "body"} {
		require.Equal(t, field, s.by(t, ada, http.MethodPatch, "/api/v1/users/me", body).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	}

	did := s.by(t, ada, http.MethodGet, "/api/v1/users/me/activity?limit=1", "").is(http.StatusOK)
	for at, want := range map[string]any{
		"data.0.action": "PROFILE_UPDATE", "data.0.resourceType": "USER", "data.0.resourceId": id, "data.0.ipAddress": "192.0.2.1",
		"data.0.metadata.before.fullName": "ada", "data.0.metadata.after.fullName": "Ada Lovelace", "data.0.success": true, "pagination.limit": 1.0,
	} {
		require.Equal(t, want, did.at(at), at)
	}
	require.EqualValues(t, 1, s.by(t, ada, http.MethodGet, "/api/v1/users/me/activity?action=LOGIN", "").at("pagination.total"))
	require.Equal(t, "limit", s.by(t, ada, http.MethodGet, "/api/v1/users/me/activity?limit=101", "").problem(http.StatusBadRequest, "VALIDATION_ERROR"))

	stats := s.by(t, ada, http.MethodGet, "/api/v1/users/me/stats", "").is(http.StatusOK).body()
	require.Len(t, stats, 2, "nothing is made up")
	require.Contains(t, stats, "lastLogin")
	require.Contains(t, stats, "memberSince")
}

// Users are listed by page, and found by name, role, and whether they are active.
func TestListUsers(t *testing.T) {
	s := idle(t)
	for _, name := range []string{"ada@example.com", "bob@example.com", "100%_sure"} {
		s.as(t, name, user)
	}
	s.as(t, "cleo@example.com", admin, user)
	for query, want := range map[string]int{
		"": 5, "?search=BOB@": 1, "?search=%25_": 1, "?search=nobody": 0, "?role=admin": 1, "?role=user": 4, "?role=king": 0,
		"?isActive=true": 4, "?isActive=false": 1, "?isActive=": 5, "?role=user&isActive=true&search=example": 3,
	} {
		rep := s.get(t, "/api/v1/users"+query).is(http.StatusOK)
		require.EqualValues(t, want, rep.at("pagination.total"), query)
		require.Len(t, rep.at("data"), want, query)
	}
	page := s.get(t, "/api/v1/users?limit=2&page=2").is(http.StatusOK)
	require.Equal(t, map[string]any{"page": 2.0, "limit": 2.0, "total": 5.0, "totalPages": 3.0}, page.at("pagination"))
	for at, want := range map[string]any{"data.0.username": "bob@example.com", "data.0.fullName": "bob", "data.0.roles": []any{"user"}, "data.0.isActive": true} {
		require.Equal(t, want, page.at(at), at)
	}
	system := s.get(t, "/api/v1/users?isActive=false")
	require.Equal(t, "system", system.at("data.0.username"))
	require.Equal(t, []any{}, system.at("data.0.roles"))
	for query, field := range map[string]string{"?page=0": "page", "?limit=101": "limit", "?isActive=maybe": "isActive"} {
		require.Equal(t, field, s.get(t, "/api/v1/users"+query).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	}

	names := s.get(t, "/api/v1/admin/users").is(http.StatusOK)
	require.EqualValues(t, 4, names.at("total"))
	require.Equal(t, map[string]any{"userId": s.user(t, "100%_sure").ID.String(), "username": "100%_sure", "email": ""}, names.at("users.0"))
}

// Roles are changed from the next request on; nobody takes the last admin away, nor raises
// himself.
func TestSetUserRoles(t *testing.T) {
	s := idle(t)
	ada, bob := s.as(t, "ada", admin, user), s.as(t, "bob", admin, user)
	set := func(who, of, roles string) reply {
		return s.by(t, who, http.MethodPatch, "/api/v1/users/"+s.user(t, of).ID.String(), `{"roles": `+roles+`}`)
	}
	rep := set(ada, "bob", `["user", "admin-readonly", "user"]`).is(http.StatusOK)
	require.Equal(t, []any{"admin-readonly", "user"}, rep.at("roles"))
	require.Contains(t, rep.body(), "createdAt")
	set(bob, "ada", `["user"]`).problem(http.StatusForbidden, "FORBIDDEN")
	s.by(t, bob, http.MethodGet, "/api/v1/users", "").is(http.StatusOK)

	set(ada, "ada", `["user"]`).problem(http.StatusForbidden, "FORBIDDEN")
	denied := s.entries(t, store.AuditQuery{Action: models.AuditDenied})
	require.Len(t, denied, 2)
	require.Equal(t, s.user(t, "ada").ID.String(), denied[0].Actor)
	require.Contains(t, denied[0].Failure, "from yourself")
	require.Contains(t, denied[1].Failure, "Required permission: users:write")
	set("Bearer "+adminKey, "ada", `["user"]`).problem(http.StatusConflict, "CONFLICT")

	require.Equal(t, "roles", set(ada, "bob", `["king"]`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	require.Equal(t, "roles", set(ada, "bob", `"user"`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	require.Equal(t, "roles", s.by(t, ada, http.MethodPatch, "/api/v1/users/"+s.user(t, "bob").ID.String(), `{}`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	s.by(t, ada, http.MethodPatch, "/api/v1/users/"+uuid.NewString(), `{"roles": []}`).problem(http.StatusNotFound, "NOT_FOUND")
	set(ada, "system", `["admin"]`).problem(http.StatusForbidden, "FORBIDDEN")
	for _, action := range []models.AuditAction{models.AuditRoleGrant, models.AuditRoleRevoke} {
		found := s.entries(t, store.AuditQuery{Action: action, ResourceID: s.user(t, "bob").ID.String(), Actor: s.user(t, "ada").ID.String()})
		require.Len(t, found, 1, action)
		require.Equal(t, "192.0.2.1", found[0].IP)
	}
}

// An admin sees of a user what there is to see.
func TestGetUser(t *testing.T) {
	s := idle(t)
	s.as(t, "ada@example.com", user)
	ada := s.user(t, "ada@example.com")
	_, err := s.Store.AssignRole(t.Context(), ada.ID, "admin-readonly", models.System("test"), models.Permissions{models.Everything})
	require.NoError(t, err)
	rep := s.get(t, "/api/v1/admin/users/"+ada.ID.String()).is(http.StatusOK)
	for at, want := range map[string]any{
		"id": ada.ID.String(), "username": "ada@example.com", "email": "ada@example.com", "fullName": "ada", "roles": []any{"admin-readonly", "user"},
		"isActive": true, "holds": []any{}, "provider": "mock", "emailVerified": true, "syncStatus": "pending",
		"grants.0.role": "admin-readonly", "grants.0.source": "manual", "grants.0.grantedBy": "system",
	} {
		require.Equal(t, want, rep.at(at), at)
	}
	for _, name := range []string{"currentSpend", "maxBudget", "subscriptionsCount", "apiKeysCount", "syncError"} {
		require.NotContains(t, rep.body(), name, "nothing is made up")
	}
	require.NoError(t, s.Store.FailUser(t.Context(), ada.ID, ada.Generation, "the e-mail address is taken", models.System("test")))
	failed := s.get(t, "/api/v1/admin/users/"+ada.ID.String()).is(http.StatusOK)
	require.Equal(t, "error", failed.at("syncStatus"))
	require.Equal(t, "the e-mail address is taken", failed.at("syncError"))
	s.get(t, "/api/v1/admin/users/"+uuid.NewString()).problem(http.StatusNotFound, "NOT_FOUND")
	require.Equal(t, "id", s.get(t, "/api/v1/admin/users/x").problem(http.StatusBadRequest, "VALIDATION_ERROR"))
}

// A user who leaves is out at once, here and at LiteLLM, and comes back the same way.
func TestDeactivateUser(t *testing.T) {
	s, proxy, _ := running(t)
	ada := s.signIn(t, "1")
	id := s.user(t, "user@example.com").ID
	at := "/api/v1/admin/users/" + id.String()
	gone := s.call(t, http.MethodPost, at+"/deactivate", `{"reason": "left the company"}`).is(http.StatusOK)
	for path, want := range map[string]any{"isActive": false, "holds": []any{"offboarded"}, "syncStatus": "synced"} {
		require.Equal(t, want, gone.at(path), path)
	}
	s.by(t, ada, http.MethodGet, "/api/v1/auth/me", "").problem(http.StatusUnauthorized, "UNAUTHORIZED")
	held, err := litellmtest.Serve(t, proxy).User(t.Context(), id.String())
	require.NoError(t, err)
	require.EqualValues(t, 0, *held.MaxBudget)
	why := s.entries(t, store.AuditQuery{Action: models.AuditUserDeactivate})
	require.Len(t, why, 1)
	require.JSONEq(t, `{"reason": "left the company"}`, string(why[0].Detail))
	require.Equal(t, "192.0.2.1", why[0].IP)
	s.call(t, http.MethodPost, at+"/deactivate", "").is(http.StatusOK)

	back := s.call(t, http.MethodPost, at+"/reinstate", "").is(http.StatusOK)
	for path, want := range map[string]any{"isActive": true, "holds": []any{}, "syncStatus": "synced"} {
		require.Equal(t, want, back.at(path), path)
	}
	s.by(t, ada, http.MethodGet, "/api/v1/auth/me", "").problem(http.StatusUnauthorized, "UNAUTHORIZED")
	s.by(t, s.signIn(t, "1"), http.MethodGet, "/api/v1/auth/me", "").is(http.StatusOK)
	require.Len(t, s.entries(t, store.AuditQuery{Action: models.AuditUserReinstate}), 1)
}

// While Temporal is away a user is out all the same; the answer says that LiteLLM is yet to be
// told.
func TestDeactivateUserAlone(t *testing.T) {
	s := idle(t)
	ada, bob := s.as(t, "ada", admin), s.as(t, "bob", user)
	at := func(name string) string { return "/api/v1/admin/users/" + s.user(t, name).ID.String() }
	gone := s.by(t, ada, http.MethodPost, at("bob")+"/deactivate", "").is(http.StatusAccepted)
	require.Equal(t, "pending", gone.at("syncStatus"))
	s.by(t, bob, http.MethodGet, "/api/v1/auth/me", "").is(http.StatusUnauthorized)
	s.by(t, ada, http.MethodPost, at("bob")+"/reinstate", "").is(http.StatusAccepted)

	s.by(t, ada, http.MethodPost, at("ada")+"/deactivate", "").problem(http.StatusForbidden, "FORBIDDEN")
	s.call(t, http.MethodPost, at("ada")+"/deactivate", "").problem(http.StatusConflict, "CONFLICT")
	s.by(t, ada, http.MethodPost, at("system")+"/deactivate", "").problem(http.StatusForbidden, "FORBIDDEN")
	for _, verb := range []string{"/deactivate", "/reinstate"} {
		s.by(t, ada, http.MethodPost, "/api/v1/admin/users/"+uuid.NewString()+verb, "").problem(http.StatusNotFound, "NOT_FOUND")
		require.Equal(t, "reason", s.by(t, ada, http.MethodPost, at("bob")+verb, `{"reason": 1}`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
		require.Equal(t, "id", s.by(t, ada, http.MethodPost, "/api/v1/admin/users/x"+verb, "").problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	}
}
