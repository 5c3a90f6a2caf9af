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

// more is the body of who asks for so many dollars more.
func more(dollars int) string {
	return fmt.Sprintf(`{"amount": %d, "until": %q, "reason": "a demo"}`, dollars, time.Now().Add(time.Hour).Format(time.RFC3339))
}

// An admin's raise releases at once, which the answer says, and its end holds again.
func TestRaiseBudget(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	ada := s.allow(t, "ada@example.com", 100)
	secret := s.make(t, s.ada, `{"modelIds": ["gpt-4o"]}`).is(http.StatusCreated).at("key").(string)
	path := s.budget(t, models.BudgetOfUser, ada, "")
	s.spend(t, ada, 100)
	require.Equal(t, true, s.by(t, s.root, http.MethodPatch, path, `{"softAmount": 90}`).at("held"))
	require.Equal(t, "budget_exceeded", s.can(t, secret))

	raise := s.call(t, http.MethodPost, path+"/raises", more(20), "Authorization", s.root, "Idempotency-Key", "r1").is(http.StatusCreated)
	require.Equal(t, []any{"active", "a demo", 120.0, 20.0, false, true},
		[]any{raise.at("status"), raise.at("reason"), raise.at("budget.limit"), raise.at("budget.raised"), raise.at("budget.held"), raise.at("budget.settled")})
	require.Equal(t, "valid", s.can(t, secret))
	again := s.call(t, http.MethodPost, path+"/raises", more(20), "Authorization", s.root, "Idempotency-Key", "r1")
	if again.Code == http.StatusCreated { // else a second began between the two, and the body is another
		require.Equal(t, id(raise), id(again))
	}
	op := s.by(t, s.root, http.MethodGet, "/api/v1/operations?limit=1", "").is(http.StatusOK)
	require.Equal(t, []any{"BUDGET_RAISE", id(raise), "succeeded"}, []any{op.at("data.0.subject.type"), op.at("data.0.subject.id"), op.at("data.0.status")})
	seen, err := s.llm.User(t.Context(), ada.String())
	require.NoError(t, err)
	require.Equal(t, 120*models.Dollar, *seen.MaxBudget)
	usage := s.by(t, s.ada, http.MethodGet, "/api/v1/usage/budget", "").is(http.StatusOK)
	require.Equal(t, []any{120.0, 100.0, 20.0, 90.0, 100.0}, []any{usage.at("maxBudget"), usage.at("currentSpend"), usage.at("raised"), usage.at("softBudget"), usage.at("reached")})

	for range 2 {
		ended := s.by(t, s.root, http.MethodPost, budgetsPath+"/raises/"+id(raise)+"/end", "")
		require.Equal(t, []any{"withdrawn", 100.0, true}, []any{ended.at("status"), ended.at("budget.limit"), ended.at("budget.held")})
	}
	require.Equal(t, "budget_exceeded", s.can(t, secret))
	list := s.by(t, s.root, http.MethodGet, path+"/raises", "").is(http.StatusOK)
	require.Equal(t, []any{id(raise), "withdrawn"}, []any{list.at("data.0.id"), list.at("data.0.status")})
}

// What an owner asks for waits for an admin. Another one's budget is not there for him.
func TestOwnersAskForRaises(t *testing.T) {
	s := open(t)
	sub := s.has(t, s.ada, "gpt-4o")
	ada, root := s.user(t, "ada@example.com").ID, s.user(t, "root@example.com").ID
	key := s.row(t, s.make(t, s.ada, `{"modelIds": ["gpt-4o"], "maxBudget": 5}`).is(http.StatusCreated))
	mine := s.budget(t, models.BudgetOfKey, key.ID, "")
	asked := s.by(t, s.ada, http.MethodPost, mine+"/raises", more(2)).is(http.StatusCreated)
	require.Equal(t, []any{"pending", 5.0, ada.String()}, []any{asked.at("status"), asked.at("budget.limit"), asked.at("requestedBy")})
	require.Equal(t, id(asked), s.by(t, s.ada, http.MethodGet, mine+"/raises", "").is(http.StatusOK).at("data.0.id"))

	approved := s.by(t, s.root, http.MethodPost, budgetsPath+"/raises/"+id(asked)+"/approve", `{"reason": "fine"}`).is(http.StatusOK)
	require.Equal(t, []any{"active", root.String(), "fine", 7.0}, []any{approved.at("status"), approved.at("decidedBy"), approved.at("decidedWhy"), approved.at("budget.limit")})
	for _, verb := range []string{"approve", "deny"} {
		s.by(t, s.root, http.MethodPost, budgetsPath+"/raises/"+id(asked)+"/"+verb, "").problem(http.StatusConflict, "CONFLICT")
	}
	other := s.by(t, s.ada, http.MethodPost, mine+"/raises", more(3)).is(http.StatusCreated)
	denied := s.by(t, s.root, http.MethodPost, budgetsPath+"/raises/"+id(other)+"/deny", `{"reason": "no"}`).is(http.StatusOK)
	require.Equal(t, []any{"denied", "no", 7.0}, []any{denied.at("status"), denied.at("decidedWhy"), denied.at("budget.limit")})

	theirs := s.budget(t, models.BudgetOfUser, root, "")
	for _, path := range []string{theirs, s.budget(t, models.BudgetOfTeam, models.DefaultTeamID, ""), budgetsPath + "/" + uuid.NewString()} {
		s.by(t, s.ada, http.MethodPost, path+"/raises", more(2)).problem(http.StatusNotFound, "NOT_FOUND")
		s.by(t, s.ada, http.MethodGet, path+"/raises", "").problem(http.StatusNotFound, "NOT_FOUND")
	}
	unlimited := s.budget(t, models.BudgetOfSubscription, uuid.MustParse(id(s.by(t, s.ada, http.MethodGet, sub, ""))), "")
	s.by(t, s.ada, http.MethodPost, unlimited+"/raises", more(2)).problem(http.StatusConflict, "CONFLICT")
	until := time.Now().Add(time.Hour).Format(time.RFC3339)
	for body, field := range map[string]string{
		`{"amount": 0, "until": "` + until + `", "reason": "x"}`:               "amount",
		`{"amount": 1, "until": "` + until + `", "reason": ""}`:                "reason",
		`{"amount": 1, "until": "` + until + `"}`:                              "reason",
		`{"amount": 1, "until": "2020-01-01T00:00:00Z", "reason": "x"}`:        "until",
		`{"amount": 1, "until": "2990-01-01T00:00:00Z", "reason": "x"}`:        "until",
		`{"amount": 1, "until": "tomorrow", "reason": "x"}`:                    "until",
		`{"amount": 10000000000, "until": "` + until + `", "reason": "x"}`:     "amount",
		`{"amount": 1, "until": "` + until + `", "reason": "x", "until2": ""}`: "until2",
	} {
		require.Equal(t, field, s.by(t, s.ada, http.MethodPost, mine+"/raises", body).problem(http.StatusBadRequest, "VALIDATION_ERROR"), body)
	}
	for _, verb := range []string{"approve", "deny", "end"} {
		s.by(t, s.root, http.MethodPost, budgetsPath+"/raises/"+uuid.NewString()+"/"+verb, "").problem(http.StatusNotFound, "NOT_FOUND")
	}
}

// Where every raise needs an approval, nobody approves his own.
func TestRaisesThatNeedApproval(t *testing.T) {
	s := open(t)
	s.Config.RaiseNeedsApproval = true
	path := s.budget(t, models.BudgetOfUser, s.allow(t, "ada@example.com", 100), "")
	raise := s.by(t, s.root, http.MethodPost, path+"/raises", more(5)).is(http.StatusCreated)
	require.Equal(t, []any{"pending", 100.0}, []any{raise.at("status"), raise.at("budget.limit")})
	approve := budgetsPath + "/raises/" + id(raise) + "/approve"
	s.by(t, s.root, http.MethodPost, approve, "").problem(http.StatusForbidden, "FORBIDDEN")
	require.EqualValues(t, 105, s.by(t, s.boss, http.MethodPost, approve, "").is(http.StatusOK).at("budget.limit"))
	back := s.by(t, s.root, http.MethodPost, path+"/raises", more(5)).is(http.StatusCreated)
	require.Equal(t, "withdrawn", s.by(t, s.root, http.MethodPost, budgetsPath+"/raises/"+id(back)+"/end", "").is(http.StatusOK).at("status"))
	s.by(t, s.boss, http.MethodPost, budgetsPath+"/raises/"+id(back)+"/approve", "").problem(http.StatusConflict, "CONFLICT")
}

// Who asks twice by one key raises a budget once, and the operation says which raise it is.
func TestKeyedRaiseIsMadeOnce(t *testing.T) {
	s := idle(t)
	s.as(t, "ada", user)
	s.call(t, http.MethodPatch, "/api/v1/admin/users/"+s.user(t, "ada").ID.String()+"/budget-limits", `{"maxBudget": 100}`).is(http.StatusAccepted)
	b, err := s.Store.BudgetOf(t.Context(), models.BudgetOfUser, s.user(t, "ada").ID, "")
	require.NoError(t, err)
	ask := func() reply {
		return s.call(t, http.MethodPost, budgetsPath+"/"+b.ID.String()+"/raises", `{"amount": 5, "until": "`+b.CreatedAt.AddDate(0, 1, 0).Format(time.RFC3339)+`", "reason": "x"}`, "Idempotency-Key", "once")
	}
	first := ask().is(http.StatusAccepted)
	ops, total, err := s.Store.Operations(t.Context(), store.OperationQuery{Page: 1, Limit: 1})
	require.NoError(t, err)
	require.Equal(t, []any{models.AuditOfRaise, id(first)}, []any{ops[0].SubjectType, ops[0].Subjects[0].ID}, total)
	second := ask().is(http.StatusAccepted)
	require.Equal(t, id(first), id(second))
	raises, err := s.Store.BudgetRaises(t.Context(), b.ID)
	require.NoError(t, err)
	require.Len(t, raises, 1)
}
