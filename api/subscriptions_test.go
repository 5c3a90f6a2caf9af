package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
)

// A subscription shows its model; zero is a price, and what is not known is left out.
func TestListSubscriptions(t *testing.T) {
	s := open(t)
	s.proxy.AddDeployment(litellmtest.Deployment{ID: "priceless", Name: "priceless", Model: "openai/priceless"})
	require.Equal(t, []any{}, s.by(t, s.ada, http.MethodGet, "/api/v1/subscriptions", "").is(http.StatusOK).at("data"))
	for _, model := range []string{"gpt-4o", "granite-3.3-8b-instruct", "priceless", "Qwen/Qwen3-32B"} {
		s.has(t, s.ada, model)
	}
	cancelled := s.has(t, s.ada, "phi-4")
	s.by(t, s.ada, http.MethodPost, cancelled+"/cancel", "").is(http.StatusOK)
	s.has(t, s.root, "phi-4")

	all := s.by(t, s.ada, http.MethodGet, "/api/v1/subscriptions", "").is(http.StatusOK)
	require.EqualValues(t, 4, all.at("total"))
	require.Equal(t, map[string]any{"page": 1.0, "limit": 20.0, "total": 4.0, "totalPages": 1.0}, all.at("pagination"))
	require.Equal(t, "Qwen/Qwen3-32B", all.at("data.0.modelId"), "the newest first")
	for query, want := range map[string]int{
		"?status=active": 4, "?status=inactive": 1, "?status=pending": 0, "?modelId=gpt-4o": 1, "?modelId=phi-4": 0, "?modelId=phi-4&status=inactive": 1,
		"?page=9": 4, "?limit=3&page=2": 4, "?status=": 4,
	} {
		require.EqualValues(t, want, s.by(t, s.ada, http.MethodGet, "/api/v1/subscriptions"+query, "").is(http.StatusOK).at("total"), query)
	}
	require.Len(t, s.by(t, s.ada, http.MethodGet, "/api/v1/subscriptions?limit=3&page=2", "").at("data"), 1)
	for query, field := range map[string]string{
		"?limit=101": "limit", "?limit=0": "limit", "?page=0": "page", "?page=x": "page", "?status=odd": "status", "?modelId=%00": "modelId",
	} {
		require.Equal(t, field, s.by(t, s.ada, http.MethodGet, "/api/v1/subscriptions"+query, "").problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	}

	of := func(model string) reply {
		return s.by(t, s.ada, http.MethodGet, "/api/v1/subscriptions?modelId="+model, "")
	}
	for at, want := range map[string]any{
		"pricing": map[string]any{"inputCostPerToken": 2.5e-06, "outputCostPerToken": 1e-05, "currency": "USD"}, "modelDescription": "",
		"modelContextLength": 16384.0, "modelSupportsVision": true, "modelSupportsFunctionCalling": true,
		"modelSupportsParallelFunctionCalling": true, "modelSupportsToolChoice": true, "metadata": map[string]any{},
	} {
		require.Equal(t, want, of("gpt-4o").at("data.0."+at), at)
	}
	require.Equal(t, map[string]any{"inputCostPerToken": 0.0, "outputCostPerToken": 0.0, "currency": "USD"}, of("granite-3.3-8b-instruct").at("data.0.pricing"))
	require.NotContains(t, of("priceless").at("data.0"), "pricing")
	require.NotContains(t, of("priceless").at("data.0"), "modelContextLength")
}

// The quota says what is left, and an admin's gift has none: that is shown as 0, and said.
func TestQuota(t *testing.T) {
	s := open(t)
	path := s.has(t, s.ada, "gpt-4o")
	now := time.Now()
	_, err := s.Store.RecordUsage(t.Context(), []models.Usage{
		{UserID: s.user(t, "ada@example.com").ID, ModelID: "gpt-4o", Requests: 1234, Tokens: 500_000, At: now},
	}, models.System("test"))
	require.NoError(t, err)
	reset := models.QuotaReset(now).Format(time.RFC3339)
	require.Equal(t, map[string]any{
		"requests": map[string]any{"limit": 10_000.0, "used": 1234.0, "remaining": 8766.0, "unlimited": false, "resetAt": reset},
		"tokens":   map[string]any{"limit": 1_000_000.0, "used": 500_000.0, "remaining": 500_000.0, "unlimited": false, "resetAt": reset},
	}, s.by(t, s.ada, http.MethodGet, path+"/quota", "").is(http.StatusOK).body())
	require.Equal(t, map[string]any{"requests": 12.34, "tokens": 50.0}, s.by(t, s.ada, http.MethodGet, path, "").at("utilizationPercent"))

	given := s.give(t, "gpt-4.1").is(http.StatusCreated)
	path = "/api/v1/subscriptions/" + given.at("created.0.subscriptionId").(string)
	free := s.by(t, s.ada, http.MethodGet, path, "").is(http.StatusOK)
	for at, want := range map[string]any{"status": "active", "quotaRequests": 0.0, "quotaTokens": 0.0, "unlimited": true} {
		require.Equal(t, want, free.at(at), at)
	}
	require.NotContains(t, free.body(), "remainingRequests")
	require.Equal(t, map[string]any{"limit": 0.0, "used": 0.0, "unlimited": true, "resetAt": reset},
		s.by(t, s.ada, http.MethodGet, path+"/quota", "").at("requests"))

	stats := s.by(t, s.ada, http.MethodGet, "/api/v1/subscriptions/stats", "").is(http.StatusOK)
	require.Equal(t, map[string]any{
		"total": 2.0, "byStatus": map[string]any{"active": 2.0}, "byProvider": map[string]any{"openai": 2.0}, "totalQuotaUsage": map[string]any{
			"requests": map[string]any{"used": 1234.0, "limit": 10_000.0}, "tokens": map[string]any{"used": 500_000.0, "limit": 1_000_000.0},
		},
	}, stats.body())
	nothing := s.by(t, s.boss, http.MethodGet, "/api/v1/subscriptions/stats", "").is(http.StatusOK)
	require.Equal(t, map[string]any{}, nothing.at("byStatus"))
}

// What happened to a subscription is there for its owner, in order.
func TestSubscriptionHistory(t *testing.T) {
	s := open(t)
	path := s.has(t, s.ada, "gpt-4o")
	s.decide(t, s.root, "deny", path[len(path)-36:]).is(http.StatusOK)
	changes := s.by(t, s.ada, http.MethodGet, path+"/history", "").is(http.StatusOK).at("data").([]any)
	require.Len(t, changes, 3)
	first, last := changes[0].(map[string]any), changes[2].(map[string]any)
	require.NotContains(t, first, "oldStatus")
	require.Equal(t, "pending", first["newStatus"])
	require.Equal(t, s.user(t, "ada@example.com").ID.String(), first["changedBy"])
	for name, want := range map[string]any{"oldStatus": "active", "newStatus": "denied", "reason": "because", "changedBy": s.user(t, "root@example.com").ID.String()} {
		require.Equal(t, want, last[name], name)
	}
	require.Regexp(t, `Z$`, last["changedAt"])
}

// What belongs to somebody else is not there, whatever one may; nor is what nobody has.
func TestSubscriptionsOfOthers(t *testing.T) {
	s := open(t)
	path := s.has(t, s.ada, "gpt-4o")
	for _, who := range []string{s.root, s.as(t, "bob@example.com", user)} {
		for _, path := range []string{path, "/api/v1/subscriptions/" + uuid.NewString()} {
			s.by(t, who, http.MethodGet, path, "").problem(http.StatusNotFound, "NOT_FOUND")
			s.by(t, who, http.MethodGet, path+"/quota", "").problem(http.StatusNotFound, "NOT_FOUND")
			s.by(t, who, http.MethodGet, path+"/history", "").problem(http.StatusNotFound, "NOT_FOUND")
			s.by(t, who, http.MethodPatch, path, `{"quotaTokens": 1}`).problem(http.StatusNotFound, "NOT_FOUND")
			s.by(t, who, http.MethodPost, path+"/cancel", "").problem(http.StatusNotFound, "NOT_FOUND")
			s.by(t, who, http.MethodPost, path+"/request-review", "").problem(http.StatusNotFound, "NOT_FOUND")
		}
	}
	require.Equal(t, "id", s.by(t, s.ada, http.MethodGet, "/api/v1/subscriptions/x", "").problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	require.Equal(t, "active", s.by(t, s.ada, http.MethodGet, path+"/", "").is(http.StatusOK).at("status"))
}
