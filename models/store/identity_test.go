package store_test

import (
	"database/sql"
	"fmt"
	stdsync "sync" // sync is a helper here
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// from is where the requests of these tests come from.
var from = models.Origin{IP: "192.0.2.7", UserAgent: "tests/1.0", RequestID: "r-1"}

// everything is what an admin may.
var everything = models.Permissions{models.Everything}

// opened returns a store with a plain connection to its database.
func opened(t *testing.T) (*store.Store, *sql.DB) {
	t.Helper()
	url := storetest.URL(t)
	s, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(url), MaxConns: 8})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s, storetest.SQL(t, url)
}

// identity is a person with a verified address, of these groups.
func identity(name string, roles ...string) models.Identity {
	return models.Identity{
		Provider: "oidc", Subject: "sub-" + name, Username: name, Email: name + "@example.com", EmailVerified: true,
		FullName: "Full " + name, Roles: roles,
	}
}

// signedIn is a user who has just signed in.
func signedIn(t *testing.T, s *store.Store, name string, roles ...string) models.User {
	t.Helper()
	u, err := s.SignIn(t.Context(), identity(name, roles...), models.Initials{}, from)
	require.NoError(t, err)
	return u
}

// session is a new session of a user, for an hour.
func session(t *testing.T, s *store.Store, u models.User) models.Session {
	t.Helper()
	out, err := s.CreateSession(t.Context(), hour(u), nil, actor(u))
	require.NoError(t, err)
	return out
}

func hour(u models.User) models.Session {
	return models.Session{
		UserID: u.ID, Provider: "oidc", ProviderTokens: []byte("sealed"), AuthTime: time.Now(),
		IP: "192.0.2.7", UserAgent: "tests/1.0", ExpiresAt: time.Now().Add(time.Hour),
	}
}

func actor(u models.User) models.Actor {
	return models.Actor{ID: u.ID.String(), Via: "api", Origin: from}
}

// refused requires an error of that kind.
func refused(t *testing.T, kind models.Kind, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, kind, models.KindOf(err), "%v", err)
}

// audited are the actions in the log about a thing, the newest first.
func audited(t *testing.T, s *store.Store, resourceID string) []models.AuditAction {
	t.Helper()
	rows, _, err := s.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 100, ResourceID: resourceID})
	require.NoError(t, err)
	actions := []models.AuditAction{}
	for _, r := range rows {
		actions = append(actions, r.Action)
	}
	return actions
}

// atOnce does something n times at the same time, and returns the error of each.
func atOnce(n int, do func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg stdsync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = do(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// counted is a number from the database.
func counted(t *testing.T, db *sql.DB, query string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, db.QueryRow(query, args...).Scan(&n))
	return n
}

// A person's first sign-in makes a user with the defaults; the next ones find him again.
func TestSignInMakesAUser(t *testing.T) {
	s, db := opened(t)
	limits := models.Limits{MaxBudget: new(100 * models.Dollar), BudgetDuration: "monthly", TPM: new(int64(5)), RPM: new(int64(6))}
	u, err := s.SignIn(t.Context(), identity("ada"), models.Initials{Limits: limits}, from)
	require.NoError(t, err)
	require.Equal(t, []string{models.RoleUser}, u.Roles)
	require.Equal(t, limits, u.Limits)
	require.Equal(t, models.UserPending, u.Status())
	require.NotNil(t, u.LastLoginAt)
	require.Equal(t, 1, counted(t, db, "SELECT count(*) FROM team_members WHERE team_id = $1 AND user_id = $2", models.DefaultTeamID, u.ID))
	require.Equal(t, []models.AuditAction{models.AuditLogin, models.AuditRoleGrant, models.AuditUserCreate}, audited(t, s, u.ID.String()))

	again, err := s.SignIn(t.Context(), identity("ada"), models.Initials{}, from)
	require.NoError(t, err)
	require.Equal(t, u.ID, again.ID)
	require.EqualValues(t, 1, again.Generation, "LiteLLM has nothing new to hold")
	require.Equal(t, u.UpdatedAt, again.UpdatedAt)
	require.Equal(t, limits, again.Limits)

	login, _, err := s.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 1, Action: models.AuditLogin})
	require.NoError(t, err)
	got := models.Origin{IP: login[0].IP, UserAgent: login[0].UserAgent, RequestID: login[0].RequestID}
	require.Equal(t, from, got)
	require.Equal(t, "ada", login[0].Username)
}

// Thirty tabs that open at once are one new user.
func TestSignInOfOneNewUserAtOnce(t *testing.T) {
	s, db := opened(t)
	ids := make([]uuid.UUID, 30)
	for _, err := range atOnce(30, func(i int) error {
		u, err := s.SignIn(t.Context(), identity("ada"), models.Initials{}, from)
		ids[i] = u.ID
		return err
	}) {
		require.NoError(t, err)
	}
	for _, id := range ids {
		require.Equal(t, ids[0], id)
	}
	require.Equal(t, 1, counted(t, db, "SELECT count(*) FROM users WHERE username = 'ada'"))
	require.Equal(t, 30, counted(t, db, "SELECT count(*) FROM audit WHERE action = 'LOGIN'"))
}

// An account is tied to another identity only if both sides have verified the address.
func TestSignInLinksByVerifiedEmail(t *testing.T) {
	for _, tc := range []struct {
		name          string
		before, after bool // verified, there and here
		kind          models.Kind
	}{
		{"both verified", true, true, ""},
		{"the identity unverified", true, false, models.Conflict},
		{"the account unverified", false, true, models.Conflict},
		{"neither", false, false, models.Conflict},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := storetest.New(t)
			id := identity("ada")
			id.EmailVerified = tc.before
			u, err := s.SignIn(t.Context(), id, models.Initials{}, from)
			require.NoError(t, err)
			id.Provider, id.Subject, id.EmailVerified, id.Email = "openshift", "other", tc.after, "ADA@example.com"
			linked, err := s.SignIn(t.Context(), id, models.Initials{}, from)
			if tc.kind != "" {
				refused(t, tc.kind, err)
				rows, n, err := s.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 1, Action: models.AuditFailed})
				require.NoError(t, err)
				require.Equal(t, 1, n)
				require.False(t, rows[0].Success)
				require.Equal(t, u.ID.String(), rows[0].Actor)
				require.Contains(t, rows[0].Failure, "not verified on both sides")
				return
			}
			require.NoError(t, err)
			require.Equal(t, u.ID, linked.ID)
			require.Equal(t, "openshift", linked.Provider)
			require.Contains(t, audited(t, s, u.ID.String()), models.AuditUserLink)
		})
	}
}

// A provider that gives an address to a second person does not give him the first one's account.
func TestSignInDoesNotInheritAnAddress(t *testing.T) {
	s := storetest.New(t)
	signedIn(t, s, "ada")
	heir := identity("ada")
	heir.Subject, heir.Username, heir.EmailVerified = "another", "heir", true
	_, err := s.SignIn(t.Context(), heir, models.Initials{}, from)
	refused(t, models.Conflict, err)
}

// Who is deactivated is not let in, and the log says so; nor is who is nobody.
func TestSignInRefuses(t *testing.T) {
	s := storetest.New(t)
	u := signedIn(t, s, "ada")
	_, err := s.DeactivateUser(t.Context(), u.ID, models.HoldAdmin, "left", models.System("test"))
	require.NoError(t, err)
	_, err = s.SignIn(t.Context(), identity("ada"), models.Initials{}, from)
	refused(t, models.Forbidden, err)
	_, err = s.SignIn(t.Context(), models.Identity{Provider: "oidc", Subject: "x"}, models.Initials{}, from)
	refused(t, models.Unauthenticated, err)
	rows, n, err := s.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 10, Failed: true})
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Equal(t, "anonymous", rows[0].Actor)
	require.Equal(t, u.ID.String(), rows[1].Actor)
}

// What people are called follows the identity provider, as far as nobody else has it; only
// what LiteLLM holds too concerns LiteLLM.
func TestSignInFollowsTheProvider(t *testing.T) {
	s := storetest.New(t)
	u := signedIn(t, s, "ada")
	bob := signedIn(t, s, "bob")

	id := identity("ada")
	id.FullName = "Ada King"
	named, err := s.SignIn(t.Context(), id, models.Initials{}, from)
	require.NoError(t, err)
	require.Equal(t, "Ada King", named.FullName)
	require.EqualValues(t, 1, named.Generation)

	_, err = s.RenameUser(t.Context(), u.ID, "Countess", actor(u))
	require.NoError(t, err)
	id.Email, id.Username = "countess@example.com", "countess"
	moved, err := s.SignIn(t.Context(), id, models.Initials{}, from)
	require.NoError(t, err)
	require.Equal(t, "Countess", moved.FullName, "his own word")
	require.Equal(t, "countess@example.com", moved.Email)
	require.Equal(t, "countess", moved.Username)
	require.EqualValues(t, 2, moved.Generation)

	id.Email, id.Username = "BOB@example.com", "bob"
	kept, err := s.SignIn(t.Context(), id, models.Initials{}, from)
	require.NoError(t, err)
	require.Equal(t, "countess@example.com", kept.Email)
	require.Equal(t, "countess", kept.Username)
	require.EqualValues(t, 2, kept.Generation)

	other := models.Identity{Provider: "openshift", Subject: "b", Username: "bob", Roles: []string{models.RoleUser}}
	second, err := s.SignIn(t.Context(), other, models.Initials{Admins: []string{"bob"}}, from)
	require.NoError(t, err)
	require.NotEqual(t, bob.ID, second.ID)
	require.Contains(t, second.Username, "bob-")
	require.Equal(t, []string{models.RoleUser}, second.Roles, "the name of an admin is not his")
}

// Roles from groups come and go with them; what an admin gave stays.
func TestSignInReplacesIDPGrants(t *testing.T) {
	s := storetest.New(t)
	root := signedIn(t, s, "root", models.RoleAdmin, models.RoleUser)
	u := signedIn(t, s, "ada", models.RoleAdminReadonly, models.RoleUser, "no-such-role")
	require.Equal(t, []string{models.RoleAdminReadonly, models.RoleUser}, u.Roles)
	_, err := s.AssignRole(t.Context(), u.ID, models.RoleReadonly, actor(root), everything)
	require.NoError(t, err)
	u = signedIn(t, s, "ada", models.RoleUser)
	require.Equal(t, []string{models.RoleReadonly, models.RoleUser}, u.Roles)
	grants, err := s.Grants(t.Context(), u.ID)
	require.NoError(t, err)
	sources := map[string]models.GrantSource{}
	for _, g := range grants {
		sources[g.RoleID] = g.Source
	}
	require.Equal(t, map[string]models.GrantSource{models.RoleReadonly: models.GrantManual, models.RoleUser: models.GrantIDP}, sources)

	listed, err := s.SignIn(t.Context(), identity("ada"), models.Initials{Admins: []string{"ada"}}, from)
	require.NoError(t, err)
	require.Contains(t, listed.Roles, models.RoleAdmin)
	require.NotContains(t, signedIn(t, s, "root").Roles, models.RoleAdmin, "there is another admin")
	require.Contains(t, signedIn(t, s, "ada").Roles, models.RoleAdmin, "the last admin stays one")
}

// A sign-in waits for nobody but the sign-ins of the same person.
func TestSignInOfManyAtOnce(t *testing.T) {
	s, db := opened(t)
	for _, err := range atOnce(40, func(i int) error {
		_, err := s.SignIn(t.Context(), identity(fmt.Sprintf("user-%d", i%20)), models.Initials{}, from)
		return err
	}) {
		require.NoError(t, err)
	}
	require.Equal(t, 21, counted(t, db, "SELECT count(*) FROM users"))
	report, err := s.VerifyAudit(t.Context(), models.AuditMark{})
	require.NoError(t, err)
	require.Empty(t, report.Breaks)
}
