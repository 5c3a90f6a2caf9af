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
		{"method-not-allowed", "DELETE", "/api/v1/models", "", "", 404, failure},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rep := s.call(t, tc.method, tc.path, tc.body, "Authorization", strings.TrimSpace("Bearer "+tc.key)).is(tc.status)
			for name := range strings.FieldsSeq(tc.names) {
				parent, last := "", name
				if i := strings.LastIndex(name, "."); i >= 0 {
					parent, last = name[:i], name[i+1:]
				}
				object := rep.body()
				if parent != "" {
					object, _ = rep.at(parent).(map[string]any)
				}
				require.Contains(t, object, last, "%s in %s", name, rep.Body)
			}
		})
	}
}

// The web UI's bounds are LiteMaaS's defaults.
func TestConfig(t *testing.T) {
	s := serve(nil, nil, nil)
	require.Equal(t, map[string]any{
		"version": "1.2.3", "usageCacheTtlMinutes": 5.0, "environment": "development", "litellmApiUrl": "https://llm.example.com", "authMode": "oauth",
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
