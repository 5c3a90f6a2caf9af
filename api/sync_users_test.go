package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// What a sync found about users is in its run, and each of them on a page of its own.
func TestSyncUsers(t *testing.T) {
	s := idle(t)
	s.as(t, "ada@example.com", models.RoleUser)
	ada := s.user(t, "ada@example.com")
	_, err := s.Store.ObserveUser(t.Context(), ada.ID, ada.Generation)
	require.NoError(t, err)
	run := models.SyncRun{ID: uuid.New(), WorkflowID: "full-sync", Kind: models.SyncFull, Trigger: models.SyncByPerson, Actor: "ada"}
	require.NoError(t, s.Store.BeginSyncRun(t.Context(), run, time.Hour))
	path := "/api/v1/sync/runs/" + run.ID.String()
	require.NotContains(t, s.get(t, path).is(http.StatusOK).body(), "users", "it has not looked yet")

	tampered := ada.Proxy()
	tampered.Email = "else@example.com"
	require.NoError(t, s.Store.StageUsers(t.Context(), run.ID, []models.ProxyUser{tampered, {ID: "stranger"}}))
	_, err = s.Store.CompareUsers(t.Context(), run.ID)
	require.NoError(t, err)

	require.Equal(t, map[string]any{"listed": 2.0, "missing": 0.0, "different": 1.0, "unknown": 1.0}, s.get(t, path).is(http.StatusOK).at("users"))
	all := s.get(t, path+"/users").is(http.StatusOK)
	require.EqualValues(t, 2, all.at("pagination.total"))
	one := s.get(t, path+"/users?kind=different").is(http.StatusOK)
	require.Equal(t, []any{map[string]any{
		"userId": ada.ID.String(), "kind": "different",
		"fields": []any{map[string]any{"field": "user_email", "old": "else@example.com", "new": "ada@example.com"}},
	}}, one.at("data"))
	s.get(t, path+"/users?kind=odd").problem(http.StatusBadRequest, "VALIDATION_ERROR")
	s.get(t, "/api/v1/sync/runs/"+uuid.NewString()+"/users").problem(http.StatusNotFound, "NOT_FOUND")
}
