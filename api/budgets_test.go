package api_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

const budgetsPath = "/api/v1/budgets"

// budget is the path of the budget of a subject.
func (s shop) budget(t *testing.T, of models.BudgetSubject, subject uuid.UUID, model string) string {
	t.Helper()
	b, err := s.Store.BudgetOf(t.Context(), of, subject, model)
	require.NoError(t, err)
	return budgetsPath + "/" + b.ID.String()
}

// spend has a subject have spent so many dollars, as the ledger counts them.
func (s shop) spend(t *testing.T, subject uuid.UUID, dollars int) {
	t.Helper()
	_, err := s.sql.ExecContext(t.Context(), "UPDATE budgets SET spent = $2, due = true WHERE subject_id = $1 AND model_id = ''", subject, int64(dollars)*int64(models.Dollar))
	require.NoError(t, err)
}

// allow gives a user so many dollars.
func (s shop) allow(t *testing.T, username string, dollars int) uuid.UUID {
	t.Helper()
	id := s.user(t, username).ID
	s.by(t, s.root, http.MethodPatch, "/api/v1/admin/users/"+id.String()+"/budget-limits", fmt.Sprintf(`{"maxBudget": %d}`, dollars)).is(http.StatusOK)
	return id
}

// can reports whether a request may be made with the secret of a key now, and if not, why.
func (s shop) can(t *testing.T, secret string) string {
	t.Helper()
	return s.call(t, http.MethodPost, "/api/v1/api-keys/validate", fmt.Sprintf(`{"key": %q, "model": "gpt-4o"}`, secret)).is(http.StatusOK).at("reason").(string)
}

// logged is how often the audit log says so.
func (s shop) logged(t *testing.T, action models.AuditAction) int {
	t.Helper()
	_, total, err := s.Store.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 1, Action: action})
	require.NoError(t, err)
	return total
}

// Admins see the budgets of everybody, and others their own.
func TestListBudgets(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	ada := s.allow(t, "ada@example.com", 100)
	key := s.row(t, s.make(t, s.ada, `{"name": "mine", "modelIds": ["gpt-4o"], "maxBudget": 5, "modelMaxBudget": {"gpt-4o": {"budgetLimit": 2, "timePeriod": "1d"}}}`).is(http.StatusCreated))
	seen := map[string]map[string]any{}
	list := s.by(t, s.root, http.MethodGet, budgetsPath+"?ownerId="+ada.String(), "").is(http.StatusOK)
	for _, b := range list.body()["data"].([]any) {
		seen[b.(map[string]any)["subjectType"].(string)] = b.(map[string]any)
	}
	require.Len(t, seen, 3, "the subscription has no limit")
	require.EqualValues(t, 3, list.at("pagination.total"))
	require.Equal(t, []any{"ada@example.com", "mine", "mine"}, []any{seen["user"]["subjectName"], seen["key"]["subjectName"], seen["key_model"]["subjectName"]})
	require.Equal(t, []any{"ada@example.com", "gpt-4o", 2.0}, []any{seen["key_model"]["owner"], seen["key_model"]["modelId"], seen["key_model"]["amount"]})
	require.Equal(t, key.ID.String(), seen["key"]["subjectId"])

	for query, total := range map[string]int{
		"limited=false&ownerId=" + ada.String(): 4, "subjectType=key": 1, "subjectType=team": 1, "subjectId=" + key.ID.String(): 2, "held=true": 0,
		"held=false&subjectType=key": 1, "subjectType=key&page=2": 1, "ownerId=" + uuid.NewString(): 0,
	} {
		require.EqualValues(t, total, s.by(t, s.root, http.MethodGet, budgetsPath+"?"+query, "").is(http.StatusOK).at("pagination.total"), query)
	}
	for query, field := range map[string]string{"subjectType=dog": "subjectType", "subjectId=x": "subjectId", "held=maybe": "held", "limit=101": "limit"} {
		require.Equal(t, field, s.by(t, s.root, http.MethodGet, budgetsPath+"?"+query, "").problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	}
	require.EqualValues(t, 3, s.by(t, s.ada, http.MethodGet, budgetsPath+"/mine", "").is(http.StatusOK).at("pagination.total"))
	require.EqualValues(t, 4, s.by(t, s.ada, http.MethodGet, budgetsPath+"/mine?limited=false", "").at("pagination.total"))
	require.EqualValues(t, 0, s.by(t, s.boss, http.MethodGet, budgetsPath+"/mine", "").at("pagination.total"))
	require.EqualValues(t, 1, s.by(t, s.boss, http.MethodGet, budgetsPath+"/mine?limited=false", "").at("pagination.total"))

	one := s.by(t, s.root, http.MethodGet, s.budget(t, models.BudgetOfTeam, models.DefaultTeamID, ""), "").is(http.StatusOK)
	require.Equal(t, []any{"Default Team", "monthly", 10000.0}, []any{one.at("subjectName"), one.at("period"), one.at("amount")})
	s.by(t, s.root, http.MethodGet, budgetsPath+"/"+uuid.NewString(), "").problem(http.StatusNotFound, "NOT_FOUND")
	s.by(t, s.root, http.MethodGet, budgetsPath+"/"+uuid.NewString()+"/periods", "").problem(http.StatusNotFound, "NOT_FOUND")
	require.Equal(t, "id", s.by(t, s.root, http.MethodGet, budgetsPath+"/x", "").problem(http.StatusBadRequest, "VALIDATION_ERROR"))
}

// What a budget spent in the periods that are over is kept.
func TestListBudgetPeriods(t *testing.T) {
	s := open(t)
	ada := s.allow(t, "ada@example.com", 100)
	path := s.budget(t, models.BudgetOfUser, ada, "")
	require.Empty(t, s.by(t, s.root, http.MethodGet, path+"/periods", "").is(http.StatusOK).body()["data"])
	start := time.Now().UTC().AddDate(0, -2, 0).Truncate(time.Second)
	_, err := s.sql.ExecContext(t.Context(), `
		UPDATE budgets SET period = 'monthly', starts_at = $2, ends_at = $3, spent = 7000000000, reached = 50 WHERE subject_id = $1`, ada, start, start.AddDate(0, 1, 0))
	require.NoError(t, err)
	now := s.by(t, s.root, http.MethodPatch, path, `{"softAmount": 3}`).is(http.StatusOK)
	require.Equal(t, []any{0.0, 3.0, 0.0}, []any{now.at("spent"), now.at("softAmount"), now.at("reached")})
	old := s.by(t, s.root, http.MethodGet, path+"/periods", "").is(http.StatusOK)
	require.EqualValues(t, 1, old.at("pagination.total"))
	require.Equal(t, []any{7.0, 50.0, 100.0, start.Format(time.RFC3339)}, []any{old.at("data.0.spent"), old.at("data.0.reached"), old.at("data.0.amount"), old.at("data.0.startsAt")})
}

// Whoever has spent his budget is refused, and is not any more from the answer on to who raises it;
// also at LiteLLM.
func TestUpdateBudget(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	made := s.make(t, s.ada, `{"modelIds": ["gpt-4o"], "maxBudget": 5, "budgetDuration": "monthly"}`).is(http.StatusCreated)
	key, secret := s.row(t, made), made.at("key").(string)
	path := s.budget(t, models.BudgetOfKey, key.ID, "")
	require.Equal(t, "valid", s.can(t, secret))
	s.spend(t, key.ID, 5)
	held := s.by(t, s.root, http.MethodPatch, path, `{"softAmount": 4}`)
	require.Equal(t, []any{true, true, 100.0}, []any{held.at("held"), held.at("refused"), held.at("reached")})
	require.Equal(t, "budget_exceeded", s.can(t, secret))

	raised := s.by(t, s.root, http.MethodPatch, path, `{"amount": 10}`).is(http.StatusOK)
	require.Equal(t, []any{10.0, false, false, true, "monthly", 4.0},
		[]any{raised.at("amount"), raised.at("held"), raised.at("refused"), raised.at("settled"), raised.at("period"), raised.at("softAmount")})
	require.Equal(t, "valid", s.can(t, secret))
	now, err := s.Store.Key(t.Context(), key.ID)
	require.NoError(t, err)
	require.Equal(t, []any{10 * models.Dollar, 4 * models.Dollar, true}, []any{*now.Limits.MaxBudget, *now.Terms.SoftBudget, now.Settled()}, "the row of the key says so, too")
	require.Empty(t, now.Holds)
	seen, err := s.llm.Key(t.Context(), key.Hash)
	require.NoError(t, err)
	require.Equal(t, 10*models.Dollar, *seen.MaxBudget)

	free := s.by(t, s.root, http.MethodPatch, path, `{"amount": null, "period": null, "softAmount": null, "thresholds": []}`).is(http.StatusOK)
	require.NotContains(t, free.body(), "amount")
	require.NotContains(t, free.body(), "softAmount")
	require.Empty(t, free.at("period"))
	nothing := s.by(t, s.root, http.MethodPatch, path, `{"amount": 0}`)
	require.Equal(t, []any{0.0, true}, []any{nothing.at("amount"), nothing.at("held")})
	require.Equal(t, "budget_exceeded", s.can(t, secret))
	require.Equal(t, 4, s.logged(t, models.AuditBudgetUpdate))

	for body, field := range map[string]string{
		`{"amount": -1}`: "amount", `{"amount": "x"}`: "amount", `{"softAmount": 1000000001}`: "softAmount", `{"period": "fortnight"}`: "period",
		`{"timeZone": "Mars/Olympus"}`: "timeZone", `{"rolling": 5}`: "rolling", `{"holdAfterSeconds": 604801}`: "holdAfterSeconds",
		`{"thresholds": [{"percent": 0, "actions": []}]}`: "thresholds[0].percent", `{"thresholds": [{"percent": 50, "actions": ["throttle"]}]}`: "thresholds",
	} {
		require.Equal(t, field, s.by(t, s.root, http.MethodPatch, path, body).problem(http.StatusBadRequest, "VALIDATION_ERROR"), body)
	}
	s.by(t, s.root, http.MethodPatch, budgetsPath+"/"+uuid.NewString(), `{"amount": 1}`).problem(http.StatusNotFound, "NOT_FOUND")
	s.by(t, s.ada, http.MethodDelete, keysPath+"/"+id(made), "").is(http.StatusOK)
	s.by(t, s.root, http.MethodPatch, path, `{"amount": 1}`).problem(http.StatusConflict, "CONFLICT")
}

// The amount of each kind of budget is where it is kept, and stays when another one changes.
func TestUpdateBudgetOfEach(t *testing.T) {
	s := open(t)
	sub := s.by(t, s.ada, http.MethodGet, s.has(t, s.ada, "gpt-4o"), "")
	ada := s.user(t, "ada@example.com").ID
	made := s.make(t, s.ada, `{"modelIds": ["gpt-4o"], "modelMaxBudget": {"gpt-4o": {"budgetLimit": 2, "timePeriod": "1d"}}}`).is(http.StatusCreated)
	secret := made.at("key").(string)
	key := s.row(t, made)
	for _, path := range []string{
		s.budget(t, models.BudgetOfUser, ada, ""), s.budget(t, models.BudgetOfTeam, models.DefaultTeamID, ""),
		s.budget(t, models.BudgetOfSubscription, uuid.MustParse(id(sub)), ""), s.budget(t, models.BudgetOfKeyModel, key.ID, "gpt-4o"),
	} {
		soft := s.by(t, s.root, http.MethodPatch, path, `{"softAmount": 1, "timeZone": "Europe/Prague", "throttleRpm": 1}`).is(http.StatusOK)
		set := s.by(t, s.root, http.MethodPatch, path, `{"amount": 8, "period": "7d"}`).is(http.StatusOK)
		require.Equal(t, []any{8.0, "7d", 1.0, "Europe/Prague", 1.0}, []any{set.at("amount"), set.at("period"), set.at("softAmount"), set.at("timeZone"), set.at("throttleRpm")}, soft.at("subjectType"))
	}
	u := s.user(t, "ada@example.com")
	require.Equal(t, []any{8 * models.Dollar, "7d", true}, []any{*u.Limits.MaxBudget, u.Limits.BudgetDuration, u.Settled()})
	seen, err := s.llm.User(t.Context(), ada.String())
	require.NoError(t, err)
	require.Equal(t, 8*models.Dollar, *seen.MaxBudget)
	now, err := s.Store.Key(t.Context(), key.ID)
	require.NoError(t, err)
	require.Equal(t, map[string]models.ModelBudget{"gpt-4o": {Limit: 8 * models.Dollar, Period: "7d"}}, now.Terms.ModelMaxBudget)

	require.Equal(t, "valid", s.can(t, secret))
	model := s.budget(t, models.BudgetOfKeyModel, key.ID, "gpt-4o")
	s.by(t, s.root, http.MethodPatch, model, `{"amount": 0}`)
	require.Equal(t, "budget_exceeded", s.can(t, secret))
	require.Equal(t, "period", s.by(t, s.root, http.MethodPatch, model, `{"period": null}`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	s.by(t, s.root, http.MethodPatch, model, `{"amount": null}`)
	require.Equal(t, "valid", s.can(t, secret))
	now, err = s.Store.Key(t.Context(), key.ID)
	require.NoError(t, err)
	require.Empty(t, now.Terms.ModelMaxBudget)
}

// A person prevents a hold that has not begun, and lifts one that has; once a period is enough.
func TestPardonBudget(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	made := s.make(t, s.ada, `{"modelIds": ["gpt-4o"], "maxBudget": 5, "budgetDuration": "monthly"}`).is(http.StatusCreated)
	key, secret := s.row(t, made), made.at("key").(string)
	path := s.budget(t, models.BudgetOfKey, key.ID, "")
	s.by(t, s.root, http.MethodPost, path+"/pardon", "").problem(http.StatusConflict, "CONFLICT")
	s.spend(t, key.ID, 6)
	window := s.by(t, s.root, http.MethodPatch, path, `{"holdAfterSeconds": 3600}`)
	require.NotEmpty(t, window.at("holdDueAt"))
	require.Equal(t, []any{false, false}, []any{window.at("held"), window.at("refused")})
	require.Equal(t, "valid", s.can(t, secret))
	for range 2 {
		pardoned := s.by(t, s.root, http.MethodPost, path+"/pardon", `{"reason": "demo"}`).is(http.StatusOK)
		require.Equal(t, []any{true, false, nil}, []any{pardoned.at("pardoned"), pardoned.at("held"), pardoned.at("holdDueAt")})
	}
	require.Equal(t, 1, s.logged(t, models.AuditBudgetPardon))

	ada := s.allow(t, "ada@example.com", 100)
	mine := s.budget(t, models.BudgetOfUser, ada, "")
	s.spend(t, ada, 100)
	require.Equal(t, true, s.by(t, s.root, http.MethodPatch, mine, `{"softAmount": 1}`).at("held"))
	require.Equal(t, "budget_exceeded", s.can(t, secret))
	require.Equal(t, false, s.by(t, s.root, http.MethodPost, mine+"/pardon", "").at("held"))
	require.Equal(t, "valid", s.can(t, secret))

	require.Equal(t, true, s.by(t, s.root, http.MethodPatch, mine, `{"amount": 0}`).at("held"))
	s.by(t, s.root, http.MethodPost, mine+"/pardon", "").problem(http.StatusConflict, "CONFLICT")
	s.by(t, s.root, http.MethodPost, budgetsPath+"/"+uuid.NewString()+"/pardon", "").problem(http.StatusNotFound, "NOT_FOUND")
	require.Equal(t, "reason", s.by(t, s.root, http.MethodPost, mine+"/pardon", `{"reason": 5}`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
}

// While the workflow engine is away, a change is written down, and 202 says that nothing follows yet.
func TestBudgetsWithTemporalAway(t *testing.T) {
	s := idle(t)
	s.as(t, "ada", user)
	b, err := s.Store.BudgetOf(t.Context(), models.BudgetOfUser, s.user(t, "ada").ID, "")
	require.NoError(t, err)
	set := s.call(t, http.MethodPatch, budgetsPath+"/"+b.ID.String(), `{"amount": 8}`).is(http.StatusAccepted)
	require.Equal(t, []any{8.0, false}, []any{set.at("amount"), set.at("settled")})
	s.call(t, http.MethodPatch, "/api/v1/admin/users/"+s.user(t, "ada").ID.String()+"/budget-limits", `{"maxBudget": 9}`).is(http.StatusAccepted)
	raised := s.call(t, http.MethodPost, budgetsPath+"/"+b.ID.String()+"/raises",
		fmt.Sprintf(`{"amount": 1, "until": %q, "reason": "x"}`, time.Now().Add(time.Hour).Format(time.RFC3339))).is(http.StatusAccepted)
	require.Equal(t, []any{"active", 10.0}, []any{raised.at("status"), raised.at("budget.limit")})
}
