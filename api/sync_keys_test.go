package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// What a sync found about API keys is in its run, and each of them on a page of its own.
func TestSyncKeys(t *testing.T) {
	s := idle(t)
	s.as(t, "ada@example.com", models.RoleUser)
	storetest.LLMs(t, s.Store, "gpt-4o")
	k := storetest.Key(t, s.Store, s.user(t, "ada@example.com").ID, func(k *models.Key) { k.Holds = []models.Hold{models.HoldAdmin} }, "gpt-4o")
	_, err := s.Store.ObserveKey(t.Context(), models.KeyProof{ID: k.ID, Generation: 1})
	require.NoError(t, err)
	run := models.SyncRun{ID: uuid.New(), WorkflowID: "full-sync", Kind: models.SyncFull, Trigger: models.SyncByPerson, Actor: "ada"}
	require.NoError(t, s.Store.BeginSyncRun(t.Context(), run, time.Hour))
	path := "/api/v1/sync/runs/" + run.ID.String()
	require.NotContains(t, s.get(t, path).is(http.StatusOK).body(), "keys", "it has not looked yet")

	tampered := k.Proxy()
	tampered.Blocked = false
	require.NoError(t, s.Store.StageKeys(t.Context(), run.ID, []models.ProxyKey{tampered, {Hash: "stranger", Alias: "ui"}}))
	_, err = s.Store.CompareKeys(t.Context(), run.ID, models.KeySync{Guard: models.Guard{MaxRemovedPercent: 20, MinRemoved: 3}})
	require.NoError(t, err)

	require.Equal(t, map[string]any{"listed": 2.0, "missing": 0.0, "different": 1.0, "unknown": 1.0, "followed": 0.0, "disputed": 0.0, "suspect": 0.0}, s.get(t, path).is(http.StatusOK).at("keys"))
	all := s.get(t, path+"/keys").is(http.StatusOK)
	require.EqualValues(t, 2, all.at("pagination.total"))
	require.Equal(t, []any{
		map[string]any{
			"keyId": k.ID.String(), "hash": k.Hash, "alias": k.Alias, "kind": "different",
			"fields": []any{map[string]any{"field": "blocked", "old": false, "new": true}},
		},
		map[string]any{"keyId": nil, "hash": "stranger", "alias": "ui", "kind": "unknown", "fields": []any{}},
	}, all.at("data"))
	require.EqualValues(t, 1, s.get(t, path+"/keys?kind=unknown").is(http.StatusOK).at("pagination.total"))
	s.get(t, path+"/keys?kind=odd").problem(http.StatusBadRequest, "VALIDATION_ERROR")
	s.get(t, "/api/v1/sync/runs/"+uuid.NewString()+"/keys").problem(http.StatusNotFound, "NOT_FOUND")
}
