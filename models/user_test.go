package models

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// The status is derived from the wish and the proof.
func TestUserStatus(t *testing.T) {
	for _, tc := range []struct {
		name                         string
		generation, observed, failed int64
		want                         UserStatus
	}{
		{"new", 1, 0, 0, UserPending},
		{"proved", 2, 2, 0, UserSynced},
		{"changed since", 3, 2, 0, UserPending},
		{"refused", 3, 2, 3, UserFailed},
		{"changed since it was refused", 4, 2, 3, UserPending},
		{"proved after all", 3, 3, 3, UserSynced},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u := User{Generation: tc.generation, ObservedGeneration: tc.observed, FailedGeneration: tc.failed}
			require.Equal(t, tc.want, u.Status())
		})
	}
}

// LiteLLM is written to until it holds what the row says, and no longer.
func TestUserNext(t *testing.T) {
	u := User{
		ID: uuid.New(), Username: "ada", Email: "Ada@example.com",
		Limits: Limits{MaxBudget: new(5 * Dollar), BudgetDuration: "monthly", TPM: new(int64(0))},
	}
	require.Equal(t, UserCreate, u.Next(nil))
	seen := u.Proxy()
	require.Equal(t, "1mo", seen.BudgetDuration)
	require.Equal(t, UserSettled, u.Next(&seen))
	seen.Email, seen.RPM, seen.Spend = "ada@example.com", new(int64(Unlimited)), Dollar
	require.Equal(t, UserSettled, u.Next(&seen), "other words for the same")
	seen.TPM = nil
	require.Equal(t, UserUpdate, u.Next(&seen), "nothing is not unlimited")
	require.Equal(t, []string{"tpm_limit"}, u.Differences(seen))

	u.Holds = []Hold{HoldAdmin}
	seen = u.Proxy()
	require.Equal(t, USD(0), *seen.MaxBudget, "who is held spends nothing")
	u.Holds, u.Limits.MaxBudget = nil, nil
	require.Equal(t, []string{"max_budget"}, u.Differences(seen))
	u.Email = ""
	require.Equal(t, []string{"max_budget"}, u.Differences(seen), "no address asks for nothing")
}

// Limits that LiteLLM would refuse, or understand otherwise, are refused here.
func TestLimitsCheck(t *testing.T) {
	for _, tc := range []struct {
		limits Limits
		field  string
	}{
		{Limits{}, ""},
		{Limits{MaxBudget: new(USD(0)), BudgetDuration: "30d", TPM: new(int64(0)), RPM: new(int64(1))}, ""},
		{Limits{BudgetDuration: "yearly"}, ""},
		{Limits{BudgetDuration: "1mo"}, ""},
		{Limits{BudgetDuration: "soon"}, "budgetDuration"},
		{Limits{BudgetDuration: "0d"}, "budgetDuration"},
		{Limits{MaxBudget: new(-Dollar)}, "maxBudget"},
		{Limits{TPM: new(int64(-1))}, "tpmLimit"},
		{Limits{RPM: new(int64(-1))}, "rpmLimit"},
	} {
		err := tc.limits.Check()
		if tc.field == "" {
			require.NoError(t, err)
			continue
		}
		var e *Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, tc.field, e.Field)
	}
}
