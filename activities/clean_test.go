package activities_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// Sessions go when they may no longer be looked at, sign-ins that nobody came back from at once.
func TestExpireSessions(t *testing.T) {
	s := storetest.New(t)
	u, err := s.SignIn(t.Context(), person("ada"), models.Initials{}, models.Origin{})
	require.NoError(t, err)
	for _, left := range []time.Duration{-time.Minute, time.Hour} {
		_, err := s.CreateSession(t.Context(), models.Session{UserID: u.ID, Provider: "oidc", AuthTime: time.Now(), ExpiresAt: time.Now().Add(left)}, nil, models.System("test"))
		require.NoError(t, err)
	}
	require.NoError(t, s.PutLoginState(t.Context(), models.LoginState{StateHash: "a", ExpiresAt: time.Now().Add(-time.Second)}))
	for _, tc := range []struct {
		keep time.Duration
		want activities.ExpireSessionsResult
	}{
		{time.Hour, activities.ExpireSessionsResult{LoginStates: 1}},
		{time.Second, activities.ExpireSessionsResult{Sessions: 1}},
		{time.Second, activities.ExpireSessionsResult{}},
	} {
		got, err := (&activities.Sessions{Store: s, Keep: tc.keep}).ExpireSessions(t.Context(), activities.ExpireSessionsInput{})
		require.NoError(t, err)
		require.Equal(t, tc.want, got)
	}
}

// Operations are forgotten a day after they were made, once.
func TestForgetOperations(t *testing.T) {
	url := storetest.URL(t)
	s, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(url), MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	_, err = storetest.SQL(t, url).Exec(`
		INSERT INTO operations (id, actor, request, request_hash, claimed_until, created_at)
		SELECT gen_random_uuid(), 'ada', 'POST /x', '', now(), now() - hours * interval '1 hour' FROM unnest(ARRAY[1, 23, 25, 500]) hours`)
	require.NoError(t, err)
	for _, want := range []int{2, 0} {
		got, err := (&activities.Operations{Store: s}).ForgetOperations(t.Context(), activities.ForgetOperationsInput{})
		require.NoError(t, err)
		require.Equal(t, want, got.Operations)
	}
}

// The days to come of the ledger are made once; those that are too old go once, and only where the
// settings say so.
func TestCleanUsage(t *testing.T) {
	s := storetest.New(t)
	old := models.UsageEvent{RequestID: "old", At: time.Now().AddDate(0, 0, -40), Requests: 1}
	_, err := s.RecordEvents(t.Context(), []models.UsageEvent{old}, models.UsagePushed, models.System("test"))
	require.NoError(t, err)
	first, err := (&activities.Usage{Store: s}).CleanUsage(t.Context(), activities.CleanUsageInput{})
	require.NoError(t, err)
	require.Positive(t, first.Made)
	require.Zero(t, first.Dropped, "for ever")
	for _, tc := range []struct {
		keep time.Duration
		want activities.CleanUsageResult
	}{
		{45 * 24 * time.Hour, activities.CleanUsageResult{}},
		{30 * 24 * time.Hour, activities.CleanUsageResult{Dropped: 1}},
		{30 * 24 * time.Hour, activities.CleanUsageResult{}},
	} {
		got, err := (&activities.Usage{Store: s, Retention: tc.keep}).CleanUsage(t.Context(), activities.CleanUsageInput{})
		require.NoError(t, err)
		require.Equal(t, tc.want, got)
	}
}

// The months to come are made once; those that are too old go once, and the chain still holds.
func TestAuditMonths(t *testing.T) {
	url := storetest.URL(t)
	s, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(url), MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	kept := &activities.AuditLog{Store: s}
	made, err := kept.PrepareAudit(t.Context(), activities.PrepareAuditInput{})
	require.NoError(t, err)
	require.Equal(t, 1, made.Partitions, "the migration made two of the three")
	made, err = kept.PrepareAudit(t.Context(), activities.PrepareAuditInput{})
	require.NoError(t, err)
	require.Zero(t, made.Partitions)

	ago := time.Now().UTC().AddDate(0, -3, 0)
	_, err = storetest.SQL(t, url).Exec(`SELECT make_audit_partition(date_trunc('month', $1::timestamptz), date_trunc('month', $1::timestamptz) + interval '1 month', false)`, ago)
	require.NoError(t, err)
	dropped, err := kept.DropAudit(t.Context(), activities.DropAuditInput{})
	require.NoError(t, err)
	require.Empty(t, dropped.Partitions, "for ever")
	old := &activities.AuditLog{Store: s, Retention: 30 * 24 * time.Hour}
	dropped, err = old.DropAudit(t.Context(), activities.DropAuditInput{})
	require.NoError(t, err)
	require.Len(t, dropped.Partitions, 1)
	dropped, err = old.DropAudit(t.Context(), activities.DropAuditInput{})
	require.NoError(t, err)
	require.Empty(t, dropped.Partitions)
	report, err := s.VerifyAudit(t.Context(), models.AuditMark{})
	require.NoError(t, err)
	require.Empty(t, report.Breaks)
}
