package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What LiteMaaS was recorded to answer on the routes that there are, as the names that must be
// in our answers too: a.b is b in a, a.0.b is b in the first of a list.
func TestAnswersAreLiteMaaSs(t *testing.T) {
	s, _, _ := running(t)
	const model = "id name provider description capabilities contextLength pricing.input pricing.output pricing.unit isActive createdAt updatedAt " +
		"backendModelName inputCostPerToken outputCostPerToken maxTokens supportsVision supportsFunctionCalling " +
		"supportsParallelFunctionCalling supportsToolChoice supportsChat supportsEmbeddings supportsTokenize supportsConvert restrictedAccess"
	const list = "pagination.page pagination.limit pagination.total pagination.totalPages"
	const failure = "error.code error.message error.statusCode error.details.suggestion error.requestId error.timestamp"
	const keyDefaults = "defaults.maxBudget defaults.tpmLimit defaults.rpmLimit defaults.budgetDuration defaults.softBudget defaults.expirationDays " +
		"maximums.maxBudget maximums.tpmLimit maximums.rpmLimit maximums.expirationDays"
	ada := strings.TrimPrefix(s.as(t, "ada@example.com", user), "Bearer ")
	for _, tc := range []struct {
		name, method, path, body, key string
		status                        int
		names                         string
	}{
		{"models.sync.admin", "POST", "/api/v1/models/sync", "{}", adminKey, 200, "success totalModels newModels updatedModels unavailableModels errors syncedAt"},
		{"models.sync.again", "POST", "/api/v1/models/sync", `{"forceUpdate":true,"markUnavailable":false}`, adminKey, 200, "success totalModels newModels updatedModels unavailableModels errors syncedAt"},
		{"models.sync.anonymous401", "POST", "/api/v1/models/sync", "{}", "", 401, "error.code error.message requestId"},
		{"models.sync.stats", "GET", "/api/v1/models/sync/stats", "", adminKey, 200, "totalModels availableModels unavailableModels lastSyncAt"},
		{"models.validate", "GET", "/api/v1/models/validate", "", adminKey, 200, "validModels invalidModels orphanedSubscriptions"},
		{"models.refresh.admin", "POST", "/api/v1/models/refresh", "", adminKey, 200, "message modelsCount refreshedAt"},
		{"health", "GET", "/api/v1/health", "", "", 200, "status timestamp version checks.database checks.litellm checks.auth details.uptime details.memoryUsage details.environment details.litellmMetrics"},
		{"health.live", "GET", "/api/v1/health/live", "", "", 200, "alive"},
		{"health.ready", "GET", "/api/v1/health/ready", "", "", 200, "ready"},
		{"health.status.admin", "GET", "/api/v1/health/status", "", adminKey, 200, "services.database services.litellm services.auth metrics configuration"},
		{"config", "GET", "/api/v1/config", "", "", 200, "version usageCacheTtlMinutes environment currency.code currency.symbol currency.name litellmApiUrl authMode"},
		{
			"config.admin-analytics", "GET", "/api/v1/config/admin-analytics", "", "", 200,
			"pagination.defaultPageSize pagination.maxPageSize pagination.minPageSize topLimits.users topLimits.models topLimits.providers " +
				"dateRangeLimits.maxAnalyticsDays dateRangeLimits.maxExportDays warnings.largeDateRangeDays trends.calculationPrecision export.maxRows",
		},
		{"config.api-key-defaults", "GET", "/api/v1/config/api-key-defaults", "", "", 200, keyDefaults},
		{"admin.settings.api-key-defaults.get", "GET", "/api/v1/admin/settings/api-key-defaults", "", adminKey, 200, keyDefaults},
		{"admin.settings.api-key-defaults.reset", "PUT", "/api/v1/admin/settings/api-key-defaults", `{"defaults":{},"maximums":{}}`, adminKey, 200, keyDefaults},
		{"admin.settings.api-key-defaults.default-over-max400", "PUT", "/api/v1/admin/settings/api-key-defaults", `{"defaults":{"maxBudget":1000},"maximums":{"maxBudget":100}}`, adminKey, 400, failure},
		{"models.health", "GET", "/api/v1/models/health", "", "", 200, "status lastSync modelsCount litellmConnected issues"},
		{"models.list", "GET", "/api/v1/models", "", "", 200, "data " + list},
		{"models.list.page2", "GET", "/api/v1/models?page=2&limit=5", "", "", 200, "data.0.id " + list},
		{"models.list.search", "GET", "/api/v1/models?search=gpt-4o", "", adminKey, 200, "data.0." + strings.ReplaceAll(model, " ", " data.0.") + " " + list},
		{"a model", "GET", "/api/v1/models/gpt-4o", "", adminKey, 200, model + " metadata"},
		{"models.list.limit0-400", "GET", "/api/v1/models?limit=0", "", "", 400, failure + " error.details.validation.0.field error.details.validation.0.message error.details.validation.0.code"},
		{"models.list.page-abc-400", "GET", "/api/v1/models?page=abc", "", "", 400, failure + " error.details.validation.0.field error.details.validation.0.message error.details.validation.0.code"},
		{"models.providers", "GET", "/api/v1/models/providers", "", "", 200, "providers.0.name providers.0.displayName providers.0.modelCount providers.0.capabilities"},
		{"capabilities", "GET", "/api/v1/models/capabilities", "", "", 200, "capabilities.0.name capabilities.0.displayName capabilities.0.description capabilities.0.modelCount"},
		{"the root", "GET", "/api/v1/", "", "", 200, "name version description docs"},
		{"login.start.user", "POST", "/api/auth/login", "{}", "", 200, "authUrl"},
		{"me.user", "GET", "/api/v1/auth/me", "", ada, 200, "id username email name roles"},
		{"me.admin-api-key", "GET", "/api/v1/auth/me", "", adminKey, 200, "id username email name roles"},
		{"me.unauthenticated", "GET", "/api/v1/auth/me", "", "", 401, "error.code error.message requestId"},
		{"me.bad-token", "GET", "/api/v1/auth/me", "", "x", 401, "error.code error.message requestId"},
		{"profile.user", "GET", "/api/v1/auth/profile", "", ada, 200, "id username email roles createdAt fullName"},
		{"auth.validate.bad", "POST", "/api/auth/validate", `{"token":"x"}`, "", 401, "valid error"},
		{
			"auth.dev-token", "POST", "/api/auth/dev-token", `{"username":"user@example.com","roles":["user"]}`, "", 200,
			"access_token token_type expires_in user.userId user.username user.email user.roles",
		},
		{"auth.refresh.bad", "POST", "/api/auth/refresh", `{"refreshToken":"nope"}`, "", 401, "error.code error.message"},
		{"rbac.roles.user403", "GET", "/api/rbac/roles", "", ada, 403, failure},
		{"rbac.check", "POST", "/api/rbac/permissions/check", `{"permission":"models:read"}`, ada, 200, "hasPermission permission"},
		{
			"users.list.search", "GET", "/api/v1/users?search=ada@", "", adminKey, 200,
			"data.0.id data.0.username data.0.email data.0.fullName data.0.roles data.0.isActive data.0.lastLoginAt data.0.createdAt " + list,
		},
		{"users.me.patch", "PATCH", "/api/v1/users/me", `{"fullName":"Renamed User"}`, ada, 200, "id username email roles createdAt fullName"},
		{"users.me.stats", "GET", "/api/v1/users/me/stats", "", ada, 200, "lastLogin memberSince"},
		{
			"users.me.activity", "GET", "/api/v1/users/me/activity?limit=3", "", ada, 200,
			"data.0.id data.0.action data.0.resourceType data.0.resourceId data.0.ipAddress data.0.userAgent data.0.metadata data.0.createdAt " + list,
		},
		{"the names of users", "GET", "/api/v1/admin/users", "", adminKey, 200, "users.0.userId users.0.username users.0.email total"},
		{"how people sign in", "GET", "/api/v1/admin/auth/info", "", adminKey, 200, "provider issuer groupsClaim discoveryStatus"},
		{
			"audit.list", "GET", "/api/v1/admin/audit?limit=5&excludeResourceTypes=API_ACCESS", "", adminKey, 200,
			"data.0.id data.0.userId data.0.username data.0.email data.0.action data.0.resourceType data.0.resourceId data.0.success " +
				"data.0.errorMessage data.0.metadata data.0.ipAddress data.0.createdAt " + list,
		},
		{"audit.list.user403", "GET", "/api/v1/admin/audit", "", ada, 403, failure},
		{"audit.actions", "GET", "/api/v1/admin/audit/actions", "", adminKey, 200, "actions"},
		{"audit.categories", "GET", "/api/v1/admin/audit/categories", "", adminKey, 200, "categories"},
		{"logout", "POST", "/api/auth/logout", "", ada, 200, "message logoutUrl"},
		{"method-not-allowed", "DELETE", "/api/v1/models", "", "", 404, failure},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rep := s.call(t, tc.method, tc.path, tc.body, "Authorization", strings.TrimSpace("Bearer "+tc.key)).is(tc.status)
			rep.names(tc.names)
		})
	}
}

// names requires that the answer has all of these names.
func (r reply) names(names string) {
	r.t.Helper()
	for name := range strings.FieldsSeq(names) {
		parent, last := "", name
		if i := strings.LastIndex(name, "."); i >= 0 {
			parent, last = name[:i], name[i+1:]
		}
		object := r.body()
		if parent != "" {
			object, _ = r.at(parent).(map[string]any)
		}
		require.Contains(r.t, object, last, "%s in %s", name, r.Body)
	}
}

// The web UI's bounds are LiteMaaS's defaults.
func TestConfig(t *testing.T) {
	s := serve(nil, nil, nil)
	require.Equal(t, map[string]any{
		"version": "1.2.3", "usageCacheTtlMinutes": 5.0, "environment": "development", "litellmApiUrl": "https://llm.example.com", "authMode": "mock", "authProvider": "mock",
		"currency": map[string]any{"code": "USD", "symbol": "$", "name": "US Dollar"},
	}, s.get(t, "/api/v1/config").is(http.StatusOK).body())
	require.Equal(t, map[string]any{
		"pagination":      map[string]any{"defaultPageSize": 50.0, "maxPageSize": 500.0, "minPageSize": 10.0},
		"topLimits":       map[string]any{"users": 10.0, "models": 10.0, "providers": 5.0},
		"dateRangeLimits": map[string]any{"maxAnalyticsDays": 90.0, "maxExportDays": 365.0},
		"warnings":        map[string]any{"largeDateRangeDays": 30.0}, "trends": map[string]any{"calculationPrecision": 2.0}, "export": map[string]any{"maxRows": 10000.0},
	}, s.get(t, "/api/v1/config/admin-analytics").is(http.StatusOK).body())
	require.Equal(t, map[string]any{
		"name": "LiteMaaS API", "version": "1.2.3", "description": "LiteLLM Model as a Service API", "docs": "/docs",
	}, s.get(t, "/api/v1").is(http.StatusOK).body())
}
