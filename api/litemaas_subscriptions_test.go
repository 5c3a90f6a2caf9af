package api_test

import (
	"net/http"
	"strings"
	"testing"
)

// What LiteMaaS was recorded to answer about subscriptions, in the order in which it was asked,
// as names that our answers have too; see TestAnswersAreLiteMaaSs. <model> is the id of ada's
// subscription to it. Where we answer another status on purpose, it says so.
func TestSubscriptionAnswersAreLiteMaaSs(t *testing.T) {
	s := open(t)
	const subscription = "id userId modelId modelName provider status quotaRequests quotaTokens usedRequests usedTokens remainingRequests " +
		"remainingTokens utilizationPercent.requests utilizationPercent.tokens resetAt createdAt updatedAt metadata"
	const listed = subscription + " pricing.inputCostPerToken pricing.outputCostPerToken pricing.currency statusReason statusChangedAt statusChangedBy " +
		"modelDescription modelContextLength modelSupportsVision modelSupportsFunctionCalling modelSupportsParallelFunctionCalling modelSupportsToolChoice"
	const admins = "id userId modelId status user.id user.username user.email model.id model.name model.provider model.restrictedAccess " +
		"createdAt updatedAt statusReason statusChangedAt statusChangedBy"
	const list = " pagination.page pagination.limit pagination.total pagination.totalPages"
	const failure = "error.code error.message error.statusCode error.details.suggestion error.requestId error.timestamp"
	const invalid = failure + " error.details.validation.0.field error.details.validation.0.message error.details.validation.0.code"
	const mine, decide = "/api/v1/subscriptions", "/api/v1/admin/subscriptions"
	first := func(names string) string { return "data.0." + strings.ReplaceAll(names, " ", " data.0.") }
	made := map[string]string{}
	for _, tc := range []struct {
		name, who, method, path, body string
		status                        int
		names                         string
	}{
		{"subscription.create", s.ada, "POST", mine, `{"modelId":"gpt-4o"}`, 201, subscription},
		{"subscription.create.third", s.ada, "POST", mine + "/", `{"modelId":"gpt-4.1","quotaRequests":500,"quotaTokens":60000,"expiresAt":"2999-02-20T19:44:14.572Z"}`, 201, subscription + " expiresAt"},
		{"subscription.create.duplicate409", s.ada, "POST", mine, `{"modelId":"gpt-4o"}`, 409, failure + " error.details.field"},
		{"subscription.create.unknown-model: LiteMaaS says 400", s.ada, "POST", mine, `{"modelId":"does-not-exist"}`, 404, failure},
		{"subscription.create.nobody400", s.ada, "POST", mine, `{}`, 400, invalid},
		{"subscription.create.pastexpiry400", s.ada, "POST", mine, `{"modelId":"o4-mini","expiresAt":"2020-01-01T00:00:00Z"}`, 400, failure},
		{"subscriptions.list", s.ada, "GET", mine + "/", "", 200, first(listed) + list + " total"},
		{"subscription.get", s.ada, "GET", mine + "/<gpt-4o>", "", 200, subscription},
		{"subscription.get.other-user404", s.root, "GET", mine + "/<gpt-4o>", "", 404, failure},
		{"subscription.quota", s.ada, "GET", mine + "/<gpt-4.1>/quota", "", 200, "requests.limit requests.used requests.remaining requests.resetAt tokens.limit tokens.used tokens.remaining tokens.resetAt"},
		{"subscriptions.stats", s.ada, "GET", mine + "/stats", "", 200, "total byStatus.active byProvider.openai totalQuotaUsage.requests.used totalQuotaUsage.requests.limit totalQuotaUsage.tokens.used totalQuotaUsage.tokens.limit"},
		{"subscription.update.quota", s.ada, "PATCH", mine + "/<gpt-4.1>", `{"quotaRequests":999999}`, 200, subscription + " expiresAt"},
		{"admin.model.restrict", s.root, "PUT", "/api/v1/admin/models/o4-mini", `{"restrictedAccess":true}`, 200, "success message model.id model.model_name model.updated_at"},
		{"subscription.restricted.pending", s.ada, "POST", mine, `{"modelId":"o4-mini"}`, 201, subscription},
		{"admin.subscriptions.list.pending", s.root, "GET", decide + "?statuses=pending", "", 200, first(admins) + list},
		{"admin.subscriptions.stats", s.root, "GET", decide + "/stats", "", 200, "pendingCount approvedToday deniedToday totalRequests"},
		{"admin.subscriptions.deny.noreason400", s.root, "POST", decide + "/deny", `{"subscriptionIds":["<o4-mini>"]}`, 400, invalid},
		{"admin.subscriptions.deny", s.root, "POST", decide + "/deny", `{"subscriptionIds":["<o4-mini>"],"reason":"needs justification"}`, 200, "successful failed errors"},
		{"subscription.request-review.again", s.ada, "POST", mine + "/<o4-mini>/request-review", "", 200, "id status statusReason updatedAt"},
		{"admin.subscriptions.approve.empty400", s.root, "POST", decide + "/approve", `{"subscriptionIds":[]}`, 400, invalid},
		{"admin.subscriptions.revert.bad400", s.root, "POST", decide + "/<o4-mini>/revert", `{"newStatus":"cancelled"}`, 400, invalid},
		{"SECURITY.user-self-approves-pending: LiteMaaS lets him", s.ada, "PATCH", mine + "/<o4-mini>", `{"status":"active"}`, 400, invalid},
		{"an approval", s.root, "POST", decide + "/approve", `{"subscriptionIds":["<o4-mini>"]}`, 200, "successful failed errors"},
		{"a revert", s.root, "POST", decide + "/<o4-mini>/revert", `{"newStatus":"denied","reason":"x"}`, 200, admins},
		{"admin.model.update.404: LiteMaaS says 400", s.root, "PUT", "/api/v1/admin/models/absent", `{"description":"x"}`, 404, "error message statusCode"},
		{"subscription.cancel", s.ada, "POST", mine + "/<gpt-4o>/cancel", "", 200, "id status createdAt updatedAt"},
		{"subscription.cancel.again", s.ada, "POST", mine + "/<gpt-4o>/cancel", "", 400, failure + " error.details.field"},
		{"subscription.reactivate", s.ada, "POST", mine, `{"modelId":"gpt-4o"}`, 201, subscription},
		{"admin.subscription.delete", s.root, "DELETE", decide + "/<gpt-4.1>", `{"reason":"cleanup"}`, 200, "success"},
		{"quotas are reset", s.root, "POST", mine + "/admin/reset-quotas", `{}`, 200, "message resetCount"},
		{"a user's subscriptions", s.root, "GET", "/api/v1/admin/users/" + s.user(t, "ada@example.com").ID.String() + "/subscriptions", "", 200, first("id modelId modelName provider status statusReason createdAt statusChangedAt") + list},
		{"a user is subscribed", s.root, "POST", "/api/v1/admin/users/" + s.user(t, "ada@example.com").ID.String() + "/subscriptions", `{"modelIds":["gpt-4.1"]}`, 201, "created.0.modelId created.0.subscriptionId activated alreadyActive"},
	} {
		for model, id := range made {
			tc.path, tc.body = strings.ReplaceAll(tc.path, "<"+model+">", id), strings.ReplaceAll(tc.body, "<"+model+">", id)
		}
		t.Run(tc.name, func(t *testing.T) {
			rep := s.by(t, tc.who, tc.method, tc.path, tc.body).is(tc.status)
			rep.names(tc.names)
			if tc.method == http.MethodPost && strings.TrimSuffix(tc.path, "/") == mine && rep.Code == http.StatusCreated {
				made[rep.at("modelId").(string)] = id(rep)
			}
		})
	}
}
