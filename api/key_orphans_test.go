package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
)

// Keys that are not ours are listed; an admin adopts, releases or deletes them, and LiteLLM
// follows: at once, or when it is back.
func TestKeyOrphans(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	s.driftKey(t, "gpt-4o")
	ada := s.user(t, "ada@example.com").ID
	var path []string
	for _, name := range []string{"a", "b", "c"} {
		k := litellm.NewKey{
			KeyLimits: litellm.KeyLimits{Models: []string{"gpt-4o"}, Metadata: map[string]any{"created_by": "litemaas"}},
			Secret:    models.SecretOf("sk-of-nobody-we-know-" + name), UserID: "stranger",
		}
		if name == "c" {
			k.Metadata, k.UserID = nil, ada.String()
		}
		require.NoError(t, s.llm.GenerateKey(t.Context(), k))
		path = append(path, "/api/v1/sync/orphans/"+k.Secret.Hash())
	}
	s.compares(t, models.KeySync{})
	hash := func(i int) string { return strings.TrimPrefix(path[i], "/api/v1/sync/orphans/") }
	all := s.get(t, "/api/v1/sync/orphans?state=seen&suspect=true").is(http.StatusOK)
	require.EqualValues(t, 3, all.at("pagination.total"))
	require.Equal(t, true, all.at("data.0.suspect"))
	require.EqualValues(t, 0, s.get(t, "/api/v1/sync/orphans?suspect=false").is(http.StatusOK).at("pagination.total"))
	s.get(t, "/api/v1/sync/orphans?state=odd").problem(http.StatusBadRequest, "VALIDATION_ERROR")
	s.get(t, "/api/v1/sync/orphans?suspect=odd").problem(http.StatusBadRequest, "VALIDATION_ERROR")

	post := func(i int, what, body string) reply { return s.call(t, http.MethodPost, path[i]+what, body) }
	s.call(t, http.MethodDelete, "/api/v1/sync/orphans/odd", "").problem(http.StatusBadRequest, "VALIDATION_ERROR")
	s.call(t, http.MethodDelete, "/api/v1/sync/orphans/"+strings.Repeat("0", 64), "").problem(http.StatusNotFound, "NOT_FOUND")
	s.call(t, http.MethodPost, "/api/v1/sync/orphans/"+strings.Repeat("0", 64)+"/adopt", "").problem(http.StatusNotFound, "NOT_FOUND")
	post(0, "/adopt", "").problem(http.StatusBadRequest, "VALIDATION_ERROR")
	post(0, "/adopt", `{"userId": "odd"}`).problem(http.StatusBadRequest, "VALIDATION_ERROR")
	post(0, "/adopt", `{"userId": "`+uuid.NewString()+`"}`).problem(http.StatusBadRequest, "VALIDATION_ERROR")
	post(0, "/adopt", `{"userId": "`+s.user(t, "root@example.com").ID.String()+`"}`).problem(http.StatusConflict, "CONFLICT")

	adopted := post(2, "/adopt", "").is(http.StatusOK)
	require.Equal(t, "adopted", adopted.at("state"))
	k, err := s.Store.Key(t.Context(), uuid.MustParse(adopted.at("keyId").(string)))
	require.NoError(t, err)
	require.Equal(t, ada, k.UserID)
	require.Equal(t, models.KeyActive, k.Status())
	require.Equal(t, adopted.at("keyId"), post(2, "/adopt", "").is(http.StatusOK).at("keyId"), "the same again")
	s.call(t, http.MethodDelete, path[2], "").problem(http.StatusConflict, "CONFLICT")

	quarantine := models.KeySync{Orphans: models.OrphansQuarantined, OrphanDelay: time.Hour}
	s.compares(t, quarantine)
	require.NotEmpty(t, s.get(t, "/api/v1/sync/orphans?state=quarantined").is(http.StatusOK).at("data.0.deleteAfter"))
	released := post(0, "/release", "").is(http.StatusOK) // the walk sees to the other one too
	require.Equal(t, "released", released.at("state"))
	require.Equal(t, true, released.at("settled"))
	seen, err := s.llm.Key(t.Context(), hash(0))
	require.NoError(t, err)
	require.False(t, seen.Blocked)
	seen, err = s.llm.Key(t.Context(), hash(1))
	require.NoError(t, err)
	require.True(t, seen.Blocked)

	back := s.cut(t)
	require.Equal(t, false, s.call(t, http.MethodDelete, path[1], "").is(http.StatusAccepted).at("settled"))
	back()
	require.Equal(t, true, s.call(t, http.MethodDelete, path[1], "").is(http.StatusOK).at("settled"), "the same again")
	_, err = s.llm.Key(t.Context(), hash(1))
	require.Equal(t, models.NotFound, models.KindOf(err))
	post(1, "/release", "").problem(http.StatusConflict, "CONFLICT")
}
