package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
)

// What the guard held back is shown, and removed when an admin approves: once.
func TestApprove(t *testing.T) {
	s, proxy, _ := running(t)
	first := s.call(t, http.MethodPost, "/api/v1/models/sync", "{}").is(http.StatusOK)
	n := first.at("newModels")
	proxy.SetListing(litellmtest.ListEmpty)
	held := s.call(t, http.MethodPost, "/api/v1/models/sync", "{}").is(http.StatusOK)
	require.Equal(t, n, held.at("heldModels"))
	require.EqualValues(t, 0, held.at("unavailableModels"))
	require.Contains(t, held.at("errors.0"), held.Header().Get("Location")+"/decision")
	health := s.get(t, "/api/v1/sync/health").is(http.StatusOK)
	require.Equal(t, "degraded", health.at("status"))
	require.Equal(t, held.at("proposalId"), health.at("proposal.id"))
	require.Equal(t, n, health.at("proposal.models"))
	require.Contains(t, health.at("proposal.answer"), "POST "+held.Header().Get("Location")+"/decision")
	run := s.get(t, held.Header().Get("Location")+"?kind=held&limit=1").is(http.StatusOK)
	require.Equal(t, "open", run.at("proposal.status"))
	require.Equal(t, n, run.at("differences.pagination.total"))

	yes := s.call(t, http.MethodPost, held.Header().Get("Location")+"/decision", `{"decision": "approve", "reason": "they are gone"}`).is(http.StatusOK)
	require.Equal(t, n, yes.at("unavailableModels"))
	require.Equal(t, "approved", yes.at("proposal.status"))
	require.Equal(t, "they are gone", yes.at("proposal.reason"))
	require.NotEmpty(t, yes.at("proposal.appliedAt"))
	require.Equal(t, "removals", s.get(t, "/api/v1/sync/runs/"+yes.at("runId").(string)).is(http.StatusOK).at("kind"))
	require.EqualValues(t, 0, s.get(t, "/api/v1/models").at("pagination.total"))
	require.NotContains(t, s.get(t, "/api/v1/sync/health").body(), "proposal")

	again := s.call(t, http.MethodPost, held.Header().Get("Location")+"/decision", `{"decision": "reject"}`)
	again.problem(http.StatusConflict, "CONFLICT")
	require.Regexp(t, `^the proposal was approved by admin-key-[0-9a-f]{8} at `, again.at("message"))
	s.call(t, http.MethodPost, first.Header().Get("Location")+"/decision", `{"decision": "approve"}`).problem(http.StatusNotFound, "NOT_FOUND")
}

// What an admin rejects stays, also over the next sync.
func TestReject(t *testing.T) {
	s, proxy, _ := running(t)
	n := s.call(t, http.MethodPost, "/api/v1/models/sync", "{}").is(http.StatusOK).at("newModels")
	proxy.SetListing(litellmtest.ListEmpty)
	held := s.call(t, http.MethodPost, "/api/v1/models/sync", "{}").is(http.StatusOK)
	no := s.call(t, http.MethodPost, held.Header().Get("Location")+"/decision", `{"decision": "reject", "reason": "LiteLLM is confused"}`).is(http.StatusOK)
	require.Equal(t, "rejected", no.at("proposal.status"))
	require.EqualValues(t, 0, no.at("unavailableModels"))
	require.NotContains(t, no.body(), "runId")
	next := s.call(t, http.MethodPost, "/api/v1/models/sync", "{}").is(http.StatusOK)
	require.EqualValues(t, 0, next.at("heldModels"))
	require.Equal(t, n, s.get(t, "/api/v1/models").at("pagination.total"))
}
