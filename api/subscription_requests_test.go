package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// A subscription to a model that needs no approval is active at once, and LiteLLM knows its
// owner by then.
func TestSubscribe(t *testing.T) {
	s := open(t)
	ada := s.user(t, "ada@example.com")
	end := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
	rep := s.by(t, s.ada, http.MethodPost, "/api/v1/subscriptions", `{"modelId": "gpt-4o", "quotaRequests": 500, "quotaTokens": 60000,
		"expiresAt": "`+end.Format(time.RFC3339)+`", "metadata": {"project": "Ünï", "n": [1, null, {"a": true}]}}`).is(http.StatusCreated)
	for at, want := range map[string]any{
		"userId": ada.ID.String(), "modelId": "gpt-4o", "modelName": "gpt-4o", "provider": "openai", "status": "active", "statusReason": "",
		"statusChangedBy": ada.ID.String(), "settled": true, "provisioning": "", "quotaRequests": 500.0, "quotaTokens": 60000.0, "unlimited": false,
		"usedRequests": 0.0, "usedTokens": 0.0, "remainingRequests": 500.0, "remainingTokens": 60000.0,
		"utilizationPercent": map[string]any{"requests": 0.0, "tokens": 0.0}, "expiresAt": end.Format(time.RFC3339),
		"resetAt": models.QuotaReset(time.Now()).Format(time.RFC3339), "metadata": map[string]any{"project": "Ünï", "n": []any{1.0, nil, map[string]any{"a": true}}},
		"pricing": map[string]any{"inputCostPerToken": 2.5e-06, "outputCostPerToken": 1e-05, "currency": "USD"},
	} {
		require.Equal(t, want, rep.at(at), at)
	}
	require.NotContains(t, rep.body(), "note")
	_, err := s.llm.User(t.Context(), ada.ID.String())
	require.NoError(t, err)
	require.Equal(t, []string{"pending", "active"}, s.history(t, own(rep)))
	made := s.entries(t, store.AuditQuery{Action: models.AuditSubscriptionCreate, ResourceID: id(rep)})
	require.Len(t, made, 1)
	require.Equal(t, ada.ID.String(), made[0].Actor)
	require.Equal(t, "192.0.2.1", made[0].IP)

	defaults := s.subscribe(t, s.ada, "gpt-4.1").is(http.StatusCreated)
	require.EqualValues(t, models.DefaultQuotaRequests, defaults.at("quotaRequests"))
	require.EqualValues(t, models.DefaultQuotaTokens, defaults.at("quotaTokens"))
	require.Equal(t, map[string]any{}, defaults.at("metadata"))
	require.NotContains(t, defaults.body(), "expiresAt")
}

// Where an approval is needed, the subscription waits, and approvers are told.
func TestSubscribeRestricted(t *testing.T) {
	s := open(t)
	s.restrict(t, "gpt-4o", true).is(http.StatusOK)
	rep := s.subscribe(t, s.ada, "gpt-4o").is(http.StatusCreated)
	for at, want := range map[string]any{"status": "pending", "settled": true, "provisioning": "", "note": "an admin has to approve it"} {
		require.Equal(t, want, rep.at(at), at)
	}
	var told int
	require.NoError(t, s.sql.QueryRowContext(t.Context(), "SELECT count(*) FROM outbox WHERE type = $1 AND subject_id = $2",
		models.SubscriptionRequested, id(rep)).Scan(&told))
	require.Equal(t, 1, told)
}

// Of 50 equal requests at once one is carried out, and the others are told that it was.
func TestSubscribeAtOnce(t *testing.T) {
	s := open(t)
	var got [50]reply
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i] = s.subscribe(t, s.ada, "gpt-4o") })
	}
	wg.Wait()
	made := 0
	for _, rep := range got {
		if rep.Code == http.StatusCreated {
			made++
			require.Equal(t, "active", rep.at("status"))
			continue
		}
		require.Equal(t, "modelId", rep.problem(http.StatusConflict, "ALREADY_EXISTS"))
		require.Regexp(t, "pending|active", rep.at("message"))
	}
	require.Equal(t, 1, made)
	require.EqualValues(t, 1, s.by(t, s.ada, http.MethodGet, "/api/v1/subscriptions", "").at("total"))
}

// A model that came to LiteLLM since the last sync is found; one that nobody knows is not, and
// while LiteLLM is away nobody can say.
func TestSubscribeToAnUnknownModel(t *testing.T) {
	s := open(t)
	s.proxy.AddDeployment(litellmtest.Deployment{ID: "new", Name: "brand/new", Model: "openai/new"})
	require.Equal(t, "active", s.subscribe(t, s.ada, "brand/new").is(http.StatusCreated).at("status"))
	none := s.subscribe(t, s.ada, "does-not-exist")
	require.Equal(t, "modelId", none.problem(http.StatusNotFound, "NOT_FOUND"))
	require.Contains(t, none.at("message"), "does-not-exist")

	s.proxy.RemoveDeployments("new")
	s.call(t, http.MethodPost, "/api/v1/models/sync", "").is(http.StatusOK)
	require.Equal(t, "modelId", s.subscribe(t, s.root, "brand/new").problem(http.StatusBadRequest, "VALIDATION_ERROR"))

	s.cut(t)
	s.subscribe(t, s.ada, "unheard-of").problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
	alone := serve(s.Store, &away{}, &away{})
	alone.by(t, s.ada, http.MethodPost, "/api/v1/subscriptions", `{"modelId": "unheard-of"}`).problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
}

// What LiteLLM refuses is no subscription, and the answer says why.
func TestSubscribeRefused(t *testing.T) {
	s := open(t)
	s.proxy.Inject(litellmtest.Fault{Path: "/user/new", Kind: litellmtest.FaultStatus, Status: http.StatusBadRequest, Message: "such a user is not allowed"})
	rep := s.subscribe(t, s.ada, "gpt-4o")
	rep.problem(http.StatusConflict, "CONFLICT")
	require.Contains(t, rep.at("message"), "inactive")
	require.Contains(t, rep.at("message"), "such a user is not allowed")
	require.EqualValues(t, 0, s.by(t, s.ada, http.MethodGet, "/api/v1/subscriptions", "").at("total"))
	kept := s.by(t, s.ada, http.MethodGet, "/api/v1/subscriptions?status=inactive", "")
	require.Equal(t, true, kept.at("data.0.settled"))
	require.Contains(t, kept.at("data.0.statusReason"), "such a user is not allowed")
}

// A field that is wrong is named, whatever is wrong with it.
func TestSubscribeBadly(t *testing.T) {
	s := idle(t)
	ada := s.as(t, "ada@example.com", user)
	deep := strings.Repeat(`{"a":`, 25) + "1" + strings.Repeat("}", 25)
	for body, field := range map[string]string{
		``: "", `[]`: "body", `{"modelId": `: "body", `null`: "body",
		`{}`: "modelId", `{"modelId": ""}`: "modelId", `{"modelId": 1}`: "modelId", `{"modelId": "\u0000"}`: "modelId",
		`{"modelId": "` + strings.Repeat("x", 501) + `"}`: "modelId",
		`{"modelId": "m", "quotaRequests": 0}`:            "quotaRequests", `{"modelId": "m", "quotaRequests": -1}`: "quotaRequests",
		`{"modelId": "m", "quotaRequests": 1.5}`: "quotaRequests", `{"modelId": "m", "quotaRequests": "1"}`: "quotaRequests",
		`{"modelId": "m", "quotaRequests": 1e99}`:                                       "quotaRequests",
		fmt.Sprintf(`{"modelId": "m", "quotaRequests": %d}`, models.MaxQuotaRequests+1): "quotaRequests",
		fmt.Sprintf(`{"modelId": "m", "quotaTokens": %d}`, models.MaxQuotaTokens+1):     "quotaTokens",
		`{"modelId": "m", "quotaTokens": 0}`:                                            "quotaTokens",
		`{"modelId": "m", "expiresAt": "2020-01-01T00:00:00Z"}`:                         "expiresAt",
		`{"modelId": "m", "expiresAt": "9999-12-31T23:59:59-12:00"}`:                    "expiresAt",
		`{"modelId": "m", "expiresAt": "tomorrow"}`:                                     "expiresAt",
		`{"modelId": "m", "expiresAt": 1}`:                                              "expiresAt",
		`{"modelId": "m", "metadata": []}`:                                              "metadata",
		`{"modelId": "m", "metadata": "x"}`:                                             "metadata",
		`{"modelId": "m", "metadata": {"a": ["\u0000"]}}`:                               "metadata",
		`{"modelId": "m", "metadata": {"\u0000": 1}}`:                                   "metadata",
		`{"modelId": "m", "metadata": ` + deep + `}`:                                    "metadata",
		`{"modelId": "m", "metadata": {"a": "` + strings.Repeat("x", 17<<10) + `"}}`:    "metadata",
		`{"modelId": "m", "status": "active"}`:                                          "status",
		`{"modelId": "m", "userId": "` + uuid.NewString() + `"}`:                        "userId",
	} {
		rep := s.by(t, ada, http.MethodPost, "/api/v1/subscriptions", body)
		require.Equal(t, field, rep.problem(http.StatusBadRequest, "VALIDATION_ERROR"), "%.200s", body)
	}
	past := s.by(t, ada, http.MethodPost, "/api/v1/subscriptions", `{"modelId": "m", "expiresAt": "2020-01-01T00:00:00Z"}`)
	require.Equal(t, "Expiration date must be in the future", past.at("message"))
}

// Its owner changes quotas and the end of a subscription, and nothing else.
func TestUpdateSubscription(t *testing.T) {
	s := open(t)
	path := s.has(t, s.ada, "gpt-4o")
	patch := func(body string) reply { return s.by(t, s.ada, http.MethodPatch, path, body) }
	rep := patch(`{"quotaRequests": 999999}`).is(http.StatusOK)
	require.EqualValues(t, 999999, rep.at("quotaRequests"))
	require.EqualValues(t, models.DefaultQuotaTokens, rep.at("quotaTokens"))
	ends := patch(`{"expiresAt": "2999-01-01T00:00:00Z"}`).is(http.StatusOK)
	require.Equal(t, "2999-01-01T00:00:00Z", ends.at("expiresAt"))
	require.EqualValues(t, 999999, ends.at("quotaRequests"))
	require.Equal(t, "2999-01-01T00:00:00Z", patch(`{"quotaTokens": 5}`).is(http.StatusOK).at("expiresAt"), "what is left out stays")
	require.NotContains(t, patch(`{"expiresAt": null}`).is(http.StatusOK).body(), "expiresAt")
	require.EqualValues(t, 5, patch(`{}`).is(http.StatusOK).at("quotaTokens"))

	for body, field := range map[string]string{
		`{"status": "active"}`: "status", `{"status": 1}`: "status", `{"status": "active", "quotaTokens": 7}`: "status",
		`{"quotaRequests": 0}`: "quotaRequests", `{"quotaTokens": 100000001}`: "quotaTokens", `{"quotaTokens": "7"}`: "quotaTokens",
		`{"expiresAt": "2020-01-01T00:00:00Z"}`: "expiresAt", `{"expiresAt": "soon"}`: "expiresAt", `{"modelId": "x"}`: "modelId", `[]`: "body", ``: "",
	} {
		require.Equal(t, field, patch(body).problem(http.StatusBadRequest, "VALIDATION_ERROR"), body)
	}
	require.Equal(t, "a subscription's status is not changed by its owner", patch(`{"status": "active"}`).at("message"))
	require.EqualValues(t, 5, s.by(t, s.ada, http.MethodGet, path, "").at("quotaTokens"), "nothing that was refused was done in part")
}

// A cancelled subscription is off the keys of its owner; a key on its last model is gone from
// LiteLLM. Asking again does not undo a denial.
func TestCancelSubscription(t *testing.T) {
	s := open(t)
	path := s.has(t, s.ada, "gpt-4o")
	s.has(t, s.ada, "gpt-4.1")
	both, last := s.key(t, "gpt-4o", "gpt-4.1"), s.key(t, "gpt-4o")
	rep := s.by(t, s.ada, http.MethodPost, path+"/cancel", "").is(http.StatusOK)
	require.Equal(t, "inactive", rep.at("status"))
	require.Equal(t, true, rep.at("settled"))
	require.Equal(t, []string{"gpt-4.1"}, s.held(t, both))
	require.Nil(t, s.held(t, last))
	again := s.by(t, s.ada, http.MethodPost, path+"/cancel", "")
	require.Equal(t, "status", again.problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	require.Equal(t, "Cannot cancel subscription that is already inactive", again.at("message"))
	require.Equal(t, path, own(s.subscribe(t, s.ada, "gpt-4o").is(http.StatusCreated)), "one row for ever")
	require.Equal(t, []string{"gpt-4.1"}, s.held(t, both), "what its owner gave up is not given back")

	s.decide(t, s.root, "deny", path[len(path)-36:]).is(http.StatusOK)
	s.by(t, s.ada, http.MethodPost, path+"/cancel", "").is(http.StatusOK)
	denied := s.subscribe(t, s.ada, "gpt-4o").is(http.StatusCreated)
	require.Equal(t, "pending", denied.at("status"), "the denial stands")
	require.Equal(t, true, denied.at("settled"))
}

// While LiteLLM is away nothing is claimed that is not so: 202, and the row says what is under
// way. All of it settles when LiteLLM is back.
func TestSubscriptionsWhileLiteLLMIsDown(t *testing.T) {
	s := open(t)
	cancelled, denied := s.has(t, s.ada, "gpt-4o"), s.has(t, s.ada, "gpt-4.1")
	restricted := s.has(t, s.ada, "o4-mini")
	all := []string{"gpt-4.1", "gpt-4o", "o4-mini"}
	key := s.key(t, all...)
	bob := s.as(t, "bob@example.com", user)

	back := s.cut(t)
	made := s.subscribe(t, bob, "gpt-4o").is(http.StatusAccepted)
	for at, want := range map[string]any{"status": "pending", "settled": false, "provisioning": "activating"} {
		require.Equal(t, want, made.at(at), at)
	}
	require.NotEmpty(t, made.at("note"))
	require.Equal(t, made.body(), s.by(t, bob, http.MethodGet, own(made), "").is(http.StatusOK).body())
	ending := func(rep reply, status string) {
		for at, want := range map[string]any{"status": status, "settled": false, "provisioning": "ending"} {
			require.Equal(t, want, rep.at(at), at)
		}
	}
	ending(s.by(t, s.ada, http.MethodPost, cancelled+"/cancel", "").is(http.StatusAccepted), "inactive")
	bulk := s.decide(t, s.root, "deny", denied[len(denied)-36:]).is(http.StatusAccepted)
	require.Equal(t, []any{denied[len(denied)-36:]}, bulk.at("unsettled"))
	require.EqualValues(t, 1, bulk.at("successful"))
	ending(s.by(t, s.ada, http.MethodGet, denied, ""), "denied")
	edit := s.restrict(t, "o4-mini", true).is(http.StatusAccepted)
	for at, want := range map[string]any{"success": true, "settled": false} {
		require.Equal(t, want, edit.at(at), at)
	}
	require.Equal(t, true, s.get(t, "/api/v1/models/o4-mini").at("restrictedAccess"), "the row says so at once")
	ending(s.by(t, s.ada, http.MethodGet, restricted, ""), "pending")

	back()
	require.Equal(t, "active", s.settles(t, bob, own(made)).at("status"))
	for path, status := range map[string]string{cancelled: "inactive", denied: "denied", restricted: "pending"} {
		now := s.settles(t, s.ada, path)
		require.Equal(t, status, now.at("status"))
		require.Empty(t, now.at("provisioning"))
	}
	require.Nil(t, s.held(t, key), "no model is left that it may call")
}

// With Temporal away a wish is kept all the same; the answer says that it is not carried out.
func TestSubscriptionsWithoutTemporal(t *testing.T) {
	s := open(t)
	path := s.has(t, s.ada, "gpt-4o")
	key := s.key(t, "gpt-4o")
	alone := shop{system: serve(s.Store, &away{}, &away{}), proxy: s.proxy, llm: s.llm, sql: s.sql, ada: s.ada, root: s.root}
	made := alone.subscribe(t, s.ada, "gpt-4.1").is(http.StatusAccepted)
	require.Equal(t, "activating", made.at("provisioning"))
	ending := alone.by(t, s.ada, http.MethodPost, path+"/cancel", "").is(http.StatusAccepted)
	require.Equal(t, "ending", ending.at("provisioning"))
	require.Equal(t, []string{"gpt-4o"}, s.held(t, key), "nobody was told")
	gone := alone.by(t, s.root, http.MethodDelete, "/api/v1/admin/subscriptions/"+id(made), "").is(http.StatusOK)
	require.Equal(t, map[string]any{"success": true, "settled": true}, gone.body(), "there was no key to take it from")
}
