package temporal_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

var root = models.Actor{ID: "root", Via: "test"}

// signIn is a user who has just signed in.
func (s system) signIn(t *testing.T, name string) models.User {
	t.Helper()
	u, err := s.store.SignIn(t.Context(), models.Identity{
		Provider: "oidc", Subject: name, Username: name, Email: name + "@example.com", EmailVerified: true,
	}, models.Initials{Limits: models.Limits{MaxBudget: new(100 * models.Dollar), BudgetDuration: "monthly"}}, models.Origin{})
	require.NoError(t, err)
	return u
}

// follow has LiteLLM follow the user's row, and waits until it does.
func (s system) follow(t *testing.T, u models.User) {
	t.Helper()
	run, err := workflows.Nudge(t.Context(), s.client, workflows.ReconcileUser, workflows.ReconcileUserInput{UserID: u.ID})
	require.NoError(t, err)
	res, err := run.Wait(t.Context(), time.Minute)
	require.NoError(t, err)
	require.Equal(t, models.UserSynced, res.Status)
	s.requireSettled(t, u.ID)
}

// requireSettled looks at both sides.
func (s system) requireSettled(t *testing.T, id uuid.UUID) models.ProxyUser {
	t.Helper()
	row, err := s.store.User(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, models.UserSynced, row.Status(), row.Failure)
	seen, err := s.litellm.User(t.Context(), id.String())
	require.NoError(t, err)
	require.Empty(t, row.Differences(seen))
	return seen
}

// Who signs in while LiteLLM is down is settled when it is back, by the run that waited for it.
func TestReconcileUserOutlastsAnOutage(t *testing.T) {
	s := start(t)
	s.proxy.Inject(litellmtest.Fault{Times: 2, Kind: litellmtest.FaultStatus, Status: http.StatusServiceUnavailable})
	u := s.signIn(t, "ada")
	s.follow(t, u)
	require.Equal(t, 1, s.proxy.Calls("/user/new"))
	require.Equal(t, 5, s.proxy.Calls("/v2/user/info"), "two in vain, one before the write, one after it, and ours")
}

// Of many wishes while a run waits or is at work, the last one wins; a nudge joins the open run.
func TestTheLastWishWins(t *testing.T) {
	s := start(t)
	u := s.signIn(t, "ada")
	wish := func(change func(context.Context, uuid.UUID, models.Hold, string, models.Actor) (models.User, error)) string {
		_, err := change(t.Context(), u.ID, models.HoldAdmin, "", root)
		require.NoError(t, err)
		run, err := workflows.Nudge(t.Context(), s.client, workflows.ReconcileUser, workflows.ReconcileUserInput{UserID: u.ID})
		require.NoError(t, err)
		return run.ID()
	}
	back := s.proxy.Inject(litellmtest.Fault{Kind: litellmtest.FaultStatus, Status: http.StatusServiceUnavailable})
	waiting := wish(s.store.DeactivateUser)
	require.Equal(t, waiting, wish(s.store.ReinstateUser))
	back()
	for range 10 {
		wish(s.store.DeactivateUser)
		wish(s.store.ReinstateUser)
	}
	s.follow(t, u)
	require.Equal(t, 100*models.Dollar, *s.requireSettled(t, u.ID).MaxBudget)
}

// What LiteLLM refuses is told to who waits, and kept with the user until he changes.
func TestReconcileUserIsRefused(t *testing.T) {
	s := start(t)
	require.NoError(t, s.litellm.CreateUser(t.Context(), litellm.UserSpec{ID: "somebody", Email: "ada@example.com"}))
	u := s.signIn(t, "ada")
	run, err := workflows.Nudge(t.Context(), s.client, workflows.ReconcileUser, workflows.ReconcileUserInput{UserID: u.ID})
	require.NoError(t, err)
	_, err = run.Wait(t.Context(), time.Minute)
	require.Equal(t, models.Conflict, models.KindOf(err), "%v", err)
	row, err := s.store.User(t.Context(), u.ID)
	require.NoError(t, err)
	require.Equal(t, models.UserFailed, row.Status())
	require.Contains(t, row.Failure, "already exists")

	require.NoError(t, s.litellm.DeleteUser(t.Context(), "somebody"))
	_, err = s.store.DeactivateUser(t.Context(), u.ID, models.HoldAdmin, "", root)
	require.NoError(t, err)
	s.follow(t, u)
}

// A user leaves and comes back: his session ends, LiteLLM lets him spend nothing, and then again
// as much as before. A run that waited for LiteLLM meanwhile is in nobody's way.
func TestOffboardAndReinstate(t *testing.T) {
	s := start(t)
	u := s.signIn(t, "ada")
	session, err := s.store.CreateSession(t.Context(), models.Session{
		UserID: u.ID, Provider: "oidc", AuthTime: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
	}, nil, root)
	require.NoError(t, err)
	s.proxy.Inject(litellmtest.Fault{Times: 2, Kind: litellmtest.FaultStatus, Status: http.StatusServiceUnavailable})
	_, err = workflows.Nudge(t.Context(), s.client, workflows.ReconcileUser, workflows.ReconcileUserInput{UserID: u.ID})
	require.NoError(t, err)

	res := run(t, s, workflows.Offboard, workflows.OffboardInput{UserID: u.ID, Why: "left", Actor: root})
	require.Equal(t, workflows.OffboardResult{Holds: []models.Hold{models.HoldOffboarded}, Status: models.UserSynced}, res)
	require.Equal(t, models.USD(0), *s.requireSettled(t, u.ID).MaxBudget)
	_, err = s.store.Principal(t.Context(), session.ID)
	require.Equal(t, models.Unauthenticated, models.KindOf(err))

	res = run(t, s, workflows.Reinstate, workflows.ReinstateInput{UserID: u.ID, Why: "back", Actor: root})
	require.Equal(t, workflows.OffboardResult{Holds: []models.Hold{}, Status: models.UserSynced}, res)
	require.Equal(t, 100*models.Dollar, *s.requireSettled(t, u.ID).MaxBudget)
	s.signIn(t, "ada")
}

// Of what is asked for about a user the last counts: who is reinstated in the grace loses
// nothing, and who is to go now does not wait for the grace of before.
func TestOffboardInTheGrace(t *testing.T) {
	s := start(t)
	u := s.signIn(t, "ada")
	later := workflows.OffboardInput{UserID: u.ID, Why: "leaves in a month", Grace: 30 * 24 * time.Hour, Actor: root}
	leaving, err := workflows.Start(t.Context(), s.client, workflows.Offboard, later)
	require.NoError(t, err)
	run(t, s, workflows.Reinstate, workflows.ReinstateInput{UserID: u.ID, Why: "stays", Actor: root})
	_, err = leaving.Wait(t.Context(), time.Minute)
	require.Equal(t, models.Conflict, models.KindOf(err), "%v", err)
	row, err := s.store.User(t.Context(), u.ID)
	require.NoError(t, err)
	require.True(t, row.Active())

	_, err = workflows.Start(t.Context(), s.client, workflows.Offboard, later)
	require.NoError(t, err)
	now := later
	now.Grace = 0
	require.Equal(t, []models.Hold{models.HoldOffboarded}, run(t, s, workflows.Offboard, now).Holds)
}

// The last admin stays, and who asked is told so.
func TestOffboardOfTheLastAdmin(t *testing.T) {
	s := start(t)
	u := s.signIn(t, "ada")
	_, err := s.store.AssignRole(t.Context(), u.ID, models.RoleAdmin, root, models.Permissions{models.Everything})
	require.NoError(t, err)
	leaving, err := workflows.Start(t.Context(), s.client, workflows.Offboard, workflows.OffboardInput{UserID: u.ID, Actor: root})
	require.NoError(t, err)
	_, err = leaving.Wait(t.Context(), time.Minute)
	require.Equal(t, models.Conflict, models.KindOf(err))
	require.ErrorContains(t, err, "this is the last active admin")
}

// A full sync finds whom LiteLLM has lost, whom somebody changed there, and whom we do not know;
// ours are settled, the stranger is left alone.
func TestFullSyncSettlesUsers(t *testing.T) {
	s := start(t)
	lost, changed := s.signIn(t, "lost"), s.signIn(t, "changed")
	s.follow(t, lost)
	s.follow(t, changed)
	require.NoError(t, s.litellm.DeleteUser(t.Context(), lost.ID.String()))
	require.NoError(t, s.litellm.UpsertUser(t.Context(), litellm.UserSpec{ID: changed.ID.String(), Role: models.ProxyRoleAdmin}))
	require.NoError(t, s.litellm.CreateUser(t.Context(), litellm.UserSpec{ID: "stranger"}))
	want := models.UserCounts{Listed: 2, Missing: 1, Different: 1, Unknown: 1}
	require.Equal(t, want, s.sync(t, models.SyncOptions{DryRun: true}).Users)
	require.Equal(t, want, s.sync(t, models.SyncOptions{}).Users)
	s.settled(t)
	s.requireSettled(t, lost.ID)
	s.requireSettled(t, changed.ID)
	require.Equal(t, models.UserCounts{Listed: 3, Unknown: 1}, s.sync(t, models.SyncOptions{}).Users)
}

// settled waits until nobody is unsettled.
func (s system) settled(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		due, err := s.store.UnsettledUsers(t.Context(), 0, 1)
		return err == nil && len(due) == 0
	}, time.Minute, 50*time.Millisecond)
}

// many inserts users whom LiteLLM is said to hold, and does not.
func (s system) many(t *testing.T, n int) {
	t.Helper()
	_, err := s.db.Exec(`
		INSERT INTO users (id, username, email, oauth_provider, oauth_id, observed_generation)
		SELECT gen_random_uuid(), 'user-' || i, 'user-' || i || '@example.com', 'oidc', i, 1 FROM generate_series(1, $1) i`, n)
	require.NoError(t, err)
}

// A thousand users who drift at once cost a sync no more events than two, and are settled in
// batches.
func TestFullSyncOfAThousandDriftedUsers(t *testing.T) {
	s := start(t)
	s.many(t, 1000)
	res := s.sync(t, models.SyncOptions{})
	require.Equal(t, models.UserCounts{Missing: 1000}, res.Users)
	s.settled(t)
	page, err := s.litellm.Users(t.Context(), 1, 1)
	require.NoError(t, err)
	require.Equal(t, 1000, page.TotalCount)
	require.Less(t, len(historyOf(t, s.client, "full-sync", res.RunID.String()).Events), 70)
	require.Eventually(t, func() bool {
		d, err := s.client.DescribeWorkflowExecution(t.Context(), workflows.ReconcileUsersInput{}.WorkflowID(), "")
		return err == nil && d.WorkflowExecutionInfo.Status == enums.WORKFLOW_EXECUTION_STATUS_COMPLETED
	}, 10*time.Second, 50*time.Millisecond)
	require.Less(t, len(historyOf(t, s.client, workflows.ReconcileUsersInput{}.WorkflowID(), "").Events), 120)
	require.Equal(t, models.UserCounts{Listed: 1000}, s.sync(t, models.SyncOptions{}).Users)
}

// Whoever was overlooked is found by the sweep, when LiteLLM answers.
func TestSweepFindsOverlookedUsers(t *testing.T) {
	s := start(t)
	for i := range 3 {
		s.signIn(t, fmt.Sprintf("user-%d", i))
	}
	require.False(t, run(t, s, workflows.Sweep, workflows.SweepInput{}).Users, "somebody is at it")
	_, err := s.db.Exec("UPDATE users SET updated_at = now() - interval '31 seconds'")
	require.NoError(t, err)
	down := s.proxy.Inject(litellmtest.Fault{Kind: litellmtest.FaultCut})
	require.False(t, run(t, s, workflows.Sweep, workflows.SweepInput{}).Users, "LiteLLM is down")
	down()
	require.True(t, run(t, s, workflows.Sweep, workflows.SweepInput{}).Users)
	s.settled(t)
}

// The clock cleans.
func TestClean(t *testing.T) {
	s := start(t)
	_, err := s.db.Exec("INSERT INTO login_states VALUES ('a', 'b', 'oidc', 'n', 'v', '/', now() - interval '1 minute')")
	require.NoError(t, err)
	res := run(t, s, workflows.Clean, workflows.CleanInput{})
	require.Equal(t, 1, res.Expired.LoginStates)
	require.Equal(t, 1, res.Made)
	require.Equal(t, workflows.CleanResult{}.Dropped.Rows, res.Dropped.Rows)
}
