package api_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// An admin subscribes a user, past approvals and denials; what is there already stays.
func TestCreateUserSubscriptions(t *testing.T) {
	s := open(t)
	ada := s.user(t, "ada@example.com")
	waiting := s.waits(t, "gpt-4o")
	active := s.has(t, s.ada, "gpt-4.1")
	denied := s.has(t, s.ada, "o4-mini")
	s.decide(t, s.root, "deny", denied[len(denied)-36:]).is(http.StatusOK)
	given := s.has(t, s.ada, "phi-4")
	s.by(t, s.ada, http.MethodPost, given+"/cancel", "").is(http.StatusOK)
	s.restrict(t, "codestral", true).is(http.StatusOK)

	rep := s.give(t, "gpt-4o", "gpt-4.1", "o4-mini", "phi-4", "codestral", "codestral", "no-such-model").is(http.StatusCreated)
	made := rep.at("created").([]any)
	require.Len(t, made, 1)
	require.Equal(t, "codestral", made[0].(map[string]any)["modelId"])
	require.Equal(t, []any{
		map[string]any{"modelId": "gpt-4o", "subscriptionId": waiting, "previousStatus": "pending"},
		map[string]any{"modelId": "o4-mini", "subscriptionId": denied[len(denied)-36:], "previousStatus": "denied"},
		map[string]any{"modelId": "phi-4", "subscriptionId": given[len(given)-36:], "previousStatus": "inactive"},
	}, rep.at("activated"))
	require.Equal(t, []any{"gpt-4.1"}, rep.at("alreadyActive"))
	require.Equal(t, "no-such-model", rep.at("errors.0.modelId"))
	require.Len(t, rep.at("errors"), 1)
	require.Equal(t, []any{}, rep.at("unsettled"))
	require.EqualValues(t, 5, s.by(t, s.ada, http.MethodGet, "/api/v1/subscriptions?status=active", "").at("total"))
	require.EqualValues(t, 10_000, s.by(t, s.ada, http.MethodGet, active, "").at("quotaRequests"))

	path := "/api/v1/admin/users/" + ada.ID.String() + "/subscriptions"
	all := s.get(t, path).is(http.StatusOK)
	require.EqualValues(t, 5, all.at("pagination.total"))
	for _, name := range []string{"id", "modelId", "modelName", "provider", "status", "statusReason", "createdAt", "statusChangedAt"} {
		require.Contains(t, all.at("data.0"), name)
	}
	require.EqualValues(t, 0, s.get(t, path+"?status=denied").is(http.StatusOK).at("pagination.total"))
	require.Len(t, s.get(t, path+"?limit=2&page=3").is(http.StatusOK).at("data"), 1)

	for body, field := range map[string]string{
		`{}`: "modelIds", `{"modelIds": []}`: "modelIds", `{"modelIds": [""]}`: "modelIds[0]", `{"modelIds": [1]}`: "modelIds[0]", `{"modelIds": ["\u0000"]}`: "modelIds[0]",
	} {
		require.Equal(t, field, s.call(t, http.MethodPost, path, body).problem(http.StatusBadRequest, "VALIDATION_ERROR"), body)
	}
	require.Equal(t, "status", s.get(t, path+"?status=odd").problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	require.Equal(t, "modelId", s.give(t, "no-such-model").problem(http.StatusNotFound, "NOT_FOUND"))
	nobodys := "/api/v1/admin/users/" + uuid.NewString() + "/subscriptions"
	s.get(t, nobodys).problem(http.StatusNotFound, "NOT_FOUND")
	s.call(t, http.MethodPost, nobodys, `{"modelIds": ["gpt-4o"]}`).problem(http.StatusNotFound, "NOT_FOUND")
}

// For himself an admin asks like anybody else; and while LiteLLM is away the answer says what is
// under way.
func TestCreateUserSubscriptionsLimits(t *testing.T) {
	s := open(t)
	s.restrict(t, "gpt-4o", true).is(http.StatusOK)
	path := "/api/v1/admin/users/" + s.user(t, "root@example.com").ID.String() + "/subscriptions"
	s.by(t, s.root, http.MethodPost, path, `{"modelIds": ["gpt-4o"]}`).is(http.StatusCreated)
	own := s.by(t, s.root, http.MethodGet, "/api/v1/subscriptions", "")
	require.Equal(t, "pending", own.at("data.0.status"))
	require.EqualValues(t, 10_000, own.at("data.0.quotaRequests"))
	s.by(t, s.root, http.MethodPost, path, `{"modelIds": ["gpt-4o"]}`).problem(http.StatusForbidden, "FORBIDDEN")

	back := s.cut(t)
	late := s.give(t, "gpt-4o").is(http.StatusAccepted)
	id := late.at("created.0.subscriptionId")
	require.Equal(t, []any{id}, late.at("unsettled"))
	back()
	require.Equal(t, "active", s.settles(t, s.ada, "/api/v1/subscriptions/"+id.(string)).at("status"))
}
