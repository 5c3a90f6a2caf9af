package api_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// What is left out of a user's limits stays; null is none, and 0 is nothing, here and at LiteLLM.
func TestSetUserLimits(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	secret := s.make(t, s.ada, `{"modelIds": ["gpt-4o"]}`).is(http.StatusCreated).at("key").(string)
	ada := s.user(t, "ada@example.com").ID
	path := "/api/v1/admin/users/" + ada.String() + "/budget-limits"
	set := s.by(t, s.root, http.MethodPatch, path, `{"maxBudget": 200, "tpmLimit": 200000, "rpmLimit": 240}`).is(http.StatusOK)
	require.Equal(t, []any{ada.String(), 200.0, 200000.0, 240.0, nil}, []any{id(set), set.at("maxBudget"), set.at("tpmLimit"), set.at("rpmLimit"), set.at("budgetDuration")})
	require.Contains(t, set.body(), "budgetDuration")
	seen, err := s.llm.User(t.Context(), ada.String())
	require.NoError(t, err)
	require.Equal(t, []any{200 * models.Dollar, int64(240)}, []any{*seen.MaxBudget, *seen.RPM})

	none := s.by(t, s.root, http.MethodPatch, path, `{"maxBudget": null, "rpmLimit": null, "budgetDuration": "monthly"}`).is(http.StatusOK)
	require.Equal(t, []any{nil, 200000.0, nil, "monthly"}, []any{none.at("maxBudget"), none.at("tpmLimit"), none.at("rpmLimit"), none.at("budgetDuration")})
	usage := s.by(t, s.ada, http.MethodGet, "/api/v1/usage/budget", "").is(http.StatusOK)
	require.NotContains(t, usage.body(), "maxBudget")
	require.NotEmpty(t, usage.at("budgetResetAt"))
	require.Equal(t, "valid", s.can(t, secret))

	nothing := s.by(t, s.root, http.MethodPatch, path, `{"maxBudget": 0}`).is(http.StatusOK)
	require.Equal(t, []any{0.0, "monthly"}, []any{nothing.at("maxBudget"), nothing.at("budgetDuration")})
	require.Equal(t, "budget_exceeded", s.can(t, secret))
	require.Equal(t, 3, s.logged(t, models.AuditUserBudget))
	same := s.by(t, s.root, http.MethodPatch, path, `{}`).is(http.StatusOK)
	require.Equal(t, nothing.body(), same.body())
	require.Equal(t, 3, s.logged(t, models.AuditUserBudget))

	for body, field := range map[string]string{
		`{"maxBudget": -5}`: "maxBudget", `{"tpmLimit": 1.5}`: "tpmLimit", `{"rpmLimit": -1}`: "rpmLimit", `{"budgetDuration": "fortnight"}`: "budgetDuration", `{"maxBudget": 1000000001}`: "maxBudget",
	} {
		require.Equal(t, field, s.by(t, s.root, http.MethodPatch, path, body).problem(http.StatusBadRequest, "VALIDATION_ERROR"), body)
	}
	s.by(t, s.root, http.MethodPatch, "/api/v1/admin/users/"+uuid.NewString()+"/budget-limits", `{"maxBudget": 1}`).problem(http.StatusNotFound, "NOT_FOUND")
}

// While LiteLLM is away, the limits are written down, and 202 says that it has yet to follow.
func TestSetUserLimitsWithLiteLLMAway(t *testing.T) {
	s := open(t)
	back := s.cut(t)
	path := "/api/v1/admin/users/" + s.user(t, "ada@example.com").ID.String()
	require.EqualValues(t, 7, s.by(t, s.root, http.MethodPatch, path+"/budget-limits", `{"maxBudget": 7}`).is(http.StatusAccepted).at("maxBudget"))
	require.EqualValues(t, 0, s.by(t, s.root, http.MethodPost, path+"/reset-spend", "").is(http.StatusAccepted).at("currentSpend"))
	back()
	s.by(t, s.root, http.MethodPatch, path+"/budget-limits", `{"maxBudget": 8}`).is(http.StatusOK)
}

// What a user spent is counted from zero, and what was held for it is not any more.
func TestResetUserSpend(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	secret := s.make(t, s.ada, `{"modelIds": ["gpt-4o"]}`).is(http.StatusCreated).at("key").(string)
	ada := s.allow(t, "ada@example.com", 100)
	s.spend(t, ada, 100)
	require.Equal(t, true, s.by(t, s.root, http.MethodPatch, s.budget(t, models.BudgetOfUser, ada, ""), `{"softAmount": 1}`).at("held"))
	require.Equal(t, "budget_exceeded", s.can(t, secret))
	path := "/api/v1/admin/users/" + ada.String() + "/reset-spend"
	for range 2 {
		reset := s.by(t, s.root, http.MethodPost, path, "").is(http.StatusOK)
		require.Equal(t, []any{ada.String(), 0.0}, []any{id(reset), reset.at("currentSpend")})
		require.NotEmpty(t, reset.at("resetAt"))
	}
	require.Equal(t, "valid", s.can(t, secret))
	usage := s.by(t, s.ada, http.MethodGet, "/api/v1/usage/budget", "").is(http.StatusOK)
	require.Equal(t, []any{100.0, 0.0}, []any{usage.at("maxBudget"), usage.at("currentSpend")})
	require.NotContains(t, usage.body(), "held")
	require.Equal(t, 2, s.logged(t, models.AuditUserSpend))
	s.by(t, s.root, http.MethodPost, "/api/v1/admin/users/"+uuid.NewString()+"/reset-spend", "").problem(http.StatusNotFound, "NOT_FOUND")
}
