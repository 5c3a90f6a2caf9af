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
)

// who says what a route answers to whom; 0 stands for anything but 401 and 403.
type who struct{ nobody, wrongKey, admin int }

var (
	everybody  = who{0, 0, 0}
	adminsOnly = who{401, 401, 0}
)

// access is who may do what: every route has a line.
var access = map[string]who{
	"GET /api/v1":                         everybody,
	"GET /api/v1/config":                  everybody,
	"GET /api/v1/config/admin-analytics":  everybody,
	"GET /api/v1/health":                  everybody,
	"GET /api/v1/health/live":             everybody,
	"GET /api/v1/health/ready":            everybody,
	"GET /api/v1/health/metrics":          everybody,
	"GET /api/v1/health/status":           adminsOnly,
	"GET /api/v1/models":                  everybody,
	"GET /api/v1/models/:id":              everybody,
	"GET /api/v1/models/providers":        everybody,
	"GET /api/v1/models/capabilities":     everybody,
	"GET /api/v1/models/health":           everybody,
	"GET /api/v1/models/validate":         adminsOnly,
	"GET /api/v1/models/sync/stats":       adminsOnly,
	"POST /api/v1/models/sync":            adminsOnly,
	"POST /api/v1/models/refresh":         adminsOnly,
	"POST /api/v1/models/:id/refresh":     adminsOnly,
	"GET /api/v1/sync/runs":               adminsOnly,
	"GET /api/v1/sync/runs/:id":           adminsOnly,
	"POST /api/v1/sync/runs/:id/decision": adminsOnly,
	"GET /api/v1/sync/schedule":           adminsOnly,
	"PUT /api/v1/sync/schedule":           adminsOnly,
	"POST /api/v1/sync/schedule/trigger":  adminsOnly,
	"GET /api/v1/sync/health":             adminsOnly,
	"GET /health":                         everybody,
	"GET /health/live":                    everybody,
	"GET /health/ready":                   everybody,
	"GET /health/metrics":                 everybody,
	"GET /docs":                           everybody,
	"GET /docs/json":                      everybody,
	"GET /docs/yaml":                      everybody,
	"GET /docs/static/:file":              everybody,
	"GET /openapi.json":                   everybody,
}

// Every route has a line in the table, and answers as it says.
func TestWhoMayDoWhat(t *testing.T) {
	s := idle(t)
	fill := strings.NewReplacer("runs/:id", "runs/"+uuid.NewString(), ":id", "gpt-4o", ":file", "swagger-ui.css")
	var seen []string
	for _, r := range api.Routes(s.Server) {
		method, path, _ := strings.Cut(r, " ")
		line := r
		if method == http.MethodHead {
			line = "GET " + path
		}
		seen = append(seen, line)
		t.Run(r, func(t *testing.T) {
			may, ok := access[line]
			require.True(t, ok, "say in the table who may call it")
			for _, tc := range []struct {
				header string
				want   int
			}{
				{"", may.nobody},
				{"Bearer ltm_admin_wrong", may.wrongKey},
				{"Bearer " + adminKey + "x", may.wrongKey},
				{"Basic " + adminKey, may.wrongKey},
				{"Bearer", may.wrongKey},
				{"Bearer " + adminKey, may.admin},
				{"bearer ltm_admin_another", may.admin},
			} {
				rep := s.call(t, method, fill.Replace(path), "", "Authorization", tc.header)
				if tc.want != 0 {
					rep.problem(tc.want, "UNAUTHORIZED")
					require.Equal(t, `Bearer realm="litemaas"`, rep.Header().Get("WWW-Authenticate"))
					continue
				}
				require.NotContains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, rep.Code, tc.header)
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
	srv := &api.Server{Store: idle(t).Store, Config: api.Config{AdminKeys: []models.Secret{{}}}}
	s := system{srv, srv.Handler()}
	for _, header := range []string{"", "Bearer ", "Bearer", " "} {
		s.call(t, http.MethodGet, "/api/v1/sync/runs", "", "Authorization", header).problem(http.StatusUnauthorized, "UNAUTHORIZED")
	}
}
