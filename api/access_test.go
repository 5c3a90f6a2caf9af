package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// The callers of the table.
const (
	nobody       = "nobody"
	unknown      = "a wrong token"
	aKey         = "a user's API key"
	adminsKey    = "an admin key"
	readonly     = models.RoleReadonly
	user         = models.RoleUser
	adminReading = models.RoleAdminReadonly
	admin        = models.RoleAdmin
	auditor      = "auditor" // a role that somebody made: admin:audit, users:read, and what readonly may
)

// who lists those that a route lets through; the others are answered 401 when we do not know
// them, else 403.
type who []string

var (
	users       = who{readonly, user, adminReading, admin, auditor}
	subscribers = who{user, admin}
	somebody    = append(users, adminsKey)
	everybody   = append(somebody, nobody, unknown, aKey)
	viewers     = who{adminReading, admin, adminsKey}
	auditors    = append(viewers, auditor)
	admins      = who{admin, adminsKey}
)

// access is who may do what: every route has a line.
var access = map[string]who{
	"GET /api/v1":                         everybody,
	"GET /api/v1/config":                  everybody,
	"GET /api/v1/config/admin-analytics":  everybody,
	"GET /api/v1/config/api-key-defaults": everybody,
	"GET /api/v1/health":                  everybody,
	"GET /api/v1/health/live":             everybody,
	"GET /api/v1/health/ready":            everybody,
	"GET /api/v1/health/metrics":          everybody,
	"GET /api/v1/health/status":           admins,
	"GET /api/v1/models":                  everybody,
	"GET /api/v1/models/:id":              everybody,
	"GET /api/v1/models/providers":        everybody,
	"GET /api/v1/models/capabilities":     everybody,
	"GET /api/v1/models/health":           everybody,
	"GET /api/v1/models/validate":         somebody,
	"GET /api/v1/models/sync/stats":       somebody,
	"POST /api/v1/models/sync":            admins,
	"POST /api/v1/models/refresh":         admins,
	"POST /api/v1/models/:id/refresh":     admins,
	"GET /api/v1/sync/runs":               admins,
	"GET /api/v1/sync/runs/:id":           admins,
	"GET /api/v1/sync/runs/:id/users":     admins,
	"GET /api/v1/sync/runs/:id/keys":      admins,
	"POST /api/v1/sync/runs/:id/decision": admins,
	"GET /api/v1/sync/schedule":           admins,
	"PUT /api/v1/sync/schedule":           admins,
	"POST /api/v1/sync/schedule/trigger":  admins,
	"GET /api/v1/sync/health":             admins,

	"GET /api/v1/sync/conflicts":              admins,
	"GET /api/v1/sync/conflicts/:id":          admins,
	"POST /api/v1/sync/conflicts/:id/resolve": admins,
	"GET /api/v1/sync/orphans":                admins,
	"POST /api/v1/sync/orphans/:hash/adopt":   admins,
	"POST /api/v1/sync/orphans/:hash/release": admins,
	"DELETE /api/v1/sync/orphans/:hash":       admins,

	"GET /api/v1/operations":     somebody,
	"GET /api/v1/operations/:id": somebody,
	"GET /health":                everybody,
	"GET /health/live":           everybody,
	"GET /health/ready":          everybody,
	"GET /health/metrics":        everybody,
	"GET /docs":                  everybody,
	"GET /docs/json":             everybody,
	"GET /docs/yaml":             everybody,
	"GET /docs/static/:file":     everybody,
	"GET /openapi.json":          everybody,

	"POST /api/auth/login":                        everybody,
	"GET /api/auth/callback":                      everybody,
	"POST /api/auth/refresh":                      everybody,
	"POST /api/v1/auth/refresh":                   everybody,
	"POST /api/auth/validate":                     everybody,
	"POST /api/auth/logout":                       somebody,
	"GET /api/auth/sessions":                      users,
	"DELETE /api/auth/sessions":                   users,
	"DELETE /api/auth/sessions/:sessionId":        users,
	"GET /api/auth/mock-users":                    everybody,
	"GET /api/auth/mock-login":                    everybody,
	"POST /api/auth/dev-token":                    everybody,
	"GET /.well-known/jwks.json":                  everybody,
	"GET /api/v1/auth/me":                         somebody,
	"GET /api/v1/auth/profile":                    users,
	"GET /api/v1/users/me":                        users,
	"PATCH /api/v1/users/me":                      users,
	"GET /api/v1/users/me/activity":               users,
	"GET /api/v1/users/me/stats":                  users,
	"GET /api/v1/users":                           auditors,
	"PATCH /api/v1/users/:id":                     admins,
	"GET /api/v1/admin/users":                     viewers,
	"GET /api/v1/admin/users/:id":                 auditors,
	"POST /api/v1/admin/users/:id/deactivate":     admins,
	"POST /api/v1/admin/users/:id/reinstate":      admins,
	"GET /api/rbac/roles":                         viewers,
	"POST /api/rbac/roles":                        admins,
	"PUT /api/rbac/roles/:id":                     admins,
	"DELETE /api/rbac/roles/:id":                  admins,
	"POST /api/rbac/assign":                       admins,
	"POST /api/rbac/unassign":                     admins,
	"GET /api/rbac/permissions":                   viewers,
	"GET /api/rbac/permissions/me":                somebody,
	"POST /api/rbac/permissions/check":            somebody,
	"POST /api/rbac/permissions/check-bulk":       somebody,
	"GET /api/v1/admin/audit":                     auditors,
	"GET /api/v1/admin/audit/actions":             auditors,
	"GET /api/v1/admin/audit/categories":          auditors,
	"GET /api/v1/admin/audit/export":              auditors,
	"GET /api/v1/admin/auth/info":                 viewers,
	"GET /api/v1/admin/settings/api-key-defaults": viewers,
	"PUT /api/v1/admin/settings/api-key-defaults": admins,

	"POST /api/v1/usage/events":         everybody, // who knows the secret, see TestPushUsage
	"GET /api/v1/usage/realtime":        somebody,
	"GET /api/v1/usage/realtime/stream": somebody,
	"GET /api/v1/usage/metrics":         somebody,
	"GET /api/v1/usage/summary":         somebody,
	"GET /api/v1/usage/timeseries":      somebody,
	"GET /api/v1/usage/top":             somebody,
	"GET /api/v1/usage/dashboard":       somebody,

	"POST /api/v1/api-keys/:id/rotate":            subscribers,
	"POST /api/v1/api-keys/:id/rotate/retire":     subscribers,
	"POST /api/v1/api-keys/:id/rotate/undo":       subscribers,
	"PUT /api/v1/api-keys/:id/rotate/policy":      subscribers,
	"POST /api/v1/api-keys/:id/reveal":            users,
	"POST /api/v1/api-keys/admin/cleanup-expired": admins,
	"POST /api/v1/api-keys/validate":              admins,

	"GET /api/v1/subscriptions":                     users,
	"POST /api/v1/subscriptions":                    subscribers,
	"GET /api/v1/subscriptions/stats":               users,
	"GET /api/v1/subscriptions/:id":                 users,
	"PATCH /api/v1/subscriptions/:id":               subscribers,
	"POST /api/v1/subscriptions/:id/cancel":         subscribers,
	"POST /api/v1/subscriptions/:id/request-review": subscribers,
	"GET /api/v1/subscriptions/:id/quota":           users,
	"GET /api/v1/subscriptions/:id/history":         users,
	"GET /api/v1/subscriptions/admin/all":           viewers,
	"POST /api/v1/subscriptions/admin/reset-quotas": admins,
	"GET /api/v1/admin/subscriptions":               viewers,
	"GET /api/v1/admin/subscriptions/stats":         viewers,
	"POST /api/v1/admin/subscriptions/approve":      admins,
	"POST /api/v1/admin/subscriptions/deny":         admins,
	"POST /api/v1/admin/subscriptions/:id/revert":   admins,
	"DELETE /api/v1/admin/subscriptions/:id":        admins,
	"GET /api/v1/admin/users/:id/subscriptions":     auditors,
	"POST /api/v1/admin/users/:id/subscriptions":    admins,
	"PUT /api/v1/admin/models/:id":                  admins,

	"GET /api/v1/budgets":                         viewers,
	"GET /api/v1/budgets/mine":                    users,
	"GET /api/v1/budgets/:id":                     viewers,
	"PATCH /api/v1/budgets/:id":                   admins,
	"GET /api/v1/budgets/:id/periods":             viewers,
	"POST /api/v1/budgets/:id/pardon":             admins,
	"GET /api/v1/budgets/:id/raises":              somebody, // of others there are none, but for viewers
	"POST /api/v1/budgets/:id/raises":             append(subscribers, adminsKey),
	"POST /api/v1/budgets/raises/:id/approve":     admins,
	"POST /api/v1/budgets/raises/:id/deny":        admins,
	"POST /api/v1/budgets/raises/:id/end":         admins,
	"GET /api/v1/usage/budget":                    users,
	"PATCH /api/v1/admin/users/:id/budget-limits": admins,
	"POST /api/v1/admin/users/:id/reset-spend":    admins,

	"GET /api/v1/api-keys":                                     users,
	"POST /api/v1/api-keys":                                    subscribers,
	"GET /api/v1/api-keys/stats":                               users,
	"GET /api/v1/api-keys/:id":                                 users,
	"PATCH /api/v1/api-keys/:id":                               subscribers,
	"DELETE /api/v1/api-keys/:id":                              subscribers,
	"POST /api/v1/api-keys/:id/reset-spend":                    subscribers,
	"GET /api/v1/admin/api-keys":                               viewers,
	"GET /api/v1/admin/users/:id/api-keys":                     auditors,
	"POST /api/v1/admin/users/:id/api-keys":                    admins,
	"PATCH /api/v1/admin/users/:id/api-keys/:keyId":            admins,
	"DELETE /api/v1/admin/users/:id/api-keys/:keyId":           admins,
	"POST /api/v1/admin/users/:id/api-keys/:keyId/reset-spend": admins,
}

// others are the routes that name what belongs to a user: to others it is not there, whatever
// they may. The value is the path of somebody's thing.
var others = map[string]func(t *testing.T, s system) string{
	"DELETE /api/auth/sessions/:sessionId": func(t *testing.T, s system) string {
		t.Helper()
		s.as(t, "somebody", user)
		sessions, err := s.Store.Sessions(t.Context(), s.user(t, "somebody").ID)
		require.NoError(t, err)
		return "/api/auth/sessions/" + sessions[0].ID.String()
	},
	"GET /api/v1/subscriptions/:id":                 somebodys(""),
	"PATCH /api/v1/subscriptions/:id":               somebodys(""),
	"POST /api/v1/subscriptions/:id/cancel":         somebodys("/cancel"),
	"POST /api/v1/subscriptions/:id/request-review": somebodys("/request-review"),
	"GET /api/v1/subscriptions/:id/quota":           somebodys("/quota"),
	"GET /api/v1/subscriptions/:id/history":         somebodys("/history"),

	"POST /api/v1/api-keys/:id/rotate":        somebodysKey("/rotate"),
	"POST /api/v1/api-keys/:id/rotate/retire": somebodysKey("/rotate/retire"),
	"POST /api/v1/api-keys/:id/rotate/undo":   somebodysKey("/rotate/undo"),
	"PUT /api/v1/api-keys/:id/rotate/policy":  somebodysKey("/rotate/policy"),
	"POST /api/v1/api-keys/:id/reveal":        somebodysKey("/reveal"),
	"GET /api/v1/api-keys/:id":                somebodysKey(""),
	"PATCH /api/v1/api-keys/:id":              somebodysKey(""),
	"DELETE /api/v1/api-keys/:id":             somebodysKey(""),
	"POST /api/v1/api-keys/:id/reset-spend":   somebodysKey("/reset-spend"),
}

// somebodysKey is somebody's API key, and what comes after it in the path.
func somebodysKey(rest string) func(t *testing.T, s system) string {
	return func(t *testing.T, s system) string {
		t.Helper()
		s.as(t, "somebody", user)
		return "/api/v1/api-keys/" + storetest.Key(t, s.Store, s.user(t, "somebody").ID, nil, "gpt-4.1").ID.String() + rest
	}
}

// somebodys is somebody's subscription, and what comes after it in the path.
func somebodys(rest string) func(t *testing.T, s system) string {
	return func(t *testing.T, s system) string {
		t.Helper()
		s.as(t, "somebody", user)
		id := s.user(t, "somebody").ID
		mine, _, err := s.Store.Subscriptions(t.Context(), store.SubscriptionQuery{UserID: id, Page: 1, Limit: 1})
		require.NoError(t, err)
		if len(mine) > 0 {
			return "/api/v1/subscriptions/" + mine[0].ID.String() + rest
		}
		sub, err := s.Store.RequestSubscription(t.Context(), store.NewSubscription{UserID: id, ModelID: "gpt-4.1"}, models.System("test"))
		require.NoError(t, err)
		return "/api/v1/subscriptions/" + sub.ID.String() + rest
	}
}

// headers are what the callers send: a token for each, made anew, as signing out is a route too.
func (s system) headers(t *testing.T, caller string) []string {
	t.Helper()
	switch caller {
	case nobody:
		return []string{"", "Bearer", "Bearer ", "Basic " + adminKey}
	case unknown:
		return []string{"Bearer ltm_admin_wrong", "Bearer " + adminKey + "x", s.as(t, user, user) + "x", "Bearer eyJhbGciOiJub25lIn0.e30."}
	case aKey:
		return []string{"Bearer sk-0123456789abcdef012345", "bearer sk-" + strings.Repeat("0", 64)}
	case adminsKey:
		return []string{"Bearer " + adminKey, "bearer ltm_admin_another"}
	case auditor:
		return []string{s.as(t, auditor)} // who is there already
	default:
		return []string{s.as(t, caller, caller)}
	}
}

// audits makes the role of the auditor, and somebody who has it and no other.
func (s system) audits(t *testing.T) {
	t.Helper()
	all, by := models.Permissions{models.Everything}, models.System("test")
	_, err := s.Store.CreateRole(t.Context(), models.Role{
		ID: auditor, Permissions: models.Permissions{"admin:audit", "users:read"}, Inherits: []string{readonly},
	}, by, all)
	require.NoError(t, err)
	s.as(t, auditor)
	_, err = s.Store.SetUserRoles(t.Context(), s.user(t, auditor).ID, []string{auditor}, by, all)
	require.NoError(t, err)
}

// Every route has a line in the table, and answers each caller as it says.
func TestWhoMayDoWhat(t *testing.T) {
	s := idle(t)
	s.audits(t)
	s.fill(t, some(t)...)
	fill := strings.NewReplacer(":keyId", uuid.NewString(), "api-keys/:id", "api-keys/"+uuid.NewString(), "operations/:id", "operations/"+uuid.NewString(), "budgets/:id", "budgets/"+uuid.NewString(), "raises/:id", "raises/"+uuid.NewString(), "subscriptions/:id", "subscriptions/"+uuid.NewString(), "runs/:id", "runs/"+uuid.NewString(), "users/:id", "users/"+uuid.NewString(), "roles/:id", "roles/none",
		":id", "gpt-4o", ":file", "swagger-ui.css", ":sessionId", uuid.NewString())
	var seen []string
	routes := api.Routes(s.Server)
	s.EndStreams() // else their answers had no end
	for _, r := range routes {
		method, path, _ := strings.Cut(r, " ")
		line := r
		if method == http.MethodHead {
			line = "GET " + path
		}
		seen = append(seen, line)
		t.Run(r, func(t *testing.T) {
			may, ok := access[line]
			require.True(t, ok, "say in the table who may call it")
			for _, caller := range everybody {
				for _, header := range s.headers(t, caller) {
					rep := s.by(t, header, method, fill.Replace(path), "")
					switch {
					case slices.Contains(may, caller):
						require.NotContains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, rep.Code, "%s: %s", caller, rep.Body)
					case slices.Contains(somebody, caller):
						rep.problem(http.StatusForbidden, "FORBIDDEN")
						require.Contains(t, rep.at("message"), "Access denied. ", caller)
					default:
						rep.problem(http.StatusUnauthorized, "UNAUTHORIZED")
						require.Equal(t, `Bearer realm="litemaas"`, rep.Header().Get("WWW-Authenticate"), caller)
					}
				}
			}
			if somebodys := others[line]; somebodys != nil {
				for _, caller := range users {
					if slices.Contains(may, caller) {
						s.by(t, s.headers(t, caller)[0], method, somebodys(t, s), "{}").problem(http.StatusNotFound, "NOT_FOUND")
					}
				}
			} else {
				require.NotRegexp(t, ":sessionId|v1/subscriptions/:id|v1/api-keys/:id", line, "say whose it is")
			}
		})
	}
	for line := range access {
		require.Contains(t, seen, line, "there is no such route")
	}
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(seen))), len(access))
}

// Without a configured key nobody is an admin: not even who sends none, or an empty one.
func TestNoAdminKeys(t *testing.T) {
	st := idle(t).Store
	keyless, err := api.NewAuth(authConfig(), []models.Secret{{}}, st, sealer{})
	require.NoError(t, err)
	for _, people := range []*api.Auth{keyless, nil} {
		srv := &api.Server{Store: st, Auth: people}
		s := system{srv, srv.Handler()}
		for _, header := range []string{"", "Bearer ", "Bearer", " "} {
			s.by(t, header, http.MethodGet, "/api/v1/sync/runs", "").problem(http.StatusUnauthorized, "UNAUTHORIZED")
		}
	}
}
