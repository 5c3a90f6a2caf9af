package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// The fixed rows of LiteMaaS are there.
func TestFixedUsersAndTeams(t *testing.T) {
	s, db := opened(t)
	u, err := s.User(t.Context(), models.SystemUserID)
	require.NoError(t, err)
	require.False(t, u.Active())
	require.Empty(t, u.Roles)
	require.True(t, u.Settled(), "LiteLLM never hears of it")
	require.Equal(t, "system@litemaas.internal", u.Email)
	require.Equal(t, 1, counted(t, db, "SELECT count(*) FROM teams WHERE id = $1 AND litellm_alias = 'default-team' AND max_budget = 10000 * 1000000000::bigint", models.DefaultTeamID))
	_, err = s.DeactivateUser(t.Context(), models.SystemUserID, models.HoldAdmin, "", ada)
	refused(t, models.Forbidden, err)
	_, err = s.ReinstateUser(t.Context(), models.SystemUserID, models.HoldSystem, "", ada)
	refused(t, models.Forbidden, err)
	_, err = s.AssignRole(t.Context(), models.SystemUserID, models.RoleUser, ada, everything)
	refused(t, models.Forbidden, err)
}

// Users are found by what they are called, by role and by whether they are active.
func TestUsersQuery(t *testing.T) {
	s := storetest.New(t)
	var last models.User
	for i := range 5 {
		last = signedIn(t, s, fmt.Sprintf("user_%d", i), models.RoleUser)
	}
	root := signedIn(t, s, "root", models.RoleAdmin)
	_, err := s.DeactivateUser(t.Context(), last.ID, models.HoldAdmin, "", actor(root))
	require.NoError(t, err)
	for _, tc := range []struct {
		name string
		q    store.UserQuery
		want []string
		n    int
	}{
		{"all, the newest first", store.UserQuery{Page: 1, Limit: 3}, []string{"root", "user_4", "user_3"}, 7},
		{"the last page", store.UserQuery{Page: 3, Limit: 3}, []string{"system"}, 7},
		{"past the end", store.UserQuery{Page: 4, Limit: 3}, nil, 7},
		{"by full name", store.UserQuery{Page: 1, Limit: 10, Search: "FULL ROOT"}, []string{"root"}, 1},
		{"by address", store.UserQuery{Page: 1, Limit: 10, Search: "_2@"}, []string{"user_2"}, 1},
		{"a wildcard is a character", store.UserQuery{Page: 1, Limit: 10, Search: "r%t"}, nil, 0},
		{"by role", store.UserQuery{Page: 1, Limit: 10, Role: models.RoleAdmin}, []string{"root"}, 1},
		{"not active", store.UserQuery{Page: 1, Limit: 10, Active: new(false)}, []string{"user_4", "system"}, 2},
		{"active, with a role", store.UserQuery{Page: 1, Limit: 1, Role: models.RoleUser, Active: new(true)}, []string{"user_3"}, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			page, n, err := s.Users(t.Context(), tc.q)
			require.NoError(t, err)
			require.Equal(t, tc.n, n)
			var names []string
			for _, u := range page {
				names = append(names, u.Username)
			}
			require.Equal(t, tc.want, names)
		})
	}
	names, err := s.UserNames(t.Context())
	require.NoError(t, err)
	require.Len(t, names, 6)
	require.Equal(t, store.UserName{ID: root.ID, Username: "root", Email: "root@example.com"}, names[0])
	_, err = s.User(t.Context(), uuid.New())
	refused(t, models.NotFound, err)
	byName, err := s.UserNamed(t.Context(), "root")
	require.NoError(t, err)
	require.Equal(t, root.ID, byName.ID)
}

// A wish is proved once, by a look at the generation that it has; an older look proves nothing.
func TestUserWishAndProof(t *testing.T) {
	s := storetest.New(t)
	u := signedIn(t, s, "ada")
	due, err := s.UnsettledUsers(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{u.ID}, due)
	due, err = s.UnsettledUsers(t.Context(), time.Hour, 10)
	require.NoError(t, err)
	require.Empty(t, due, "somebody is at it")

	require.NoError(t, s.FailUser(t.Context(), u.ID, 1, "too many users", models.System("ReconcileUser")))
	u, err = s.User(t.Context(), u.ID)
	require.NoError(t, err)
	require.Equal(t, models.UserFailed, u.Status())
	due, err = s.UnsettledUsers(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Empty(t, due)
	require.Equal(t, models.AuditUserRefused, audited(t, s, u.ID.String())[0])

	u, err = s.DeactivateUser(t.Context(), u.ID, models.HoldOffboarded, "left", models.System("Offboard"))
	require.NoError(t, err)
	require.EqualValues(t, 2, u.Generation)
	require.Equal(t, models.UserPending, u.Status())
	require.NoError(t, s.FailUser(t.Context(), u.ID, 1, "again", models.System("ReconcileUser")))
	for _, step := range []struct {
		generation int64
		status     models.UserStatus
	}{{1, models.UserPending}, {3, models.UserPending}, {2, models.UserSynced}, {1, models.UserSynced}} {
		u, err = s.ObserveUser(t.Context(), u.ID, step.generation)
		require.NoError(t, err)
		require.Equal(t, step.status, u.Status(), "generation %d", step.generation)
	}
	require.Empty(t, u.Failure)
}

// Each reason is set and lifted by itself; sessions end with the first and stay ended.
func TestDeactivateAndReinstate(t *testing.T) {
	s := storetest.New(t)
	root, u := signedIn(t, s, "root", models.RoleAdmin), signedIn(t, s, "ada")
	mine := session(t, s, u)
	for range 2 {
		held, err := s.DeactivateUser(t.Context(), u.ID, models.HoldAdmin, "abuse", actor(root))
		require.NoError(t, err)
		require.Equal(t, []models.Hold{models.HoldAdmin}, held.Holds)
		require.EqualValues(t, 2, held.Generation)
	}
	_, err := s.Principal(t.Context(), mine.ID)
	refused(t, models.Unauthenticated, err)
	_, err = s.CreateSession(t.Context(), hour(u), nil, actor(u))
	refused(t, models.Forbidden, err)
	ended, err := s.Session(t.Context(), mine.ID)
	require.NoError(t, err)
	require.Equal(t, models.SessionDeactivated, ended.RevokedWhy)

	_, err = s.DeactivateUser(t.Context(), u.ID, models.HoldOffboarded, "left", models.System("Offboard"))
	require.NoError(t, err)
	left, err := s.ReinstateUser(t.Context(), u.ID, models.HoldAdmin, "sorry", actor(root))
	require.NoError(t, err)
	require.False(t, left.Active())
	for range 2 {
		left, err = s.ReinstateUser(t.Context(), u.ID, models.HoldOffboarded, "back", models.System("Reinstate"))
		require.NoError(t, err)
		require.True(t, left.Active())
		require.EqualValues(t, 5, left.Generation)
	}
	_, err = s.Principal(t.Context(), mine.ID)
	refused(t, models.Unauthenticated, err)
	session(t, s, u)
	want := []models.AuditAction{models.AuditUserReinstate, models.AuditUserReinstate, models.AuditUserDeactivate, models.AuditUserDeactivate}
	require.Equal(t, want, audited(t, s, u.ID.String())[:4])

	_, err = s.DeactivateUser(t.Context(), root.ID, models.HoldAdmin, "", actor(root))
	refused(t, models.Forbidden, err)
	_, err = s.DeactivateUser(t.Context(), root.ID, models.HoldAdmin, "", models.System("test"))
	refused(t, models.Conflict, err)
}

// What LiteLLM lacks or holds otherwise is found by the same rule in SQL and in Go.
func TestCompareUsers(t *testing.T) {
	s, db := opened(t)
	limits := models.Limits{MaxBudget: new(5 * models.Dollar), BudgetDuration: "monthly", TPM: new(int64(10))}
	settle := func(u models.User) models.User {
		u, err := s.ObserveUser(t.Context(), u.ID, u.Generation)
		require.NoError(t, err)
		return u
	}
	at := func(name string, edit func(*models.ProxyUser)) (models.User, models.ProxyUser) {
		u, err := s.SignIn(t.Context(), identity(name), models.Initials{Limits: limits}, from)
		require.NoError(t, err)
		if name == "held" {
			u, err = s.DeactivateUser(t.Context(), u.ID, models.HoldAdmin, "", models.System("test"))
			require.NoError(t, err)
		}
		seen := settle(u).Proxy()
		edit(&seen)
		return u, seen
	}
	edits := map[string]func(*models.ProxyUser){
		"same":      func(p *models.ProxyUser) { p.Spend, p.Teams = models.Dollar, []string{"default-team"} },
		"shouting":  func(p *models.ProxyUser) { p.Email = "SHOUTING@example.com" },
		"unlimited": func(p *models.ProxyUser) { p.RPM = new(int64(models.Unlimited)) },
		"held":      func(*models.ProxyUser) {},
		"moved":     func(p *models.ProxyUser) { p.Email = "else@example.com" },
		"renamed":   func(p *models.ProxyUser) { p.Alias = "else" },
		"promoted":  func(p *models.ProxyUser) { p.Role = models.ProxyRoleAdmin },
		"raised":    func(p *models.ProxyUser) { p.MaxBudget = new(6 * models.Dollar) },
		"freed":     func(p *models.ProxyUser) { p.MaxBudget = nil },
		"weekly":    func(p *models.ProxyUser) { p.BudgetDuration = "7d" },
		"slower":    func(p *models.ProxyUser) { p.TPM = new(int64(9)) },
		"bound":     func(p *models.ProxyUser) { p.RPM = new(int64(0)) },
	}
	list := []models.ProxyUser{{ID: "default_user_id", Role: models.ProxyRoleAdmin}, {ID: "stranger"}}
	want := map[string][]string{"stranger": nil}
	for name, edit := range edits {
		u, seen := at(name, edit)
		list = append(list, seen, seen)
		if fields := u.Differences(seen); len(fields) > 0 {
			slices.Sort(fields)
			want[u.ID.String()] = fields
		}
	}
	require.Len(t, want, 9)
	gone, _ := at("gone", func(*models.ProxyUser) {})
	want[gone.ID.String()] = nil
	signedIn(t, s, "unsettled")

	compare := func(o models.SyncOptions) models.SyncRun {
		run := models.SyncRun{ID: uuid.New(), WorkflowID: "full-sync", Kind: models.SyncFull, Trigger: models.SyncByPerson, Actor: "ada", Options: o}
		require.NoError(t, s.BeginSyncRun(t.Context(), run, time.Hour))
		require.NoError(t, s.StageUsers(t.Context(), run.ID, list))
		require.NoError(t, s.StageUsers(t.Context(), run.ID, list), "staging twice stages once")
		first, err := s.CompareUsers(t.Context(), run.ID)
		require.NoError(t, err)
		again, err := s.CompareUsers(t.Context(), run.ID)
		require.NoError(t, err)
		require.Equal(t, first, again)
		refused(t, models.Conflict, s.StageUsers(t.Context(), run.ID, list))
		return first
	}
	counts := models.UserCounts{Listed: 14, Missing: 1, Different: 8, Unknown: 1}
	dry := compare(models.SyncOptions{DryRun: true})
	require.Equal(t, counts, dry.Users)
	found, n, err := s.UserDifferences(t.Context(), dry.ID, store.UserDifferenceQuery{Page: 1, Limit: 100})
	require.NoError(t, err)
	require.Equal(t, 10, n)
	got := map[string][]string{}
	for _, d := range found {
		got[d.UserID] = nil
		for _, f := range d.Fields {
			got[d.UserID] = append(got[d.UserID], f.Field)
		}
	}
	require.Equal(t, want, got)
	require.Zero(t, counted(t, db, "SELECT count(*) FROM audit WHERE action = 'USER_DRIFT'"), "a dry run only reports")

	require.Equal(t, counts, compare(models.SyncOptions{}).Users)
	require.Equal(t, 9, counted(t, db, "SELECT count(*) FROM audit WHERE action = 'USER_DRIFT'"))
	due, err := s.UnsettledUsers(t.Context(), 0, 100)
	require.NoError(t, err)
	require.Len(t, due, 10, "and the one that was unsettled before")
	require.Zero(t, counted(t, db, "SELECT count(*) FROM sync_staged_users"))
	quiet := compare(models.SyncOptions{})
	require.Equal(t, models.UserCounts{Listed: 14, Unknown: 1}, quiet.Users, "they are being written")
}
