package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	keyDefaultsPath = "/api/v1/config/api-key-defaults"
	keySettingsPath = "/api/v1/admin/settings/api-key-defaults"
)

// keyDefaults is the body in which everything is null but what is given.
func keyDefaults(defaults, maximums map[string]any) map[string]any {
	fill := func(given map[string]any, names ...string) map[string]any {
		out := map[string]any{}
		for _, name := range names {
			out[name] = given[name]
		}
		return out
	}
	return map[string]any{
		"defaults": fill(defaults, "maxBudget", "tpmLimit", "rpmLimit", "budgetDuration", "softBudget", "expirationDays"),
		"maximums": fill(maximums, "maxBudget", "tpmLimit", "rpmLimit", "expirationDays"),
	}
}

// What an admin sets is what everybody reads, at once: zero as zero, and null where he says
// nothing. A put replaces all of it.
func TestKeyDefaults(t *testing.T) {
	s := idle(t)
	requireAll := func(want map[string]any) {
		t.Helper()
		require.Equal(t, want, s.by(t, "", http.MethodGet, keyDefaultsPath, "").is(http.StatusOK).body())
		require.Equal(t, want, s.get(t, keySettingsPath).is(http.StatusOK).body())
	}
	requireAll(keyDefaults(nil, nil))
	for body, want := range map[string]map[string]any{
		`{"defaults":{"maxBudget":10,"tpmLimit":1000,"rpmLimit":10,"budgetDuration":"monthly","expirationDays":30},"maximums":{"maxBudget":100,"tpmLimit":10000,"rpmLimit":100,"expirationDays":90}}`: keyDefaults(
			map[string]any{"maxBudget": 10.0, "tpmLimit": 1000.0, "rpmLimit": 10.0, "budgetDuration": "monthly", "expirationDays": 30.0},
			map[string]any{"maxBudget": 100.0, "tpmLimit": 10000.0, "rpmLimit": 100.0, "expirationDays": 90.0}),
		`{"defaults":{"maxBudget":0,"tpmLimit":0,"rpmLimit":null,"softBudget":0},"maximums":{"rpmLimit":0,"maxBudget":0.000000001}}`: keyDefaults(
			map[string]any{"maxBudget": 0.0, "tpmLimit": 0.0, "softBudget": 0.0}, map[string]any{"rpmLimit": 0.0, "maxBudget": 0.000000001}),
		`{"defaults":{"budgetDuration":"1mo","tpmLimit":9007199254740991},"maximums":{"expirationDays":1}}`: keyDefaults(
			map[string]any{"budgetDuration": "1mo", "tpmLimit": 9007199254740991.0}, map[string]any{"expirationDays": 1.0}),
		`{"defaults":{},"maximums":{}}`: keyDefaults(nil, nil),
		`{"defaults":{"maxBudget":null,"tpmLimit":null,"rpmLimit":null,"budgetDuration":null,"softBudget":null,"expirationDays":null},"maximums":{"maxBudget":null,"tpmLimit":null,"rpmLimit":null,"expirationDays":null}}`: keyDefaults(nil, nil),
	} {
		require.Equal(t, want, s.call(t, http.MethodPut, keySettingsPath, body).is(http.StatusOK).body(), body)
		requireAll(want)
	}
	log := s.get(t, "/api/v1/admin/audit?action=UPDATE_API_KEY_DEFAULTS").is(http.StatusOK)
	require.EqualValues(t, 5, log.at("pagination.total"))
	require.Equal(t, "SYSTEM_SETTINGS", log.at("data.0.resourceType"))
}

// What cannot be set is refused with the field, in LiteMaaS's words, and nothing changes.
func TestBadKeyDefaults(t *testing.T) {
	s := idle(t)
	before := keyDefaults(map[string]any{"maxBudget": 5.0}, map[string]any{"maxBudget": 50.0})
	s.call(t, http.MethodPut, keySettingsPath, `{"defaults":{"maxBudget":5},"maximums":{"maxBudget":50}}`).is(http.StatusOK)
	for _, tc := range []struct{ body, field, message string }{
		{`{"defaults":{"maxBudget":1000},"maximums":{"maxBudget":100}}`, "defaults.maxBudget", "Default max budget cannot exceed the maximum limit"},
		{`{"defaults":{"tpmLimit":1},"maximums":{"tpmLimit":0}}`, "defaults.tpmLimit", "Default TPM limit cannot exceed the maximum limit"},
		{`{"defaults":{"rpmLimit":2},"maximums":{"rpmLimit":1}}`, "defaults.rpmLimit", "Default RPM limit cannot exceed the maximum limit"},
		{`{"defaults":{"expirationDays":2},"maximums":{"expirationDays":1}}`, "defaults.expirationDays", "Default expiration cannot exceed the maximum expiration limit"},
		{`{"defaults":{"maxBudget":-0.01},"maximums":{}}`, "defaults.maxBudget", "must be >= 0"},
		{`{"defaults":{"maxBudget":1e300},"maximums":{}}`, "defaults.maxBudget", "must be <="},
		{`{"defaults":{"maxBudget":"much"},"maximums":{}}`, "defaults.maxBudget", "must be number"},
		{`{"defaults":{"softBudget":-1},"maximums":{}}`, "defaults.softBudget", "must be >= 0"},
		{`{"defaults":{"tpmLimit":1.5},"maximums":{}}`, "defaults.tpmLimit", "must be integer"},
		{`{"defaults":{"rpmLimit":1e20},"maximums":{}}`, "defaults.rpmLimit", "must be <="},
		{`{"defaults":{"budgetDuration":"hourly"},"maximums":{}}`, "defaults.budgetDuration", "must be daily"},
		{`{"defaults":{"budgetDuration":"0d"},"maximums":{}}`, "defaults.budgetDuration", "must be daily"},
		{`{"defaults":{"budgetDuration":""},"maximums":{}}`, "defaults.budgetDuration", "must be daily"},
		{`{"defaults":{"budgetDuration":1},"maximums":{}}`, "defaults.budgetDuration", "must be string"},
		{`{"defaults":{"expirationDays":0},"maximums":{}}`, "defaults.expirationDays", "must be >= 1"},
		{`{"defaults":{},"maximums":{"expirationDays":36526}}`, "maximums.expirationDays", "must be <= 36525"},
		{`{"defaults":{},"maximums":{"softBudget":1}}`, "maximums.softBudget", "must NOT have additional properties"},
		{`{"defaults":{"max_budget":1},"maximums":{}}`, "defaults.max_budget", "must NOT have additional properties"},
		{`{"defaults":{}}`, "maximums", "must have required property"},
		{`{"defaults":null,"maximums":{}}`, "defaults", "must be object"},
		{`{"defaults":[],"maximums":{}}`, "defaults", "must be object"},
		{`[]`, "body", "must be object"},
		{`null`, "body", ""},
		{``, "", "request body is required"},
	} {
		t.Run(tc.body, func(t *testing.T) {
			rep := s.call(t, http.MethodPut, keySettingsPath, tc.body)
			require.Equal(t, tc.field, rep.problem(http.StatusBadRequest, "VALIDATION_ERROR"))
			require.Contains(t, rep.at("detail"), tc.message)
		})
	}
	rep := s.call(t, http.MethodPut, keySettingsPath, `{"defaults":{"maxBudget":1000},"maximums":{"maxBudget":100}}`)
	require.Equal(t, "Default max budget cannot exceed the maximum limit", rep.at("error.message"))
	require.Equal(t, before, s.get(t, keySettingsPath).body())
}

// Who may look at everything changes nothing.
func TestKeyDefaultsAccess(t *testing.T) {
	s := idle(t)
	looks := s.as(t, "looks", adminReading)
	s.by(t, looks, http.MethodGet, keySettingsPath, "").is(http.StatusOK)
	s.by(t, looks, http.MethodPut, keySettingsPath, `{"defaults":{},"maximums":{}}`).problem(http.StatusForbidden, "FORBIDDEN")
}
