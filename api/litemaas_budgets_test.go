package api_test

import "testing"

// What LiteMaaS was recorded to answer about budgets, as names that our answers have too; see
// TestAnswersAreLiteMaaSs.
func TestBudgetAnswersAreLiteMaaSs(t *testing.T) {
	s := open(t)
	const invalid = "error.code error.message error.statusCode error.details.suggestion error.requestId error.timestamp " +
		"error.details.validation.0.field error.details.validation.0.message error.details.validation.0.code"
	admins := "/api/v1/admin/users/" + s.allow(t, "ada@example.com", 100).String()
	for _, tc := range []struct {
		name, who, method, path, body string
		status                        int
		names                         string
	}{
		{"usage.budget", s.ada, "GET", "/api/v1/usage/budget", "", 200, "maxBudget currentSpend"},
		{"admin.user.budget-limits", s.root, "PATCH", admins + "/budget-limits", `{"maxBudget":200,"tpmLimit":200000,"rpmLimit":240}`, 200, "id updatedAt maxBudget tpmLimit rpmLimit"},
		{"as the web UI asks", s.root, "PATCH", admins + "/budget-limits", `{"maxBudget":200,"tpmLimit":200000,"rpmLimit":240,"budgetDuration":"monthly"}`, 200, "id updatedAt maxBudget tpmLimit rpmLimit budgetDuration"},
		{"usage.budget of a period", s.ada, "GET", "/api/v1/usage/budget", "", 200, "maxBudget currentSpend budgetDuration budgetResetAt"},
		{"admin.user.budget-limits.400", s.root, "PATCH", admins + "/budget-limits", `{"maxBudget":-5}`, 400, invalid},
		{"admin.user.reset-spend, by its description", s.root, "POST", admins + "/reset-spend", "", 200, "id currentSpend resetAt"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s.by(t, tc.who, tc.method, tc.path, tc.body).is(tc.status).names(tc.names)
		})
	}
}
