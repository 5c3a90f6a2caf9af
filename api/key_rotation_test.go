package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/workflows"
)

const keyLifePath = "/api/v1/api-keys/"

// adasKey is a key of ada's, and her header Authorization.
func (s system) adasKey(t *testing.T, edit func(*models.Key)) (k models.Key, ada string) {
	t.Helper()
	ada = s.as(t, "ada", user)
	storetest.LLMs(t, s.Store, "gpt-4o")
	return storetest.Key(t, s.Store, s.user(t, "ada").ID, edit, "gpt-4o"), ada
}

// follows has LiteLLM follow a key's row.
func (s system) follows(t *testing.T, c client.Client, k models.Key) {
	t.Helper()
	run, err := workflows.Nudge(t.Context(), c, workflows.ReconcileKey, workflows.ReconcileKeyInput{KeyID: k.ID, New: true})
	require.NoError(t, err)
	_, err = run.Wait(t.Context(), time.Minute)
	require.NoError(t, err)
}

// taken is whether LiteLLM takes a key.
func taken(t *testing.T, p *litellmtest.Proxy, secret string) bool {
	t.Helper()
	refused, err := litellmtest.Serve(t, p).ProbeKey(t.Context(), "", models.SecretOf(secret))
	require.NoError(t, err)
	return !refused
}

// stands is where a key is now.
func (s system) stands(t *testing.T, id string) models.Key {
	t.Helper()
	k, err := s.Store.Key(t.Context(), uuid.MustParse(id))
	require.NoError(t, err)
	return k
}

// A rotated key and its successor work beside each other, until the old one is retired: then the
// answer says that LiteLLM refuses it, and it does. What is undone leaves the old one alone.
func TestRotateKey(t *testing.T) {
	s, proxy, c := running(t)
	k, ada := s.adasKey(t, func(k *models.Key) { k.Spend = 2 * models.Dollar })
	s.follows(t, c, k)
	proxy.Spend(k.Hash, 1)
	old := storetest.Secret(t, k).Reveal()

	rep := s.by(t, ada, http.MethodPost, keyLifePath+k.ID.String()+"/rotate", "").is(http.StatusOK)
	heir, id := rep.at("key").(string), rep.at("id").(string)
	for field, want := range map[string]any{
		"oldId": k.ID.String(), "oldPrefix": k.Prefix, "keyPrefix": heir[:7], "status": "active",
	} {
		require.Equal(t, want, rep.at(field), field)
	}
	until, err := time.Parse(time.RFC3339, rep.at("graceUntil").(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(24*time.Hour), until, time.Minute)
	require.True(t, taken(t, proxy, old))
	require.True(t, taken(t, proxy, heir))
	held, err := litellmtest.Serve(t, proxy).Key(t.Context(), s.stands(t, id).Hash)
	require.NoError(t, err)
	require.Equal(t, 3*models.Dollar, held.Spend, "what LiteLLM has counted goes with it")
	require.Equal(t, 2*models.Dollar, s.stands(t, id).Spend, "and what the ledger has")

	again := s.by(t, ada, http.MethodPost, keyLifePath+k.ID.String()+"/rotate", `{"gracePeriod": "0"}`)
	again.problem(http.StatusConflict, "CONFLICT")
	require.Contains(t, again.at("message"), "is being rotated already")
	s.by(t, ada, http.MethodPost, keyLifePath+id+"/rotate", "").problem(http.StatusConflict, "CONFLICT")

	rep = s.by(t, ada, http.MethodPost, keyLifePath+k.ID.String()+"/rotate/undo", "").is(http.StatusOK)
	require.Equal(t, "active", rep.at("status"))
	require.True(t, taken(t, proxy, old))
	require.False(t, taken(t, proxy, heir))
	require.Equal(t, models.KeyRevoked, s.stands(t, id).Status())
	s.by(t, ada, http.MethodPost, keyLifePath+k.ID.String()+"/rotate/undo", "").problem(http.StatusConflict, "CONFLICT")
	s.by(t, ada, http.MethodPost, keyLifePath+k.ID.String()+"/rotate/retire", "").problem(http.StatusConflict, "CONFLICT")

	rep = s.by(t, ada, http.MethodPost, keyLifePath+k.ID.String()+"/rotate", `{"gracePeriod": "7d", "retireWhenSilentFor": "2h"}`).is(http.StatusOK)
	heir = rep.at("key").(string)
	for range 2 {
		rep = s.by(t, ada, http.MethodPost, keyLifePath+k.ID.String()+"/rotate/retire", "").is(http.StatusOK)
		require.Equal(t, "revoked", rep.at("status"))
		require.NotEmpty(t, rep.at("revokedAt"))
	}
	require.False(t, taken(t, proxy, old))
	require.True(t, taken(t, proxy, heir))
}

// Without a grace the answer comes when only the new key works.
func TestRotateKeyWithoutGrace(t *testing.T) {
	s, proxy, c := running(t)
	k, ada := s.adasKey(t, nil)
	s.follows(t, c, k)
	rep := s.by(t, ada, http.MethodPost, keyLifePath+k.ID.String()+"/rotate", `{"gracePeriod": "0"}`).is(http.StatusOK)
	require.False(t, taken(t, proxy, storetest.Secret(t, k).Reveal()))
	require.True(t, taken(t, proxy, rep.at("key").(string)))
	require.Equal(t, models.KeyRevoked, s.stands(t, k.ID.String()).Status())
}

// A successor that LiteLLM refuses is given up, and the answer says why: the old key lives on.
func TestRotateKeyIsRefused(t *testing.T) {
	s, proxy, c := running(t)
	k, ada := s.adasKey(t, nil)
	s.follows(t, c, k)
	proxy.Inject(litellmtest.Fault{Path: "/key/generate", Kind: litellmtest.FaultStatus, Status: http.StatusForbidden, Message: "this is an enterprise feature"})
	rep := s.by(t, ada, http.MethodPost, keyLifePath+k.ID.String()+"/rotate", "")
	rep.problem(http.StatusConflict, "CONFLICT")
	require.Contains(t, rep.at("message"), "so the old one lives on")
	require.True(t, taken(t, proxy, storetest.Secret(t, k).Reveal()))
	require.Eventually(t, func() bool { return s.stands(t, k.ID.String()).RetiresAt == nil }, 10*time.Second, 50*time.Millisecond)
}

// While LiteLLM or Temporal is away a rotation is recorded all the same, and the old key works.
func TestRotateKeyWhileSomethingIsAway(t *testing.T) {
	s := idle(t)
	k, ada := s.adasKey(t, nil)
	rep := s.by(t, ada, http.MethodPost, keyLifePath+k.ID.String()+"/rotate", "").is(http.StatusAccepted)
	require.Equal(t, "provisioning", rep.at("status"))
	require.NotEmpty(t, rep.at("key"))
	require.Equal(t, "provisioning", s.by(t, ada, http.MethodPost, keyLifePath+k.ID.String()+"/rotate/retire", "").is(http.StatusAccepted).at("status"),
		"it does not go before its successor works")
	require.Nil(t, s.stands(t, k.ID.String()).RevokedAt)
	s.by(t, ada, http.MethodPost, keyLifePath+k.ID.String()+"/rotate/undo", "").is(http.StatusAccepted)
}

// Bad input is named; what is not the caller's is not there.
func TestRotateKeyInput(t *testing.T) {
	s := idle(t)
	k, ada := s.adasKey(t, nil)
	path := keyLifePath + k.ID.String()
	for _, tc := range []struct{ path, body, field string }{
		{"/rotate", `{"gracePeriod": "soon"}`, "gracePeriod"},
		{"/rotate", `{"gracePeriod": "91d"}`, "gracePeriod"},
		{"/rotate", `{"gracePeriod": "-1s"}`, "gracePeriod"},
		{"/rotate", `{"gracePeriod": 24}`, "gracePeriod"},
		{"/rotate", `{"gracePeriod": "99999999d"}`, "gracePeriod"},
		{"/rotate", `{"retireWhenSilentFor": "9m"}`, "retireWhenSilentFor"},
		{"/rotate", `{"retireWhenSilentFor": "1.5h"}`, "retireWhenSilentFor"},
		{"/rotate", `{"grace": "1h"}`, "grace"},
	} {
		require.Equal(t, tc.field, s.by(t, ada, http.MethodPost, path+tc.path, tc.body).problem(http.StatusBadRequest, "VALIDATION_ERROR"), tc.body)
	}
	for _, body := range []string{`{"rotateEvery": "1h"}`, `{"rotateEvery": "0"}`, `{"rotateEvery": "99999d"}`, `{"rotateEvery": "often"}`} {
		require.Equal(t, "rotateEvery", s.by(t, ada, http.MethodPut, path+"/rotate/policy", body).problem(http.StatusBadRequest, "VALIDATION_ERROR"), body)
	}
	require.Equal(t, "90d", s.by(t, ada, http.MethodPut, path+"/rotate/policy", `{"rotateEvery": "90d"}`).is(http.StatusOK).at("rotateEvery"))
	require.Nil(t, s.by(t, ada, http.MethodPut, path+"/rotate/policy", `{"rotateEvery": null}`).is(http.StatusOK).at("rotateEvery"))
	s.by(t, ada, http.MethodPost, keyLifePath+"none/rotate", "").problem(http.StatusBadRequest, "VALIDATION_ERROR")
	bob := s.as(t, "bob", user)
	rep := s.by(t, bob, http.MethodPost, path+"/rotate", "")
	rep.problem(http.StatusNotFound, "NOT_FOUND")
	require.Equal(t, "API key not found", rep.at("message"))
}

// The secret is shown to who has signed in not long ago, with an entry in the audit log each time.
func TestRevealKey(t *testing.T) {
	s := idle(t)
	k, ada := s.adasKey(t, nil)
	path := keyLifePath + k.ID.String() + "/reveal"
	rep := s.by(t, ada, http.MethodPost, path, "").is(http.StatusOK)
	require.Equal(t, storetest.Secret(t, k).Reveal(), rep.at("key"))
	require.Equal(t, "litellm", rep.at("keyType"))
	require.NotEmpty(t, rep.at("retrievedAt"))
	require.Equal(t, "no-store", rep.Header().Get("Cache-Control"))

	s.Config.RevealMaxAge = time.Nanosecond
	rep = s.by(t, ada, http.MethodPost, path, "")
	rep.problem(http.StatusForbidden, "TOKEN_TOO_OLD")
	require.Equal(t, "Recent authentication required for this operation", rep.at("message"))
	s.Config.RevealMaxAge = time.Hour

	expired, _ := s.adasKey(t, func(k *models.Key) { k.ExpiresAt = new(time.Now().Add(-time.Second)) })
	rep = s.by(t, ada, http.MethodPost, keyLifePath+expired.ID.String()+"/reveal", "")
	rep.problem(http.StatusNotFound, "NOT_FOUND")
	require.Equal(t, "The API key has expired", rep.at("message"))
	_, err := s.Store.EndDueKeys(t.Context(), 10, models.System("test"))
	require.NoError(t, err)
	require.Equal(t, "The API key has expired", s.by(t, ada, http.MethodPost, keyLifePath+expired.ID.String()+"/reveal", "").is(http.StatusNotFound).at("message"))
	made, _ := s.adasKey(t, nil)
	heir := s.by(t, ada, http.MethodPost, keyLifePath+made.ID.String()+"/rotate", "").is(http.StatusAccepted).at("id").(string)
	s.by(t, ada, http.MethodPost, keyLifePath+made.ID.String()+"/rotate/undo", "").is(http.StatusAccepted)
	require.Equal(t, "The API key is revoked", s.by(t, ada, http.MethodPost, keyLifePath+heir+"/reveal", "").is(http.StatusNotFound).at("message"))

	log, _, err := s.Store.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 10, ResourceID: k.ID.String()})
	require.NoError(t, err)
	require.Equal(t, []models.AuditAction{models.AuditUserKeyHidden, models.AuditUserKeyReveal}, []models.AuditAction{log[0].Action, log[1].Action})
	require.NotContains(t, string(log[1].Detail), storetest.Secret(t, k).Reveal())
}

// Reveals have a limit of their own, in the shape that the web UI looks for.
func TestRevealKeyIsLimited(t *testing.T) {
	s, _ := limited(t, "")
	k, ada := s.adasKey(t, nil)
	path := keyLifePath + k.ID.String() + "/reveal"
	s.by(t, ada, http.MethodPost, path, "").is(http.StatusOK)
	rep := s.by(t, ada, http.MethodPost, path, "")
	rep.problem(http.StatusTooManyRequests, "KEY_OPERATION_RATE_LIMITED")
	require.InDelta(t, 300, rep.at("details.retryAfter"), 1)
}

// An admin has the keys revoked whose time is over.
func TestCleanUpKeys(t *testing.T) {
	s, proxy, c := running(t)
	k, _ := s.adasKey(t, func(k *models.Key) { k.ExpiresAt = new(time.Now().Add(time.Hour)) })
	s.follows(t, c, k)
	const path = keyLifePath + "admin/cleanup-expired"
	rep := s.call(t, http.MethodPost, path, "").is(http.StatusOK)
	require.Equal(t, map[string]any{"message": "Expired API keys cleaned up successfully", "cleanedCount": 0.0}, rep.body())
	late, _ := s.adasKey(t, func(k *models.Key) { k.ExpiresAt = new(time.Now().Add(-time.Hour)) })
	rep = s.call(t, http.MethodPost, path, "").is(http.StatusOK)
	require.EqualValues(t, 1, rep.at("cleanedCount"))
	require.Equal(t, models.KeyExpired, s.stands(t, late.ID.String()).Status())
	require.True(t, taken(t, proxy, storetest.Secret(t, k).Reveal()))
}

// Prometheus reads how many revoked keys LiteLLM still takes, so long after.
func TestOverdueRevocationsAreCounted(t *testing.T) {
	at := storetest.URL(t)
	db, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(at), MaxConns: 4})
	require.NoError(t, err)
	defer db.Close()
	s := serve(db, &away{}, &away{})
	s.adasKey(t, nil)
	for set, want := range map[string]string{"revoked_at = now() - interval '3 minutes'": "1", "revoked_at = now()": "0"} {
		_, err = storetest.SQL(t, at).Exec("UPDATE api_keys SET " + set)
		require.NoError(t, err)
		require.Contains(t, s.get(t, "/health/metrics").is(http.StatusOK).Body.String(), "\nlitemaas_key_revocations_overdue "+want+"\n")
	}
}
