package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// waits makes a subscription of ada's to a restricted model, and returns its id.
func (s shop) waits(t *testing.T, model string) string {
	t.Helper()
	s.restrict(t, model, true).is(http.StatusOK)
	rep := s.subscribe(t, s.ada, model).is(http.StatusCreated)
	require.Equal(t, "pending", rep.at("status"))
	return id(rep)
}

// Approvers see everybody's subscriptions, and find those that wait.
func TestListAdminSubscriptions(t *testing.T) {
	s := open(t)
	ada, boss := s.user(t, "ada@example.com"), s.user(t, "boss@example.com")
	before := time.Now().Add(-time.Second).UTC().Format(time.RFC3339)
	waiting := s.waits(t, "gpt-4o")
	s.has(t, s.ada, "gpt-4.1")
	s.has(t, s.boss, "gpt-4.1")
	rep := s.get(t, "/api/v1/admin/subscriptions?statuses=pending").is(http.StatusOK)
	for at, want := range map[string]any{
		"data.0.id": waiting, "data.0.userId": ada.ID.String(), "data.0.modelId": "gpt-4o", "data.0.status": "pending", "data.0.statusReason": "",
		"data.0.statusChangedBy": ada.ID.String(), "data.0.user": map[string]any{"id": ada.ID.String(), "username": "ada@example.com", "email": "ada@example.com"},
		"data.0.model":   map[string]any{"id": "gpt-4o", "name": "gpt-4o", "provider": "openai", "restrictedAccess": true},
		"data.0.settled": true, "pagination": map[string]any{"page": 1.0, "limit": 20.0, "total": 1.0, "totalPages": 1.0},
	} {
		require.Equal(t, want, rep.at(at), at)
	}
	require.NotEmpty(t, rep.at("data.0.requestedAt"))
	require.NotContains(t, rep.at("data.0"), "denial")

	now := url.QueryEscape(time.Now().Add(time.Second).UTC().Format(time.RFC3339))
	for query, want := range map[string]int{
		"": 3, "?statuses=active": 2, "?statuses=active&statuses=pending": 3, "?statuses=denied": 0, "?modelIds=gpt-4o&modelIds=gpt-4.1": 3,
		"?modelIds=gpt-4.1": 2, "?userIds=" + ada.ID.String(): 2, "?userIds=" + ada.ID.String() + "&userIds=" + boss.ID.String(): 3,
		"?userIds=" + uuid.NewString(): 0, "?dateFrom=" + before: 3, "?dateTo=" + before: 0, "?dateFrom=" + now: 0,
		"?dateFrom=" + before[:10] + "&dateTo=" + now: 3, "?dateTo=2020-01-01": 0, "?limit=1&page=9": 3,
	} {
		require.EqualValues(t, want, s.get(t, "/api/v1/admin/subscriptions"+query).is(http.StatusOK).at("pagination.total"), query)
	}
	for query, want := range map[string]int{
		"": 3, "?status=pending": 1, "?userId=" + ada.ID.String(): 2, "?modelId=gpt-4.1": 2, "?modelId=gpt-4.1&status=pending": 0, "?status=": 3,
	} {
		require.EqualValues(t, want, s.get(t, "/api/v1/subscriptions/admin/all"+query).is(http.StatusOK).at("pagination.total"), query)
	}
	for query, field := range map[string]string{
		"?statuses=odd": "statuses[0]", "?userIds=x": "userIds[0]", "?dateFrom=x": "dateFrom", "?dateTo=2026-13-01": "dateTo", "?limit=101": "limit", "?page=0": "page",
	} {
		require.Contains(t, s.get(t, "/api/v1/admin/subscriptions"+query).problem(http.StatusBadRequest, "VALIDATION_ERROR"), field[:4], query)
	}
	require.Equal(t, "userId", s.get(t, "/api/v1/subscriptions/admin/all?userId=x").problem(http.StatusBadRequest, "VALIDATION_ERROR"))

	stats := func() map[string]any { return s.get(t, "/api/v1/admin/subscriptions/stats").is(http.StatusOK).body() }
	require.Equal(t, map[string]any{"pendingCount": 1.0, "approvedToday": 0.0, "deniedToday": 0.0, "totalRequests": 3.0}, stats())
	s.decide(t, s.root, "deny", waiting).is(http.StatusOK)
	require.Equal(t, map[string]any{"pendingCount": 0.0, "approvedToday": 0.0, "deniedToday": 1.0, "totalRequests": 3.0}, stats())
	denied := s.get(t, "/api/v1/admin/subscriptions?statuses=denied").is(http.StatusOK)
	require.Equal(t, "because", denied.at("data.0.denial.reason"))
	require.Equal(t, s.user(t, "root@example.com").ID.String(), denied.at("data.0.denial.by"))
	s.revert(t, waiting, "active").is(http.StatusOK)
	require.EqualValues(t, 1, stats()["approvedToday"])
}

// Several are decided at once: each by itself, however often it is named, and what fails says why.
func TestApproveSubscriptions(t *testing.T) {
	s := open(t)
	first, second, active := s.waits(t, "gpt-4o"), s.waits(t, "gpt-4.1"), s.has(t, s.ada, "o4-mini")
	own := id(s.subscribe(t, s.root, "gpt-4o").is(http.StatusCreated))
	none := uuid.NewString()
	rep := s.decide(t, s.root, "approve", first, none, second, first, active[len(active)-36:], own).is(http.StatusOK)
	require.EqualValues(t, 2, rep.at("successful"))
	require.EqualValues(t, 3, rep.at("failed"))
	require.Equal(t, []any{}, rep.at("unsettled"))
	why := map[string]string{}
	for _, e := range rep.at("errors").([]any) {
		e := e.(map[string]any)
		why[e["subscription"].(string)] = e["error"].(string)
	}
	require.Len(t, why, 3)
	require.Contains(t, why[none], "not found")
	require.Contains(t, why[active[len(active)-36:]], "active")
	require.Contains(t, why[own], "his own")
	require.Len(t, s.entries(t, store.AuditQuery{Action: models.AuditDenied, Actor: s.user(t, "root@example.com").ID.String()}), 1)
	for _, id := range []string{first, second} {
		now := s.by(t, s.ada, http.MethodGet, "/api/v1/subscriptions/"+id, "")
		for at, want := range map[string]any{"status": "active", "statusReason": "because", "statusChangedBy": s.user(t, "root@example.com").ID.String()} {
			require.Equal(t, want, now.at(at), at)
		}
		require.Len(t, s.entries(t, store.AuditQuery{Action: models.AuditSubscriptionApprove, ResourceID: id}), 1)
	}

	for verb, bodies := range map[string]map[string]string{
		"approve": {
			`{"subscriptionIds": []}`: "subscriptionIds", `{}`: "subscriptionIds", ``: "", `{"subscriptionIds": "` + first + `"}`: "subscriptionIds",
			`{"subscriptionIds": ["x"]}`: "subscriptionIds[0]", `{"subscriptionIds": ` + list(many(101)) + `}`: "subscriptionIds",
			`{"subscriptionIds": ["` + first + `"], "asOf": "x"}`: "asOf", `{"subscriptionIds": ["` + first + `"], "reason": "\u0000"}`: "reason",
		},
		"deny": {
			`{"subscriptionIds": ["` + first + `"]}`: "reason", `{"subscriptionIds": ["` + first + `"], "reason": ""}`: "reason",
			`{"subscriptionIds": [], "reason": "x"}`: "subscriptionIds",
		},
	} {
		for body, field := range bodies {
			require.Equal(t, field, s.by(t, s.root, http.MethodPost, "/api/v1/admin/subscriptions/"+verb, body).problem(http.StatusBadRequest, "VALIDATION_ERROR"), body)
		}
	}
	all := s.decide(t, s.root, "approve", many(100)...).is(http.StatusOK)
	require.EqualValues(t, 100, all.at("failed"))
	require.Len(t, all.at("errors"), 100)
}

func many(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = uuid.NewString()
	}
	return out
}

// A denial takes the model from the keys; with LiteLLM away an approval is kept, and takes effect
// when it is back.
func TestDenySubscriptions(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4.1")
	path := s.has(t, s.ada, "gpt-4o")
	key := s.key(t, "gpt-4o", "gpt-4.1")
	rep := s.decide(t, s.root, "deny", path[len(path)-36:]).is(http.StatusOK)
	require.Equal(t, map[string]any{"successful": 1.0, "failed": 0.0, "errors": []any{}, "unsettled": []any{}}, rep.body())
	require.Equal(t, []string{"gpt-4.1"}, s.held(t, key))
	require.Equal(t, "denied", s.by(t, s.ada, http.MethodGet, path, "").at("status"))
	require.Equal(t, "pending", s.by(t, s.ada, http.MethodPost, path+"/request-review", "").is(http.StatusOK).at("status"))

	s.exec(t, "UPDATE users SET generation = generation + 1 WHERE username = 'ada@example.com'") // he is to be told of at LiteLLM
	back := s.cut(t)
	late := s.decide(t, s.root, "approve", path[len(path)-36:]).is(http.StatusAccepted)
	require.EqualValues(t, 1, late.at("successful"))
	require.Equal(t, []any{path[len(path)-36:]}, late.at("unsettled"))
	waiting := s.by(t, s.ada, http.MethodGet, path, "")
	require.Equal(t, "pending", waiting.at("status"))
	require.Equal(t, "activating", waiting.at("provisioning"))
	back()
	require.Equal(t, "active", s.settles(t, s.ada, path).at("status"))
	require.Eventually(t, func() bool { return len(s.held(t, key)) == 2 }, 30*time.Second, 50*time.Millisecond, "what the denial took is given back")
}

// Many decisions wait together, not one after the other.
func TestApproveWhileLiteLLMIsDown(t *testing.T) {
	var names []string
	for i := range 40 {
		names = append(names, fmt.Sprintf("model-%d", i))
	}
	s := open(t, names...)
	var ids []string
	for _, name := range names {
		ids = append(ids, id(s.subscribe(t, s.ada, name).is(http.StatusCreated)))
	}
	s.exec(t, "UPDATE subscriptions SET status = 'pending'")
	s.exec(t, "UPDATE users SET generation = generation + 1 WHERE username = 'ada@example.com'")
	back := s.cut(t)
	start := time.Now()
	rep := s.decide(t, s.root, "approve", ids...).is(http.StatusAccepted)
	require.Less(t, time.Since(start), 15*time.Second)
	require.EqualValues(t, len(ids), rep.at("successful"))
	require.Len(t, rep.at("unsettled"), len(ids))
	back()
	for _, id := range ids {
		require.Equal(t, "active", s.settles(t, s.ada, "/api/v1/subscriptions/"+id).at("status"))
	}
}

// Of two admins who decide at once, one wins, and the other is told who it was and what he did.
func TestTwoAdminsDecide(t *testing.T) {
	s := open(t)
	for range 5 {
		id := s.waits(t, "gpt-4o")
		var yes, no reply
		var wg sync.WaitGroup
		wg.Go(func() { yes = s.decide(t, s.root, "approve", id) })
		wg.Go(func() { no = s.decide(t, s.boss, "deny", id) })
		wg.Wait()
		require.Equal(t, http.StatusOK, yes.Code, yes.Body)
		require.Equal(t, http.StatusOK, no.Code, no.Body)
		require.NotEqual(t, yes.at("successful"), no.at("successful"), "%s %s", yes.Body, no.Body)
		status, winner, loser := "active", "root@example.com", no
		if no.at("successful") == 1.0 {
			status, winner, loser = "denied", "boss@example.com", yes
		}
		require.Contains(t, loser.at("errors.0.error"), winner)
		require.Equal(t, status, s.by(t, s.ada, http.MethodGet, "/api/v1/subscriptions/"+id, "").at("status"))
		s.call(t, http.MethodDelete, "/api/v1/admin/subscriptions/"+id, "").is(http.StatusOK)
	}

	id, seen := s.waits(t, "gpt-4o"), time.Now().UTC().Format(time.RFC3339Nano)
	s.decide(t, s.boss, "approve", id).is(http.StatusOK)
	stale := `{"subscriptionIds": ["` + id + `"], "reason": "no", "asOf": "` + seen + `"}`
	late := s.by(t, s.root, http.MethodPost, "/api/v1/admin/subscriptions/deny", stale).is(http.StatusOK)
	require.EqualValues(t, 1, late.at("failed"))
	require.Contains(t, late.at("errors.0.error"), "boss@example.com")
	back := s.by(t, s.root, http.MethodPost, "/api/v1/admin/subscriptions/"+id+"/revert", `{"newStatus": "pending", "asOf": "`+seen+`"}`)
	back.problem(http.StatusConflict, "CONFLICT")
	require.Contains(t, back.at("message"), "boss@example.com")
	require.Equal(t, "denied", s.revert(t, id, "denied").is(http.StatusOK).at("status"), "who has seen it may overrule it")
}

// A decision is taken back with all that it took.
func TestRevertSubscription(t *testing.T) {
	s := open(t)
	path := s.has(t, s.ada, "gpt-4o")
	key := s.key(t, "gpt-4o")
	at := path[len(path)-36:]
	denied := s.revert(t, at, "denied").is(http.StatusOK)
	for name, want := range map[string]any{"id": at, "status": "denied", "statusReason": "because", "settled": true, "user.username": "ada@example.com", "model.name": "gpt-4o"} {
		require.Equal(t, want, denied.at(name), name)
	}
	require.Nil(t, s.held(t, key))
	active := s.revert(t, at, "active").is(http.StatusOK)
	require.Equal(t, "active", active.at("status"))
	require.NotContains(t, active.body(), "denial")
	require.Eventually(t, func() bool { return len(s.held(t, key)) == 1 }, 30*time.Second, 50*time.Millisecond)

	revert := func(body string) reply {
		return s.by(t, s.root, http.MethodPost, "/api/v1/admin/subscriptions/"+at+"/revert", body)
	}
	for body, field := range map[string]string{
		`{"newStatus": "cancelled"}`: "newStatus", `{"newStatus": "active"}`: "newStatus", `{}`: "newStatus", `{"newStatus": 1}`: "newStatus", ``: "",
	} {
		require.Equal(t, field, revert(body).problem(http.StatusBadRequest, "VALIDATION_ERROR"), body)
	}
	s.by(t, s.root, http.MethodPost, "/api/v1/admin/subscriptions/"+uuid.NewString()+"/revert", `{"newStatus": "active"}`).problem(http.StatusNotFound, "NOT_FOUND")
	own := id(s.subscribe(t, s.root, "gpt-4o").is(http.StatusCreated))
	s.revert(t, own, "pending").problem(http.StatusForbidden, "FORBIDDEN")
}

// A deleted subscription is gone with its history, and its model is off the keys; the audit log
// says who did it and why.
func TestDeleteSubscription(t *testing.T) {
	s := open(t)
	path := s.has(t, s.ada, "gpt-4o")
	key := s.key(t, "gpt-4o")
	at := "/api/v1/admin/subscriptions/" + path[len(path)-36:]
	require.Equal(t, "reason", s.by(t, s.root, http.MethodDelete, at, `{"reason": 1}`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	require.Equal(t, map[string]any{"success": true, "settled": true}, s.by(t, s.root, http.MethodDelete, at, `{"reason": "clean-up"}`).is(http.StatusOK).body())
	require.Nil(t, s.held(t, key))
	s.by(t, s.ada, http.MethodGet, path, "").problem(http.StatusNotFound, "NOT_FOUND")
	s.by(t, s.root, http.MethodDelete, at, "").problem(http.StatusNotFound, "NOT_FOUND")
	did := s.entries(t, store.AuditQuery{Action: models.AuditSubscriptionDelete})
	require.Len(t, did, 1)
	require.Contains(t, string(did[0].Detail), "clean-up")

	s.has(t, s.ada, "gpt-4.1")
	again := s.has(t, s.ada, "gpt-4o")
	s.key(t, "gpt-4o", "gpt-4.1")
	s.cut(t)
	late := s.by(t, s.root, http.MethodDelete, "/api/v1/admin/subscriptions/"+again[len(again)-36:], "").is(http.StatusAccepted)
	require.Equal(t, false, late.at("settled"))
	require.NotEmpty(t, late.at("note"))
}

// Quotas are counted from zero again, one's or everybody's; what they had suspended is active.
func TestResetQuotas(t *testing.T) {
	s := open(t)
	path := s.has(t, s.ada, "gpt-4o")
	key := s.key(t, "gpt-4o")
	s.exhaust(t, "gpt-4o")
	over := s.by(t, s.ada, http.MethodGet, path, "")
	require.Equal(t, "suspended", over.at("status"))
	require.Equal(t, []any{"quota"}, over.at("holds"))
	require.Nil(t, s.held(t, key))
	reset := func(body string) reply {
		return s.by(t, s.root, http.MethodPost, "/api/v1/subscriptions/admin/reset-quotas", body)
	}
	require.EqualValues(t, 0, reset(`{"userId": "`+s.user(t, "boss@example.com").ID.String()+`"}`).is(http.StatusOK).at("resetCount"))
	rep := reset(`{"userId": "` + s.user(t, "ada@example.com").ID.String() + `"}`).is(http.StatusOK)
	require.EqualValues(t, 1, rep.at("resetCount"))
	require.NotEmpty(t, rep.at("message"))
	now := s.by(t, s.ada, http.MethodGet, path, "")
	require.Equal(t, "active", now.at("status"))
	require.EqualValues(t, 0, now.at("usedRequests"))
	require.Equal(t, []string{"gpt-4o"}, s.held(t, key))
	s.exhaust(t, "gpt-4o")
	require.EqualValues(t, 1, reset("").is(http.StatusOK).at("resetCount"))
	require.Equal(t, "userId", reset(`{"userId": "x"}`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	reset(`{"userId": "`+uuid.NewString()+`"}`).problem(http.StatusNotFound, "NOT_FOUND")
}
