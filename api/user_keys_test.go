package api_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// An admin makes keys for a user, who is subscribed to their models by it; the log says so.
func TestCreateUserKey(t *testing.T) {
	s := open(t)
	s.restrict(t, "o4-mini", true).is(http.StatusOK)
	s.has(t, s.ada, "gpt-4o")
	s.by(t, s.ada, http.MethodPost, s.has(t, s.ada, "gpt-4.1")+"/cancel", "").is(http.StatusOK)
	ada := s.user(t, "ada@example.com").ID
	path := "/api/v1/admin/users/" + ada.String() + "/api-keys"
	made := s.by(t, s.root, http.MethodPost, path, `{"name": "by admin", "modelIds": ["gpt-4o", "gpt-4.1", "o4-mini"]}`).is(http.StatusCreated)
	require.Equal(t, true, made.at("isActive"))
	require.ElementsMatch(t, []string{"gpt-4o", "gpt-4.1", "o4-mini"}, s.held(t, s.row(t, made)))
	require.EqualValues(t, 3, s.by(t, s.ada, http.MethodGet, "/api/v1/subscriptions?status=active", "").at("total"))
	require.Equal(t, id(made), s.by(t, s.ada, http.MethodGet, keysPath, "").at("data.0.id"), "it is his")
	for action, n := range map[models.AuditAction]int{
		models.AuditAdminKeyCreate: 1, models.AuditAdminSubscribed: 1, models.AuditAdminResubscribed: 1, models.AuditUserKeyCreate: 0,
	} {
		_, total, err := s.Store.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 10, Action: action})
		require.NoError(t, err)
		require.Equal(t, n, total, action)
	}

	for range models.MaxLiveKeys {
		s.by(t, s.root, http.MethodPost, path, `{"name": "more", "modelIds": ["gpt-4o"]}`).is(http.StatusCreated)
	}
	s.make(t, s.ada, `{"modelIds": ["gpt-4o"]}`).problem(http.StatusBadRequest, "VALIDATION_ERROR")
	require.EqualValues(t, 11, s.by(t, s.root, http.MethodGet, path+"?isActive=true", "").is(http.StatusOK).at("total"))

	for body, field := range map[string]string{
		`{"modelIds": ["gpt-4o"]}`: "name", `{"name": "x"}`: "modelIds", `{"name": "x", "modelIds": []}`: "modelIds",
		`{"name": "x", "modelIds": ["gpt-4o"], "maxParallelRequests": 0}`:             "maxParallelRequests",
		`{"name": "x", "modelIds": ["gpt-4o"], "metadata": {"tags": ["x"]}}`:          "metadata.tags",
		`{"name": "x", "modelIds": ["gpt-4o"], "teamId": "` + uuid.NewString() + `"}`: "teamId",
	} {
		require.Equal(t, field, s.by(t, s.root, http.MethodPost, path, body).problem(http.StatusBadRequest, "VALIDATION_ERROR"), body)
	}
	s.by(t, s.root, http.MethodPost, path, `{"name": "x", "modelIds": ["no-such-model"]}`).problem(http.StatusNotFound, "NOT_FOUND")
	nobodys := "/api/v1/admin/users/" + uuid.NewString() + "/api-keys"
	s.by(t, s.root, http.MethodPost, nobodys, `{"name": "x", "modelIds": ["gpt-4o"]}`).problem(http.StatusNotFound, "NOT_FOUND")
	s.by(t, s.root, http.MethodGet, nobodys, "").problem(http.StatusNotFound, "NOT_FOUND")
}

// For himself an admin asks like anybody else: within the maximums, and without a subscription to
// what needs an approval.
func TestAdminsOwnKeys(t *testing.T) {
	s := open(t)
	s.restrict(t, "o4-mini", true).is(http.StatusOK)
	s.by(t, s.boss, http.MethodPut, "/api/v1/admin/settings/api-key-defaults", `{"defaults": {}, "maximums": {"maxBudget": 100}}`).is(http.StatusOK)
	path := "/api/v1/admin/users/" + s.user(t, "root@example.com").ID.String() + "/api-keys"
	require.Equal(t, "maxBudget", s.by(t, s.root, http.MethodPost, path, `{"name": "x", "modelIds": ["gpt-4o"], "maxBudget": 500}`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	s.by(t, s.root, http.MethodPost, path, `{"name": "x", "modelIds": ["o4-mini"]}`).problem(http.StatusBadRequest, "VALIDATION_ERROR")
	own := s.by(t, s.root, http.MethodPost, path, `{"name": "x", "modelIds": ["gpt-4o"]}`).is(http.StatusCreated)
	require.EqualValues(t, 100, own.at("maxBudget"))
	require.EqualValues(t, 100, s.by(t, s.root, http.MethodPatch, path+"/"+id(own), `{"maxBudget": null}`).is(http.StatusOK).at("maxBudget"))
}

// What an admin revokes is gone at LiteLLM and still in the list; deleted, it is in the names only.
func TestDeleteUserKey(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	made := s.made(t, "gpt-4o")
	path := "/api/v1/admin/users/" + s.user(t, "ada@example.com").ID.String() + "/api-keys"
	require.Equal(t, "revoked", s.by(t, s.root, http.MethodDelete, path+"/"+id(made), `{"reason": "leaked"}`).is(http.StatusOK).at("status"))
	require.Empty(t, s.proxy.Keys())
	require.Equal(t, "leaked", s.row(t, made).RevokedWhy)
	seen := s.by(t, s.ada, http.MethodGet, keysPath, "")
	require.Equal(t, []any{"revoked", false}, []any{seen.at("data.0.status"), seen.at("data.0.isActive")})
	require.NotEmpty(t, seen.at("data.0.revokedAt"))
	s.by(t, s.root, http.MethodDelete, path+"/"+id(made), "").problem(http.StatusConflict, "CONFLICT")
	s.by(t, s.ada, http.MethodPatch, keysPath+"/"+id(made), `{"name": "x"}`).problem(http.StatusConflict, "CONFLICT")
	s.by(t, s.root, http.MethodDelete, path+"/"+id(made)+"?permanent=true", "").is(http.StatusOK)
	require.EqualValues(t, 0, s.by(t, s.root, http.MethodGet, path, "").at("total"))
	names := s.by(t, s.root, http.MethodGet, "/api/v1/admin/api-keys", "").is(http.StatusOK)
	require.Equal(t, true, names.at("apiKeys.0.deleted"))
	require.EqualValues(t, 0, s.by(t, s.root, http.MethodGet, "/api/v1/admin/api-keys?userIds="+uuid.NewString()+"&userIds="+uuid.NewString(), "").at("total"))
	require.Contains(t, []string{"userIds", "userIds[0]"}, s.by(t, s.root, http.MethodGet, "/api/v1/admin/api-keys?userIds=x", "").problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	require.Equal(t, "reason", s.by(t, s.root, http.MethodDelete, path+"/"+id(made), `{"reason": 5}`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
}
