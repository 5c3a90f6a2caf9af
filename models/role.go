package models

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The roles that are always there. The web UI knows the first three by these names.
const (
	RoleAdmin         = "admin"
	RoleAdminReadonly = "admin-readonly"
	RoleUser          = "user"
	RoleReadonly      = "readonly"
)

// Role is a set of permissions under a name, its own and those of the roles it inherits.
type Role struct {
	ID          string // its name
	Description string
	BuiltIn     bool        // cannot be changed or deleted
	Inherits    []string    `gorm:"serializer:json"`
	Permissions Permissions `gorm:"serializer:json"` // its own
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// TableName is where roles are stored.
func (Role) TableName() string { return "roles" }

// Permission is one thing that one may do, as noun:verb.
type Permission string

// Permissions is a set of them, sorted.
type Permissions []Permission

// Everything is the permission that holds all others. Only RoleAdmin has it.
const Everything Permission = "*"

// Known is every permission, with what it lets one do. A permission that writes is never the
// one that reads, so that who may look at everything can change nothing.
var Known = map[Permission]string{
	"models:read":                "See the models of the catalogue",
	"models:write":               "Compare the catalogue with LiteLLM, and decide on what a sync proposes",
	"subscriptions:read":         "See one's own subscriptions",
	"subscriptions:write":        "Subscribe to models",
	"subscriptions:delete":       "Give up subscriptions",
	"api_keys:read":              "See one's own API keys",
	"api_keys:write":             "Make and change API keys",
	"api_keys:delete":            "Delete API keys",
	"usage:read":                 "See one's own usage",
	"usage:export":               "Export usage",
	"users:read":                 "See all users",
	"users:write":                "Change users: their roles, their limits, whether they are active",
	"users:delete":               "Delete users",
	"admin:users":                "See roles, permissions and the settings for users",
	"admin:users:write":          "Change the settings for users, and all users at once",
	"admin:roles:write":          "Make, change and delete roles",
	"admin:usage":                "See the usage of everybody",
	"admin:usage:write":          "Refresh, rebuild and clean up usage data",
	"admin:audit":                "Read and export the audit log",
	"admin:models":               "Add, change and remove models at LiteLLM",
	"admin:api_keys":             "Check and clean up the API keys of everybody",
	"admin:subscriptions:read":   "See the subscriptions of everybody",
	"admin:subscriptions:write":  "Approve and deny subscriptions, reset quotas",
	"admin:subscriptions:delete": "Delete subscriptions",
	"admin:banners:read":         "See all banners",
	"admin:banners:write":        "Change banners and branding",
	"admin:backup":               "Make, read and restore backups",
	"admin:system":               "See the numbers of the whole system",
	"admin:health":               "See how each part of the system is",
}

// ByKey are the permissions that somebody has who comes by an API key of his, if he has them
// himself: keys lie in many places, and are there to call models.
var ByKey = Permissions{"api_keys:read", "models:read", "subscriptions:read", "usage:read"}

// Of is what is in both sets, where others may hold everything.
func (ps Permissions) Of(others Permissions) Permissions {
	return slices.DeleteFunc(slices.Clone(ps), func(p Permission) bool { return !others.Has(p) })
}

// BuiltInRoles are the roles that are always there, as the schema creates them.
func BuiltInRoles() Roles {
	return Roles{
		{ID: RoleAdmin, BuiltIn: true, Description: "May do everything", Permissions: Permissions{Everything}},
		{
			ID: RoleAdminReadonly, BuiltIn: true, Description: "Sees everything, changes nothing", Inherits: []string{RoleReadonly},
			Permissions: Permissions{
				"admin:audit", "admin:banners:read", "admin:subscriptions:read", "admin:usage", "admin:users",
				"usage:export", "users:read",
			},
		},
		{ID: RoleReadonly, BuiltIn: true, Description: "Sees his own things", Permissions: Permissions{
			"api_keys:read", "models:read", "subscriptions:read", "usage:read",
		}},
		{
			ID: RoleUser, BuiltIn: true, Description: "Subscribes to models and holds API keys", Inherits: []string{RoleReadonly},
			Permissions: Permissions{
				"api_keys:delete", "api_keys:write", "subscriptions:delete", "subscriptions:write", "usage:export",
			},
		},
	}
}

// Has reports whether p is in the set, by name or because everything is.
func (ps Permissions) Has(p Permission) bool {
	return slices.Contains(ps, p) || slices.Contains(ps, Everything)
}

// Cover reports whether all of others are in the set. Nobody gives, or takes from somebody,
// what he does not have himself.
func (ps Permissions) Cover(others Permissions) bool {
	return !slices.ContainsFunc(others, func(p Permission) bool { return !ps.Has(p) })
}

// Roles is all roles that there are.
type Roles []Role

// Role is the role of that name.
func (rs Roles) Role(id string) (Role, bool) {
	i := slices.IndexFunc(rs, func(r Role) bool { return r.ID == id })
	if i < 0 {
		return Role{}, false
	}
	return rs[i], true
}

// Permissions is what the roles of these names permit together, with all they inherit. A name
// that is no role permits nothing.
func (rs Roles) Permissions(ids ...string) Permissions {
	seen, set := map[string]bool{}, map[Permission]bool{}
	for len(ids) > 0 {
		id := ids[0]
		ids = ids[1:]
		if r, ok := rs.Role(id); ok && !seen[id] {
			seen[id] = true
			ids = append(slices.Clone(ids), r.Inherits...)
			for _, p := range r.Permissions {
				set[p] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

var roleName = regexp.MustCompile(`^[a-z][a-z0-9-]{1,62}$`)

// Check judges a role that is to be added or changed among the others: Invalid when it is not
// well-formed, Conflict when it would inherit itself.
func (rs Roles) Check(r Role) error {
	if !roleName.MatchString(r.ID) {
		return Errorf(Invalid, "the name of a role has 2 to 63 small letters, digits and hyphens, and starts with a letter").On("id")
	}
	if len(r.Description) > 500 {
		return Errorf(Invalid, "the description must have at most 500 characters").On("description")
	}
	for _, p := range r.Permissions {
		if _, known := Known[p]; !known {
			return Errorf(Invalid, "there is no permission %q", p).On("permissions")
		}
	}
	for _, id := range r.Inherits {
		switch _, known := rs.Role(id); {
		case id == RoleAdmin:
			return Errorf(Invalid, "no role can inherit %s", RoleAdmin).On("inherits")
		case id == r.ID || rs.inherits(id, r.ID):
			return Errorf(Conflict, "%s would inherit itself through %s", r.ID, id).On("inherits")
		case !known:
			return Errorf(Invalid, "there is no role %q", id).On("inherits")
		}
	}
	return nil
}

// inherits reports whether a role inherits another, through however many. The roles hold no
// cycle: Check lets none in.
func (rs Roles) inherits(id, other string) bool {
	r, _ := rs.Role(id)
	return slices.ContainsFunc(r.Inherits, func(next string) bool { return next == other || rs.inherits(next, other) })
}

// Grant is one role that a user holds, from one source.
type Grant struct {
	UserID    uuid.UUID
	RoleID    string
	Source    GrantSource
	GrantedBy string // as the audit log names him
	GrantedAt time.Time
}

// GrantSource says who gave a role.
type GrantSource string

// The sources. What the identity provider gave goes when it no longer says so, at the next
// sign-in; what an admin gave stays.
const (
	GrantIDP    GrantSource = "idp"
	GrantManual GrantSource = "manual"
)

// GroupRoles says which roles come with the groups of an identity provider.
type GroupRoles map[string][]string

// DefaultGroupRoles are the groups that LiteMaaS knows.
func DefaultGroupRoles() GroupRoles {
	return GroupRoles{
		"litemaas-admins":   {RoleAdmin},
		"administrators":    {RoleAdmin},
		"litemaas-users":    {RoleUser},
		"developers":        {RoleUser},
		"litemaas-readonly": {RoleAdminReadonly},
		"viewers":           {RoleAdminReadonly},
	}
}

// Roles are the roles of someone in these groups, sorted: always RoleUser. Keycloak may write
// a group as a path.
func (g GroupRoles) Roles(groups []string) []string {
	roles := []string{RoleUser}
	for _, group := range groups {
		roles = append(roles, g[strings.TrimPrefix(group, "/")]...)
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}
