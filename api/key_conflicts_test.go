package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/workflows"
)

// driftKey is a key of ada's for a model, which LiteLLM holds since before the next sync.
func (s shop) driftKey(t *testing.T, model string) models.Key {
	t.Helper()
	k := storetest.Key(t, s.Store, s.user(t, "ada@example.com").ID, func(k *models.Key) { k.Limits.TPM = new(int64(5)) }, model)
	run, err := workflows.Start(t.Context(), s.Temporal, workflows.ReconcileKey, workflows.ReconcileKeyInput{KeyID: k.ID, New: true})
	require.NoError(t, err)
	_, err = run.Wait(t.Context(), time.Minute)
	require.NoError(t, err)
	_, err = s.sql.Exec("UPDATE api_keys SET updated_at = now() - interval '1 second' WHERE id = $1", k.ID)
	require.NoError(t, err)
	return k
}

// compares is the part of a sync that is about keys, by these rules.
func (s shop) compares(t *testing.T, rules models.KeySync) {
	t.Helper()
	run := models.SyncRun{ID: uuid.New(), WorkflowID: "full-sync", Kind: models.SyncFull, Trigger: models.SyncByPerson, Actor: "ada"}
	require.NoError(t, s.Store.BeginSyncRun(t.Context(), run, time.Hour))
	page, err := s.llm.Keys(t.Context(), litellm.KeyFilter{}, 1, 100)
	require.NoError(t, err)
	require.NoError(t, s.Store.StageKeys(t.Context(), run.ID, page.Keys))
	rules.Guard = models.Guard{MaxRemovedPercent: 20, MinRemoved: 3}
	_, err = s.Store.CompareKeys(t.Context(), run.ID, rules)
	require.NoError(t, err)
}

// A person decides whose word counts about a field, once, and LiteLLM follows: at once, or when it
// is back.
func TestKeyConflicts(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	k := s.driftKey(t, "gpt-4o")
	tampered := litellm.KeyLimits{
		Models: k.Models, Alias: k.Alias, TPM: new(int64(50)), RPM: new(int64(7)), Metadata: map[string]any{"created_by": "litemaas"},
	}
	require.NoError(t, s.llm.UpdateKey(t.Context(), k.Hash, tampered))
	s.compares(t, models.KeySync{Strategy: models.KeysManual})

	list := s.get(t, "/api/v1/sync/conflicts?state=open&keyId="+k.ID.String()).is(http.StatusOK)
	require.EqualValues(t, 2, list.at("pagination.total"))
	of := map[string]string{}
	for _, one := range list.at("data").([]any) {
		c := one.(map[string]any)
		require.Equal(t, k.ID.String(), c["keyId"])
		require.Equal(t, k.UserID.String(), c["userId"])
		require.Equal(t, "open", c["state"])
		of[c["field"].(string)] = "/api/v1/sync/conflicts/" + c["id"].(string)
	}
	one := s.get(t, of["tpm_limit"]).is(http.StatusOK)
	require.EqualValues(t, 5, one.at("ours"))
	require.EqualValues(t, 50, one.at("theirs"))
	require.Nil(t, s.get(t, of["rpm_limit"]).is(http.StatusOK).at("ours"))
	require.EqualValues(t, 0, s.get(t, "/api/v1/sync/conflicts?keyId="+uuid.NewString()).is(http.StatusOK).at("pagination.total"))
	s.get(t, "/api/v1/sync/conflicts?state=odd").problem(http.StatusBadRequest, "VALIDATION_ERROR")
	s.get(t, "/api/v1/sync/conflicts?keyId=odd").problem(http.StatusBadRequest, "VALIDATION_ERROR")
	s.get(t, "/api/v1/sync/conflicts/"+uuid.NewString()).problem(http.StatusNotFound, "NOT_FOUND")

	post := func(path, body string) reply { return s.call(t, http.MethodPost, path+"/resolve", body) }
	post(of["tpm_limit"], `{"use": "neither"}`).problem(http.StatusBadRequest, "VALIDATION_ERROR")
	post(of["tpm_limit"], `{}`).problem(http.StatusBadRequest, "VALIDATION_ERROR")
	post("/api/v1/sync/conflicts/"+uuid.NewString(), `{"use": "ours"}`).problem(http.StatusNotFound, "NOT_FOUND")
	done := post(of["tpm_limit"], `{"use": "theirs"}`).is(http.StatusOK)
	require.Equal(t, "resolved", done.at("state"))
	require.Equal(t, "theirs", done.at("resolution"))
	require.NotEmpty(t, done.at("resolvedBy"))
	post(of["tpm_limit"], `{"use": "theirs"}`).is(http.StatusOK)
	post(of["tpm_limit"], `{"use": "ours"}`).problem(http.StatusConflict, "CONFLICT")
	seen, err := s.llm.Key(t.Context(), k.Hash)
	require.NoError(t, err)
	require.Equal(t, int64(50), *seen.TPM)
	require.Equal(t, int64(7), *seen.RPM, "nobody has decided about it")

	back := s.cut(t)
	post(of["rpm_limit"], `{"use": "ours"}`).is(http.StatusAccepted)
	back()
	require.Eventually(t, func() bool {
		seen, err := s.llm.Key(t.Context(), k.Hash)
		return err == nil && seen.RPM == nil
	}, 30*time.Second, 100*time.Millisecond)
}
