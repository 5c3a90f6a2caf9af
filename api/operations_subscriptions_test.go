package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

const (
	subscriptions = "/api/v1/subscriptions"
	gpt4o         = `{"modelId": "gpt-4o"}`
)

// The same request for a subscription, 20 times at once under one key, is one subscription and
// 20 equal answers; with another model it is refused.
func TestSubscribeUnderAKey(t *testing.T) {
	s := open(t)
	made := s.atOnce(t, 20, http.MethodPost, subscriptions, gpt4o, "Authorization", s.ada).is(http.StatusCreated)
	require.Equal(t, "active", made.at("status"))
	require.EqualValues(t, 1, s.by(t, s.ada, http.MethodGet, subscriptions, "").at("total"))
	require.Len(t, s.entries(t, store.AuditQuery{Action: models.AuditSubscriptionCreate}), 1)
	other := s.keyed(t, "the-same", http.MethodPost, subscriptions, `{"modelId": "gpt-4.1"}`, "Authorization", s.ada)
	require.Equal(t, idempotencyKey, other.problem(http.StatusConflict, "CONFLICT"))
	op := s.by(t, s.ada, http.MethodGet, "/api/v1/operations", "").is(http.StatusOK)
	for at, want := range map[string]any{
		"pagination.total": 1.0, "data.0.status": "succeeded", "data.0.request": "POST " + subscriptions,
		"data.0.subject": map[string]any{"type": "SUBSCRIPTION", "id": id(made)}, "data.0.links.subject": own(made),
	} {
		require.Equal(t, want, op.at(at), at)
	}
}

// Whoever asks again after the process died that subscribed him gets his subscription, as it
// stands by then.
func TestSubscribeOutlivesItsProcess(t *testing.T) {
	s := open(t)
	ask := func(key, path, body string) reply {
		return s.keyed(t, key, http.MethodPost, path, body, "Authorization", s.ada)
	}
	dies := func() {
		s.exec(t, "UPDATE operations SET answered_at = NULL, status = NULL, body = NULL, headers = NULL")
	}
	made := ask("make", subscriptions, gpt4o).is(http.StatusCreated)
	dies()
	again := ask("make", subscriptions, gpt4o).is(http.StatusCreated)
	require.Equal(t, made.Body.String(), again.Body.String())
	require.Equal(t, "true", ask("make", subscriptions, gpt4o).Header().Get(replayed))

	ended := ask("end", own(made)+"/cancel", "").is(http.StatusOK)
	dies()
	require.Equal(t, ended.Body.String(), ask("end", own(made)+"/cancel", "").is(http.StatusOK).Body.String())
	require.Equal(t, "inactive", ask("make", subscriptions, gpt4o).is(http.StatusCreated).at("status"), "it was made, and has ended")
	require.Equal(t, []string{"pending", "active", "inactive"}, s.history(t, own(made)))
}

// A subscription that goes on is an operation that ends with it: for who does not want to wait,
// and for everybody while LiteLLM is away.
func TestSubscribeGoesOn(t *testing.T) {
	s := open(t)
	back := s.cut(t)
	async := s.call(t, http.MethodPost, subscriptions, gpt4o, "Authorization", s.ada, "Prefer", "respond-async").is(http.StatusAccepted)
	require.Equal(t, "respond-async", async.Header().Get("Preference-Applied"))
	plain := s.subscribe(t, s.root, "gpt-4o").is(http.StatusAccepted)
	ops := map[string]string{async.Header().Get("Location"): s.ada, plain.Header().Get("Location"): s.root}
	require.Len(t, ops, 2)
	for path, who := range ops {
		require.Equal(t, "running", s.by(t, who, http.MethodGet, path, "").is(http.StatusOK).at("status"))
	}
	back()
	for path, who := range ops {
		require.Eventually(t, func() bool { return s.by(t, who, http.MethodGet, path, "").at("status") == "succeeded" }, 60*time.Second, 100*time.Millisecond)
	}
	require.Equal(t, "active", s.settles(t, s.ada, own(async)).at("status"))
}

// To give up a subscription goes on until LiteLLM was seen to have taken the model off its
// owner's keys; so does a restriction of its model, and what it took is given back.
func TestSubscriptionEndsAsAnOperation(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	path := s.has(t, s.ada, "gpt-4.1")
	s.key(t, "gpt-4o", "gpt-4.1")
	back := s.cut(t)
	ended := s.by(t, s.ada, http.MethodPost, path+"/cancel", "").is(http.StatusAccepted)
	restricted := s.restrict(t, "gpt-4o", true).is(http.StatusAccepted)
	ops := map[string]string{ended.Header().Get("Location"): s.ada, restricted.Header().Get("Location"): s.root}
	for at, who := range ops {
		require.Equal(t, "running", s.by(t, who, http.MethodGet, at, "").is(http.StatusOK).at("status"), at)
	}
	back()
	for at, who := range ops {
		require.Eventually(t, func() bool { return s.by(t, who, http.MethodGet, at, "").at("status") == "succeeded" }, 60*time.Second, 100*time.Millisecond)
	}
}

// An operation on several subscriptions names them all, and runs while any does.
func TestApprovalsAreOneOperation(t *testing.T) {
	s := open(t)
	for _, model := range []string{"gpt-4o", "gpt-4.1"} {
		s.restrict(t, model, true).is(http.StatusOK)
	}
	one, two := id(s.subscribe(t, s.ada, "gpt-4o")), id(s.subscribe(t, s.ada, "gpt-4.1"))
	back := s.cut(t)
	op := s.decide(t, s.root, "approve", one, two).is(http.StatusAccepted).Header().Get("Location")
	rep := s.by(t, s.root, http.MethodGet, op, "").is(http.StatusOK)
	require.Equal(t, "running", rep.at("status"))
	require.ElementsMatch(t, []any{one, two}, rep.at("subjects"))
	back()
	require.Eventually(t, func() bool { return s.by(t, s.root, http.MethodGet, op, "").at("status") == "succeeded" }, 60*time.Second, 100*time.Millisecond)
}
