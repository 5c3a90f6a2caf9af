package api_test

import (
	"net/http"
	"strings"
	"testing"
)

// What LiteMaaS was recorded to answer about API keys, in the order in which it was asked, as names
// that our answers have too; see TestAnswersAreLiteMaaSs. <name> is the id of the key of that name,
// <sub> that of ada's subscription to gpt-4o. Where we answer another status on purpose, it says so.
func TestKeyAnswersAreLiteMaaSs(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4.1")
	made := map[string]string{"sub": id(s.subscribe(t, s.ada, "gpt-4o").is(http.StatusCreated))}
	const created = "id name key keyPrefix models modelDetails.0.id modelDetails.0.name modelDetails.0.provider isActive createdAt"
	const listed = "id keyPrefix models createdAt isActive name modelDetails currentSpend budgetDuration modelMaxBudget modelRpmLimit modelTpmLimit metadata"
	const list = " pagination.page pagination.limit pagination.total pagination.totalPages total"
	const failure = "error.code error.message error.statusCode error.details.suggestion error.requestId error.timestamp"
	const invalid = failure + " error.details.validation.0.field error.details.validation.0.message error.details.validation.0.code"
	const mine = "/api/v1/api-keys"
	admins := "/api/v1/admin/users/" + s.user(t, "ada@example.com").ID.String() + "/api-keys"
	first := func(names string) string { return "data.0." + strings.ReplaceAll(names, " ", " data.0.") }
	for _, tc := range []struct {
		name, who, method, path, body string
		status                        int
		names                         string
	}{
		{"apikey.create.one-model", s.ada, "POST", mine, `{"modelIds":["gpt-4o"],"name":"first"}`, 201, created},
		{
			"apikey.create.multi-limits", s.ada, "POST", mine,
			`{"modelIds":["gpt-4o","gpt-4.1"],"name":"multi","expiresAt":"2099-12-22T19:44:17.378Z","maxBudget":25,"tpmLimit":5000,"rpmLimit":60,"budgetDuration":"monthly","softBudget":20,"modelMaxBudget":{"gpt-4o":{"budgetLimit":5,"timePeriod":"30d"}},"modelRpmLimit":{"gpt-4o":10},"modelTpmLimit":{"gpt-4o":1000},"metadata":{"env":"test"}}`,
			201, created + " expiresAt",
		},
		{
			"as the web UI asks", s.ada, "POST", mine,
			`{"modelIds":["gpt-4o"],"name":"ui","maxBudget":1,"budgetDuration":"monthly","metadata":{"description":"","permissions":["read"],"rateLimit":1000}}`,
			201, created,
		},
		{"apikey.create.legacy-subscriptionId", s.ada, "POST", mine, `{"subscriptionId":"<sub>","name":"legacy"}`, 201, created + " subscriptionId"},
		{"apikey.create.unsubscribed-model", s.ada, "POST", mine, `{"modelIds":["o4-mini"],"name":"x"}`, 400, failure + " error.details.field"},
		{"apikey.create.bad-duration400", s.ada, "POST", mine, `{"modelIds":["gpt-4o"],"budgetDuration":"fortnight"}`, 400, invalid},
		{"apikeys.list", s.ada, "GET", mine, "", 200, first(listed) + " data.0.subscriptionId" + list},
		{"apikeys.list.filter", s.ada, "GET", mine + "?isActive=true&limit=1&page=3", "", 200, first(listed+" expiresAt maxBudget tpmLimit rpmLimit softBudget budgetUtilization") + list},
		{"apikeys.list.limit400", s.ada, "GET", mine + "?limit=500", "", 400, invalid},
		{"apikey.get: LiteMaaS says 500", s.ada, "GET", mine + "/<first>", "", 200, listed},
		{"apikey.get.other-user404", s.root, "GET", mine + "/<first>", "", 404, failure},
		{"apikey.get.404", s.ada, "GET", mine + "/11111111-2222-4333-8444-555555555555", "", 404, failure},
		{"apikey.stats", s.ada, "GET", mine + "/stats", "", 200, "total active expired revoked bySubscription.<sub> byModel"},
		{"apikey.update.models", s.ada, "PATCH", mine + "/<first>", `{"modelIds":["gpt-4o","gpt-4.1"]}`, 200, "id name prefix models createdAt"},
		{"apikey.update.limits", s.ada, "PATCH", mine + "/<multi>", `{"maxBudget":50,"rpmLimit":100,"tpmLimit":null}`, 200, "id name prefix models createdAt"},
		{"apikey.update.unsubscribed", s.ada, "PATCH", mine + "/<first>", `{"modelIds":["o4-mini"]}`, 400, failure + " error.details.field"},
		{"apikey.update.404", s.ada, "PATCH", mine + "/11111111-2222-4333-8444-555555555555", `{"name":"x"}`, 404, failure},
		{"apikey.reset-spend: LiteMaaS lets its owner", s.ada, "POST", mine + "/<multi>/reset-spend", "", 403, failure},
		{"apikey.delete", s.ada, "DELETE", mine + "/<first>", "", 200, "message deletedAt"},
		{"apikey.delete.again404", s.ada, "DELETE", mine + "/<first>", "", 404, failure},
		{"admin.user.api-keys.list", s.root, "GET", admins, "", 200, first(listed) + list},
		{"admin.user.api-key.create", s.root, "POST", admins, `{"name":"by admin","modelIds":["o4-mini"],"maxParallelRequests":2}`, 201, created},
		{
			"admin.user.api-key.patch", s.root, "PATCH", admins + "/<multi>",
			`{"name":"renamed","maxBudget":5,"tpmLimit":null,"rpmLimit":null,"softBudget":null,"maxParallelRequests":null,"budgetDuration":null,"modelMaxBudget":null,"modelRpmLimit":null,"modelTpmLimit":null}`,
			200, "id name models updatedAt",
		},
		{"admin.user.api-key.reset-spend", s.root, "POST", admins + "/<multi>/reset-spend", "", 200, "id currentSpend resetAt"},
		{"admin.user.api-key.delete", s.root, "DELETE", admins + "/<legacy>", "", 200, "success"},
		{"admin.user.api-key.delete, for ever", s.root, "DELETE", admins + "/<multi>?permanent=true", `{"reason":"x"}`, 200, "success"},
		{"admin.api-keys.list", s.root, "GET", "/api/v1/admin/api-keys?userIds=" + s.user(t, "ada@example.com").ID.String(), "", 200, "apiKeys.0.id apiKeys.0.name apiKeys.0.keyAlias apiKeys.0.userId apiKeys.0.username apiKeys.0.email total"},
	} {
		for name, id := range made {
			tc.path, tc.body = strings.ReplaceAll(tc.path, "<"+name+">", id), strings.ReplaceAll(tc.body, "<"+name+">", id)
			tc.names = strings.ReplaceAll(tc.names, "<"+name+">", id)
		}
		t.Run(tc.name, func(t *testing.T) {
			rep := s.by(t, tc.who, tc.method, tc.path, tc.body).is(tc.status)
			rep.names(tc.names)
			if rep.Code == http.StatusCreated {
				made[rep.at("name").(string)] = id(rep)
			}
			if strings.Contains(tc.name, "legacy-sub") {
				for _, header := range []string{"X-API-Deprecation-Warning", "X-API-Migration-Guide"} {
					if rep.Header().Get(header) == "" {
						t.Error(header)
					}
				}
			}
		})
	}
}
