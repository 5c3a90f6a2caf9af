package activities_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/workflows"
)

// people is what the activities of users are tried on.
type people struct {
	*activities.Users
	proxy *litellmtest.Proxy
	env   *testsuite.TestActivityEnvironment
}

func newPeople(t *testing.T, o litellmtest.Options) people {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	proxy, err := litellmtest.NewProxy(o)
	require.NoError(t, err)
	p := people{&activities.Users{Store: storetest.New(t), Proxy: litellmtest.Serve(t, proxy)}, proxy, suite.NewTestActivityEnvironment()}
	p.env.RegisterActivity(p.Users)
	return p
}

// limits are those of the users here.
func limits() models.Limits {
	return models.Limits{MaxBudget: new(100 * models.Dollar), BudgetDuration: "monthly", TPM: new(int64(1000)), RPM: new(int64(10))}
}

// signIn is a user who has just signed in.
func (p people) signIn(t *testing.T, name string) models.User {
	t.Helper()
	u, err := p.Store.SignIn(t.Context(), person(name), models.Initials{Limits: limits()}, models.Origin{})
	require.NoError(t, err)
	return u
}

func person(name string) models.Identity {
	return models.Identity{Provider: "oidc", Subject: name, Username: name, Email: name + "@example.com", EmailVerified: true}
}

// apply runs ApplyUser as Temporal does.
func (p people) apply(t *testing.T, u models.User) (res activities.ApplyUserResult, err error) {
	t.Helper()
	val, err := p.env.ExecuteActivity(p.ApplyUser, activities.UserRef{ID: u.ID})
	if err == nil {
		err = val.Get(&res)
	}
	return res, err
}

// held is the user as LiteLLM holds him.
func (p people) held(t *testing.T, u models.User) models.ProxyUser {
	t.Helper()
	seen, err := p.Proxy.User(t.Context(), u.ID.String())
	require.NoError(t, err)
	return seen
}

// tamper changes LiteLLM's user behind our back.
func (p people) tamper(t *testing.T, u models.User, edit func(*litellm.UserSpec)) {
	t.Helper()
	spec := litellm.UserSpec{ID: u.ID.String(), MaxBudget: u.Limits.MaxBudget, BudgetDuration: "1mo", TPM: u.Limits.TPM, RPM: u.Limits.RPM}
	edit(&spec)
	require.NoError(t, p.Proxy.UpsertUser(t.Context(), spec))
}

// A new user, a changed one, one who is held and one whom LiteLLM has lost: whatever is wrong is
// put right, the second time there is nothing to do, and he never has a key that nobody asked for.
func TestApplyUser(t *testing.T) {
	p := newPeople(t, litellmtest.Options{})
	u := p.signIn(t, "ada")
	for _, tc := range []struct {
		name   string
		before func() error
		want   models.UserStep
	}{
		{"new", func() error { return nil }, models.UserCreate},
		{"renamed", func() error {
			id := person("ada")
			id.Username = "countess"
			_, err := p.Store.SignIn(t.Context(), id, models.Initials{}, models.Origin{})
			return err
		}, models.UserUpdate},
		{"held", func() error {
			_, err := p.Store.DeactivateUser(t.Context(), u.ID, models.HoldAdmin, "", models.System("test"))
			return err
		}, models.UserUpdate},
		{"given back", func() error {
			_, err := p.Store.ReinstateUser(t.Context(), u.ID, models.HoldAdmin, "", models.System("test"))
			return err
		}, models.UserUpdate},
		{"raised at LiteLLM", func() error {
			p.tamper(t, u, func(s *litellm.UserSpec) { s.MaxBudget, s.Role = nil, models.ProxyRoleAdmin })
			return nil
		}, models.UserUpdate},
		{"deleted at LiteLLM", func() error { return p.Proxy.DeleteUser(t.Context(), u.ID.String()) }, models.UserCreate},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.NoError(t, tc.before())
			row, err := p.Store.User(t.Context(), u.ID)
			require.NoError(t, err)
			first, err := p.apply(t, u)
			require.NoError(t, err)
			require.Equal(t, activities.ApplyUserResult{Generation: row.Generation, Did: []models.UserStep{tc.want}}, first)
			again, err := p.apply(t, u)
			require.NoError(t, err)
			require.Empty(t, again.Did, "twice does it once")
			require.Empty(t, row.Differences(p.held(t, u)))
		})
	}
	keys, err := p.Proxy.Keys(t.Context(), litellm.KeyFilter{UserID: u.ID.String()}, 1, 10)
	require.NoError(t, err)
	require.Zero(t, keys.TotalCount)
	require.Equal(t, "litemaas", p.proxy.Requests()[1].ChangedBy, "LiteLLM's audit log names us")
}

// Each write may be lost on the way back, or on the way there, and is tried again: the user is
// there once, and settled is said only of what is true.
func TestApplyUserSurvivesLostAnswers(t *testing.T) {
	p := newPeople(t, litellmtest.Options{})
	u := p.signIn(t, "ada")
	for _, tc := range []struct {
		path   string
		before func() error
	}{
		{"/user/new", func() error { return nil }},
		{"/user/update", func() error {
			_, err := p.Store.DeactivateUser(t.Context(), u.ID, models.HoldAdmin, "", models.System("test"))
			return err
		}},
	} {
		require.NoError(t, tc.before())
		p.proxy.Inject(litellmtest.Fault{Path: tc.path, Times: 1, Kind: litellmtest.FaultCut})
		_, err := p.apply(t, u)
		require.ErrorContains(t, err, "does not answer")
		p.proxy.LoseNext(tc.path, 1)
		_, err = p.apply(t, u)
		require.ErrorContains(t, err, "after the work was done")
		res, err := p.apply(t, u)
		require.NoError(t, err)
		require.Empty(t, res.Did, "the second look finds it done")
		row, err := p.Store.User(t.Context(), u.ID)
		require.NoError(t, err)
		require.Empty(t, row.Differences(p.held(t, u)))
	}
	page, err := p.Proxy.Users(t.Context(), 1, 100)
	require.NoError(t, err)
	require.Equal(t, 1, page.TotalCount)
}

// An address that another of LiteLLM's users has is a refusal, in LiteLLM's words; an id that
// is there after all is none.
func TestApplyUserIsRefused(t *testing.T) {
	p := newPeople(t, litellmtest.Options{})
	u := p.signIn(t, "ada")
	require.NoError(t, p.Proxy.CreateUser(t.Context(), litellm.UserSpec{ID: "somebody", Email: "ADA@example.com"}))
	res, err := p.apply(t, u)
	require.NoError(t, err)
	require.Equal(t, "LiteLLM refuses it: User with email [address] already exists", res.Refused)
	require.Equal(t, u.Generation, res.Generation)

	require.NoError(t, p.Proxy.DeleteUser(t.Context(), "somebody"))
	unseen := p.proxy.Inject(litellmtest.Fault{Path: "/v2/user/info", Times: 1, Kind: litellmtest.FaultStatus, Status: http.StatusNotFound, Message: "User not found"})
	defer unseen()
	p.tamper(t, u, func(*litellm.UserSpec) {})
	res, err = p.apply(t, u)
	require.NoError(t, err)
	require.Empty(t, res.Refused)
	require.Equal(t, []models.UserStep{models.UserUpdate}, res.Did)
}

// A LiteLLM of before 1.100 ignores that a limit is taken away; it is told of none instead.
func TestApplyUserOfAnOldLiteLLM(t *testing.T) {
	p := newPeople(t, litellmtest.Options{OldVersion: true})
	u := p.signIn(t, "ada")
	_, err := p.apply(t, u)
	require.NoError(t, err)
	free, err := p.Store.SignIn(t.Context(), person("bob"), models.Initials{}, models.Origin{})
	require.NoError(t, err)
	p.tamper(t, free, func(s *litellm.UserSpec) {
		s.MaxBudget, s.TPM, s.BudgetDuration = new(models.Dollar), new(int64(5)), ""
	})
	res, err := p.apply(t, free)
	require.NoError(t, err)
	require.Equal(t, []models.UserStep{models.UserUpdate, models.UserUpdate}, res.Did)
	require.Empty(t, free.Differences(p.held(t, free)))

	p.tamper(t, free, func(*litellm.UserSpec) {}) // it cannot be told to reset a budget no more
	_, err = p.apply(t, free)
	require.ErrorContains(t, err, "does not keep what it is told of the user: budget_duration")

	var suite testsuite.WorkflowTestSuite // which skips the time between the attempts
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterActivity(p.Users)
	env.ExecuteWorkflow(workflows.ReconcileUser, workflows.ReconcileUserInput{UserID: free.ID})
	require.ErrorContains(t, env.GetWorkflowError(), "does not keep")
	free, err = p.Store.User(t.Context(), free.ID)
	require.NoError(t, err)
	require.Equal(t, models.UserFailed, free.Status(), "after some attempts that is a refusal")
	require.Contains(t, free.Failure, "budget_duration")
}

// What was seen and what is refused is recorded once, and tells whether the row has gone on.
func TestObserveAndFailUser(t *testing.T) {
	p := newPeople(t, litellmtest.Options{})
	u := p.signIn(t, "ada")
	for range 2 {
		verdict, err := p.FailUser(t.Context(), activities.FailUserInput{ID: u.ID, Generation: 1, Why: "no"})
		require.NoError(t, err)
		require.Equal(t, activities.UserVerdict{Status: models.UserFailed, Current: true}, verdict)
	}
	for range 2 {
		verdict, err := p.ObserveUser(t.Context(), activities.ObserveUserInput{ID: u.ID, Generation: 1})
		require.NoError(t, err)
		require.Equal(t, activities.UserVerdict{Status: models.UserSynced, Current: true}, verdict)
	}
	hold := activities.UserHoldInput{ID: u.ID, Hold: models.HoldOffboarded, Why: "left", Actor: models.Actor{ID: "root"}}
	for range 2 {
		held, err := p.DeactivateUser(t.Context(), hold)
		require.NoError(t, err)
		require.Equal(t, []models.Hold{models.HoldOffboarded}, held.Holds)
	}
	verdict, err := p.ObserveUser(t.Context(), activities.ObserveUserInput{ID: u.ID, Generation: 1})
	require.NoError(t, err)
	require.Equal(t, activities.UserVerdict{Status: models.UserPending}, verdict)
	for range 2 {
		left, err := p.ReinstateUser(t.Context(), hold)
		require.NoError(t, err)
		require.Empty(t, left.Holds)
	}
	row, err := p.Store.User(t.Context(), u.ID)
	require.NoError(t, err)
	require.EqualValues(t, 3, row.Generation, "twice changed it once")
}

// In a batch one who is refused, one who changes meanwhile and a lost answer hold up no other.
func TestApplyUsers(t *testing.T) {
	p := newPeople(t, litellmtest.Options{})
	var ids []uuid.UUID
	users := map[uuid.UUID]models.User{}
	for i := range 40 {
		u := p.signIn(t, fmt.Sprintf("user-%d", i))
		ids, users[u.ID] = append(ids, u.ID), u
	}
	require.NoError(t, p.Proxy.CreateUser(t.Context(), litellm.UserSpec{ID: "somebody", Email: "user-7@example.com"}))
	p.proxy.LoseNext("/user/new", 1)
	first := p.batch(t, ids)
	require.Contains(t, first.Left, ids[7])
	require.LessOrEqual(t, len(first.Left), 2) // the lost answer may have been his
	require.Len(t, first.Seen, len(ids)-len(first.Left))
	require.False(t, first.Silent)
	second := p.batch(t, ids)
	require.Equal(t, []uuid.UUID{ids[7]}, second.Left)
	for _, proof := range second.Seen {
		require.Empty(t, users[proof.ID].Differences(p.held(t, users[proof.ID])))
	}

	_, err := p.Store.DeactivateUser(t.Context(), ids[3], models.HoldAdmin, "", models.System("test"))
	require.NoError(t, err)
	for range 2 {
		observed, err := p.ObserveUsers(t.Context(), activities.ObserveUsersInput{Seen: second.Seen})
		require.NoError(t, err)
		require.Equal(t, []uuid.UUID{ids[3]}, observed.Behind)
	}
	var all []uuid.UUID
	for page := (activities.UnsettledUsersResult{}); ; {
		page, err = p.UnsettledUsers(t.Context(), activities.UnsettledUsersInput{Fresh: true, After: page.Last, Limit: 1})
		require.NoError(t, err)
		if len(page.IDs) == 0 {
			break
		}
		all = append(all, page.IDs...)
	}
	require.ElementsMatch(t, []uuid.UUID{ids[3], ids[7]}, all)
	old, err := p.UnsettledUsers(t.Context(), activities.UnsettledUsersInput{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, old.IDs, "somebody is at it")
}

func (p people) batch(t *testing.T, ids []uuid.UUID) (res activities.ApplyUsersResult) {
	t.Helper()
	val, err := p.env.ExecuteActivity(p.ApplyUsers, activities.ApplyUsersInput{IDs: ids})
	require.NoError(t, err)
	require.NoError(t, val.Get(&res))
	return res
}

// That LiteLLM is away is not taken for a fault of each user.
func TestApplyUsersOfASilentLiteLLM(t *testing.T) {
	p := newPeople(t, litellmtest.Options{})
	ids := []uuid.UUID{p.signIn(t, "ada").ID, p.signIn(t, "bob").ID}
	back := p.proxy.Inject(litellmtest.Fault{Kind: litellmtest.FaultStatus, Status: http.StatusServiceUnavailable})
	require.True(t, p.batch(t, ids).Silent)
	back()
	require.Len(t, p.batch(t, ids).Seen, 2)
	require.False(t, p.batch(t, nil).Silent)
}
