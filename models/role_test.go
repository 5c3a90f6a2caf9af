package models

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What each built-in role may, by the rules of LiteMaaS: no role that reads can write.
func TestBuiltInRoles(t *testing.T) {
	roles := BuiltInRoles()
	for _, tc := range []struct {
		role     string
		may, not Permissions
	}{
		{RoleAdmin, Permissions{"admin:system", "users:delete", "models:write"}, nil},
		{RoleUser, Permissions{"models:read", "subscriptions:write", "api_keys:delete", "usage:export"}, Permissions{"admin:subscriptions:write", "users:read", "models:write"}},
		{
			RoleAdminReadonly,
			Permissions{"admin:users", "admin:usage", "admin:audit", "users:read", "api_keys:read", "usage:export"},
			Permissions{"admin:users:write", "admin:usage:write", "admin:roles:write", "users:write", "subscriptions:write"},
		},
		{RoleReadonly, Permissions{"models:read", "usage:read"}, Permissions{"usage:export", "subscriptions:write", "admin:users"}},
		{"nobody", nil, Permissions{"models:read"}},
	} {
		has := roles.Permissions(tc.role)
		for _, p := range tc.may {
			require.True(t, has.Has(p), "%s %s", tc.role, p)
		}
		for _, p := range tc.not {
			require.False(t, has.Has(p), "%s %s", tc.role, p)
		}
	}
	for _, p := range roles.Permissions(RoleAdminReadonly, RoleReadonly) {
		require.NotRegexp(t, ":(write|delete)$", string(p))
	}
	for p, what := range Known {
		require.Regexp(t, `^[a-z_]+(:[a-z_]+){1,2}$`, string(p))
		require.NotEmpty(t, what)
	}
}

// A role that is not well-formed, permits what nobody knows, or goes in a circle is refused.
func TestRolesCheck(t *testing.T) {
	roles := append(BuiltInRoles(), Role{ID: "one", Inherits: []string{"two"}}, Role{ID: "two", Inherits: []string{RoleReadonly}})
	for _, tc := range []struct {
		name string
		role Role
		kind Kind
	}{
		{"nothing but a name", Role{ID: "auditor"}, ""},
		{"its own and inherited permissions", Role{ID: "auditor", Inherits: []string{RoleUser, "one"}, Permissions: Permissions{"admin:audit"}}, ""},
		{"a name with a space", Role{ID: "an auditor"}, Invalid},
		{"no name", Role{}, Invalid},
		{"too much text", Role{ID: "auditor", Description: strings.Repeat("x", 501)}, Invalid},
		{"an unknown permission", Role{ID: "auditor", Permissions: Permissions{"admin:all"}}, Invalid},
		{"everything", Role{ID: "auditor", Permissions: Permissions{Everything}}, Invalid},
		{"the admin's role", Role{ID: "auditor", Inherits: []string{RoleAdmin}}, Invalid},
		{"an unknown role", Role{ID: "auditor", Inherits: []string{"nobody"}}, Invalid},
		{"itself", Role{ID: "auditor", Inherits: []string{"auditor"}}, Conflict},
		{"itself through others", Role{ID: "two", Inherits: []string{"one"}}, Conflict},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := roles.Check(tc.role)
			if tc.kind == "" {
				require.NoError(t, err)
				return
			}
			require.Equal(t, tc.kind, KindOf(err), "%v", err)
		})
	}
}

// Groups give roles, always that of a user; Keycloak writes them as paths.
func TestGroupRoles(t *testing.T) {
	groups := DefaultGroupRoles()
	require.Equal(t, []string{"user"}, groups.Roles(nil))
	require.Equal(t, []string{"user"}, groups.Roles([]string{"strangers", "/tenant/litemaas-admins"}))
	require.Equal(t, []string{"admin", "user"}, groups.Roles([]string{"/litemaas-admins", "administrators"}))
	require.Equal(t, []string{"admin-readonly", "user"}, groups.Roles([]string{"viewers", "developers"}))
}

// A principal may what his permissions say, as long as he is active.
func TestPrincipalMay(t *testing.T) {
	p := Principal{Active: true, Permissions: Permissions{"models:read"}, Username: "admin-key-1"}
	require.True(t, p.May("models:read"))
	require.False(t, p.May("models:write"))
	require.Equal(t, "admin-key-1", p.Actor(Origin{}).ID)
	p.Active = false
	require.False(t, p.May("models:read"))
}
