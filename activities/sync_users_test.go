package activities_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
)

// settledUser is a user whom LiteLLM holds as his row says.
func (b bench) settledUser(t *testing.T, name string) models.User {
	t.Helper()
	u, err := b.Store.SignIn(t.Context(), person(name), models.Initials{Limits: limits()}, models.Origin{})
	require.NoError(t, err)
	p := u.Proxy()
	require.NoError(t, b.Proxy.UpsertUser(t.Context(), litellm.UserSpec{
		ID: p.ID, Email: p.Email, Alias: p.Alias, Role: p.Role, MaxBudget: p.MaxBudget, BudgetDuration: p.BudgetDuration, TPM: p.TPM, RPM: p.RPM,
	}))
	u, err = b.Store.ObserveUser(t.Context(), u.ID, u.Generation)
	require.NoError(t, err)
	return u
}

// syncUsers is the user part of a sync, each step twice.
func (b bench) syncUsers(t *testing.T, o models.SyncOptions) (activities.CompareUsersResult, activities.SyncReport) {
	t.Helper()
	run := b.begin(t, activities.BeginSyncRunInput{Kind: models.SyncFull, Options: o})
	fetched := twice[activities.FetchUsersResult](t, b, b.FetchUsers, run)
	compared := twice[activities.CompareUsersResult](t, b, b.CompareUsers, run)
	require.Equal(t, fetched.Listed, compared.Counts.Listed)
	return compared, twice[activities.SyncReport](t, b, b.CompleteSyncRun, run)
}

// Who is missing at LiteLLM, different, or nobody of ours is found on every page, and wished
// anew but in a dry run; what they are called stays out of the report.
func TestSyncUsers(t *testing.T) {
	b := newBench(t)
	for i := range 2*100 + 1 {
		require.NoError(t, b.Proxy.UpsertUser(t.Context(), litellm.UserSpec{ID: fmt.Sprintf("stranger-%d", i)}))
	}
	missing, different := b.settledUser(t, "missing"), b.settledUser(t, "different")
	same := b.settledUser(t, "same")
	require.NoError(t, b.Proxy.DeleteUser(t.Context(), missing.ID.String()))
	require.NoError(t, b.Proxy.UpsertUser(t.Context(), litellm.UserSpec{ID: different.ID.String(), Email: "else@example.com"}))
	counts := models.UserCounts{Listed: 203, Missing: 1, Different: 1, Unknown: 201}

	dry, _ := b.syncUsers(t, models.SyncOptions{DryRun: true})
	require.Equal(t, activities.CompareUsersResult{Counts: counts}, dry)
	found, report := b.syncUsers(t, models.SyncOptions{})
	require.Equal(t, activities.CompareUsersResult{Counts: counts, Wished: 2}, found)
	require.Equal(t, counts, report.Users)
	require.Equal(t, 203, report.UserDifferences)
	require.Len(t, report.UserExamples, 20)
	require.Equal(t, []activities.UserExample{
		{UserID: different.ID.String(), Kind: models.UserDifferent, Fields: []string{"budget_duration", "max_budget", "rpm_limit", "tpm_limit", "user_email"}},
		{UserID: missing.ID.String(), Kind: models.UserMissing},
	}, report.UserExamples[:2])
	for _, tc := range []struct {
		u    models.User
		want models.UserStatus
	}{{missing, models.UserPending}, {different, models.UserPending}, {same, models.UserSynced}} {
		u, err := b.Store.User(t.Context(), tc.u.ID)
		require.NoError(t, err)
		require.Equal(t, tc.want, u.Status(), u.Username)
	}
}

// A list that fails half-way, or that loses somebody while it is read, is read again.
func TestFetchUsersFailsWholly(t *testing.T) {
	b := newBench(t)
	for i := range 150 {
		require.NoError(t, b.Proxy.UpsertUser(t.Context(), litellm.UserSpec{ID: fmt.Sprintf("user-%d", i)}))
	}
	run := b.begin(t, activities.BeginSyncRunInput{Kind: models.SyncFull})
	for _, kind := range []litellmtest.FaultKind{litellmtest.FaultTruncated, litellmtest.FaultMalformed, litellmtest.FaultStatus} {
		b.proxy.Inject(litellmtest.Fault{Path: "/user/list", Times: 1, Kind: kind, Status: http.StatusServiceUnavailable})
		_, err := b.env.ExecuteActivity(b.FetchUsers, run)
		require.Error(t, err)
	}

	direct, once := b.Proxy, sync.Once{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.proxy.ServeHTTP(w, r)
		once.Do(func() { _ = direct.DeleteUser(r.Context(), "user-7") }) // after the first page
	}))
	t.Cleanup(srv.Close)
	b.Proxy = litellm.New(litellm.Config{URL: srv.URL, APIKey: models.SecretOf(litellmtest.MasterKey)})
	_, err := b.env.ExecuteActivity(b.FetchUsers, run)
	require.ErrorContains(t, err, "LiteLLM's list of users changed while it was read")
	require.Equal(t, activities.FetchUsersResult{Listed: 149}, twice[activities.FetchUsersResult](t, b, b.FetchUsers, run))
}
