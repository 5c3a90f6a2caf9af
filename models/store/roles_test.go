package store_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// The roles in the schema are those that the rules speak of.
func TestBuiltInRoles(t *testing.T) {
	s := storetest.New(t)
	roles, err := s.Roles(t.Context())
	require.NoError(t, err)
	want := models.BuiltInRoles()
	require.Len(t, roles, len(want))
	for i, r := range roles {
		want[i].CreatedAt, want[i].UpdatedAt = r.CreatedAt, r.UpdatedAt
		if want[i].Inherits == nil {
			want[i].Inherits = []string{}
		}
		require.Equal(t, want[i], r)
	}
}

// A role is made, changed and deleted by who may all that it permits, and the log shows what it
// was.
func TestCustomRoles(t *testing.T) {
	s := storetest.New(t)
	auditor := models.Role{ID: "auditor", Description: "Reads the log", Inherits: []string{"readonly"}, Permissions: models.Permissions{"users:read", "admin:audit", "admin:audit"}}
	r, err := s.CreateRole(t.Context(), auditor, ada, everything)
	require.NoError(t, err)
	require.Equal(t, models.Permissions{"admin:audit", "users:read"}, r.Permissions)
	_, err = s.CreateRole(t.Context(), auditor, ada, everything)
	refused(t, models.Conflict, err)

	few := models.Permissions{"admin:audit", "admin:roles:write"}
	_, err = s.CreateRole(t.Context(), models.Role{ID: "more", Permissions: models.Permissions{"users:write"}}, ada, few)
	refused(t, models.Forbidden, err)
	_, err = s.CreateRole(t.Context(), models.Role{ID: "more", Inherits: []string{"user"}}, ada, few)
	refused(t, models.Forbidden, err)
	_, err = s.UpdateRole(t.Context(), models.Role{ID: "auditor"}, ada, few)
	refused(t, models.Forbidden, err)
	_, err = s.UpdateRole(t.Context(), models.Role{ID: "user"}, ada, everything)
	refused(t, models.Forbidden, err)
	_, err = s.UpdateRole(t.Context(), models.Role{ID: "nobody"}, ada, everything)
	refused(t, models.NotFound, err)

	_, err = s.CreateRole(t.Context(), models.Role{ID: "chief", Inherits: []string{"auditor"}}, ada, everything)
	require.NoError(t, err)
	auditor.Inherits = []string{"chief"}
	_, err = s.UpdateRole(t.Context(), auditor, ada, everything)
	refused(t, models.Conflict, err)
	auditor.Inherits, auditor.Permissions = nil, models.Permissions{"admin:audit"}
	r, err = s.UpdateRole(t.Context(), auditor, ada, everything)
	require.NoError(t, err)
	require.Empty(t, r.Inherits)

	refused(t, models.Conflict, s.DeleteRole(t.Context(), "auditor", ada))
	refused(t, models.Forbidden, s.DeleteRole(t.Context(), "admin", ada))
	refused(t, models.NotFound, s.DeleteRole(t.Context(), "nobody", ada))
	u := signedIn(t, s, "ada")
	_, err = s.AssignRole(t.Context(), u.ID, "chief", ada, everything)
	require.NoError(t, err)
	refused(t, models.Conflict, s.DeleteRole(t.Context(), "chief", ada))
	_, err = s.UnassignRole(t.Context(), u.ID, "chief", ada, everything)
	require.NoError(t, err)
	require.NoError(t, s.DeleteRole(t.Context(), "chief", ada))
	require.NoError(t, s.DeleteRole(t.Context(), "auditor", ada))

	require.Equal(t, []models.AuditAction{models.AuditRoleDelete, models.AuditRoleUpdate, models.AuditRoleCreate}, audited(t, s, "auditor"))
	rows, _, err := s.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 1, Action: models.AuditRoleUpdate})
	require.NoError(t, err)
	require.JSONEq(t, `{"description": "Reads the log", "inherits": ["readonly"], "permissions": ["admin:audit", "users:read"]}`, string(rows[0].Before))
	require.JSONEq(t, `{"description": "Reads the log", "inherits": [], "permissions": ["admin:audit"]}`, string(rows[0].After))
}

// Two changes at once that would each be right cannot make a circle together.
func TestRolesInheritNoCircleAtOnce(t *testing.T) {
	s := storetest.New(t)
	for _, id := range []string{"aa", "bb"} {
		_, err := s.CreateRole(t.Context(), models.Role{ID: id}, ada, everything)
		require.NoError(t, err)
	}
	changes := []models.Role{{ID: "aa", Inherits: []string{"bb"}}, {ID: "bb", Inherits: []string{"aa"}}}
	errs := atOnce(2, func(i int) error {
		_, err := s.UpdateRole(t.Context(), changes[i], ada, everything)
		return err
	})
	require.NotEqual(t, errs[0] == nil, errs[1] == nil, "%v", errs)
}

// Roles are set as a whole, each change is audited, and nobody gives or takes more than he has.
func TestSetUserRoles(t *testing.T) {
	s := storetest.New(t)
	root, u := signedIn(t, s, "root", models.RoleAdmin), signedIn(t, s, "ada", models.RoleUser)
	changed, err := s.SetUserRoles(t.Context(), u.ID, []string{"admin", "readonly", "admin"}, actor(root), everything)
	require.NoError(t, err)
	require.Equal(t, []string{"admin", "readonly"}, changed.Roles)
	require.EqualValues(t, 1, changed.Generation, "LiteLLM knows nothing of roles")
	rows, _, err := s.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 4, ResourceID: u.ID.String()})
	require.NoError(t, err)
	require.Equal(t, models.AuditUserUpdate, rows[0].Action)
	require.JSONEq(t, `{"roles": ["user"]}`, string(rows[0].Before))
	require.JSONEq(t, `{"roles": ["admin", "readonly"]}`, string(rows[0].After))
	require.Equal(t, root.ID.String(), rows[0].Actor)
	require.Equal(t, models.AuditRoleGrant, rows[1].Action)
	require.Equal(t, models.AuditRoleGrant, rows[2].Action)
	require.Equal(t, models.AuditRoleRevoke, rows[3].Action)

	_, err = s.SetUserRoles(t.Context(), u.ID, []string{"emperor"}, actor(root), everything)
	refused(t, models.Invalid, err)
	_, err = s.SetUserRoles(t.Context(), uuid.New(), []string{"user"}, actor(root), everything)
	refused(t, models.NotFound, err)
	lesser := models.Permissions{"users:write", "models:read"}
	_, err = s.AssignRole(t.Context(), u.ID, models.RoleUser, actor(root), lesser)
	refused(t, models.Forbidden, err)
	_, err = s.UnassignRole(t.Context(), u.ID, models.RoleAdmin, actor(root), lesser)
	refused(t, models.Forbidden, err)
	_, err = s.UnassignRole(t.Context(), u.ID, models.RoleAdmin, actor(u), everything)
	refused(t, models.Forbidden, err)
	n := len(audited(t, s, u.ID.String()))
	same, err := s.AssignRole(t.Context(), u.ID, models.RoleReadonly, actor(root), everything)
	require.NoError(t, err)
	require.Equal(t, changed.Roles, same.Roles)
	require.Len(t, audited(t, s, u.ID.String()), n, "nothing happened")
}

// Two admins who demote each other at the same moment leave one.
func TestLastAdminAtOnce(t *testing.T) {
	for _, tc := range []struct {
		name   string
		topple func(s *store.Store, u, by models.User) error
	}{
		{"by taking the role", func(s *store.Store, u, by models.User) error {
			_, err := s.UnassignRole(t.Context(), u.ID, models.RoleAdmin, actor(by), everything)
			return err
		}},
		{"by deactivating", func(s *store.Store, u, by models.User) error {
			_, err := s.DeactivateUser(t.Context(), u.ID, models.HoldAdmin, "", actor(by))
			return err
		}},
		{"by the word of the identity provider", func(s *store.Store, u, _ models.User) error {
			_, err := s.SignIn(t.Context(), identity(u.Username), models.Initials{}, from)
			return err
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, db := opened(t)
			admins := []models.User{signedIn(t, s, "ada", models.RoleAdmin), signedIn(t, s, "bob", models.RoleAdmin)}
			errs := atOnce(2, func(i int) error { return tc.topple(s, admins[i], admins[1-i]) })
			for _, err := range errs {
				if err != nil {
					refused(t, models.Conflict, err)
				}
			}
			require.Equal(t, 1, counted(t, db, "SELECT count(DISTINCT u.id) FROM users u JOIN user_roles r ON r.user_id = u.id WHERE u.is_active AND r.role_id = 'admin'"))
		})
	}
}
