package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

// down makes LiteLLM known to be down, so that nobody waits long for it.
func (s system) down(t *testing.T) {
	t.Helper()
	require.NoError(t, s.Store.RecordProbe(t.Context(), models.Probe{Failure: "LiteLLM does not answer", CheckedAt: time.Now()}))
}

// ends waits for the run to end, and returns it.
func (s system) ends(t *testing.T, runID any) reply {
	t.Helper()
	var last reply
	require.Eventually(t, func() bool {
		last = s.get(t, "/api/v1/sync/runs/"+runID.(string))
		return last.Code == http.StatusOK && last.at("status") != "running"
	}, 30*time.Second, 20*time.Millisecond)
	return last
}

// A sync is answered with LiteMaaS's counts, and its run says which models differed, in which
// fields, with both values.
func TestSyncModels(t *testing.T) {
	s, proxy, _ := running(t)
	first := s.call(t, http.MethodPost, "/api/v1/models/sync", "{}").is(http.StatusOK)
	listed := first.at("totalModels")
	require.Equal(t, listed, first.at("newModels"))
	for name, want := range map[string]any{
		"success": true, "updatedModels": 0.0, "unavailableModels": 0.0, "heldModels": 0.0, "errors": []any{}, "status": "completed",
		"options": map[string]any{"dryRun": false, "forceUpdate": false, "markUnavailable": true},
	} {
		require.Equal(t, want, first.at(name), name)
	}
	require.Regexp(t, `Z$`, first.at("syncedAt"))
	require.Equal(t, "/api/v1/sync/runs/"+first.at("runId").(string), first.Header().Get("Location"))

	changed := proxy.Deployments()[0]
	proxy.ChangeDeployment(changed.ID, func(d *litellmtest.Deployment) { d.Info["max_tokens"] = 4711 })
	dry := s.call(t, http.MethodPost, "/api/v1/models/sync", `{"dryRun": true}`).is(http.StatusOK)
	require.EqualValues(t, 1, dry.at("updatedModels"))
	require.Equal(t, true, dry.at("options.dryRun"))
	second := s.call(t, http.MethodPost, "/api/v1/models/sync", "").is(http.StatusOK)
	require.EqualValues(t, 0, second.at("newModels"))
	require.EqualValues(t, 1, second.at("updatedModels"))
	forced := s.call(t, http.MethodPost, "/api/v1/models/sync", `{"forceUpdate": true, "markUnavailable": false}`).is(http.StatusOK)
	require.Equal(t, listed, forced.at("updatedModels"))
	require.Equal(t, map[string]any{"dryRun": false, "forceUpdate": true, "markUnavailable": false}, forced.at("options"))

	run := s.get(t, second.Header().Get("Location")).is(http.StatusOK)
	for path, want := range map[string]any{
		"id": second.at("runId"), "workflowId": "full-sync", "kind": "full", "trigger": "manual", "status": "completed", "phase": "done",
		"counts.changed": 1.0, "counts.listed": listed, "problems": []any{}, "differences.pagination.total": 1.0,
		"differences.data.0.kind": "changed", "differences.data.0.modelId": changed.Name,
		"temporalUrl": "http://temporal.example.com/namespaces/litemaas/workflows/full-sync/" + second.at("runId").(string) + "/history",
	} {
		require.Equal(t, want, run.at(path), path)
	}
	require.Regexp(t, `^admin-key-[0-9a-f]{8}$`, run.at("actor"))
	fields := run.at("differences.data.0.fields").([]any)
	require.NotEmpty(t, fields)
	for _, f := range fields {
		require.EqualValues(t, 4711, f.(map[string]any)["new"], f)
		require.Contains(t, f, "old")
	}
	require.EqualValues(t, 0, s.get(t, second.Header().Get("Location")+"?kind=gone").is(http.StatusOK).at("differences.pagination.total"))
	all := s.get(t, first.Header().Get("Location")+"?page=2&limit=5&kind=added").is(http.StatusOK)
	require.Len(t, all.at("differences.data"), 5)
	require.Equal(t, listed, all.at("differences.pagination.total"))
}

// The runs are listed, the newest first.
func TestListSyncRuns(t *testing.T) {
	s, _, _ := running(t)
	require.Equal(t, []any{}, s.get(t, "/api/v1/sync/runs").is(http.StatusOK).at("data"))
	first := s.call(t, http.MethodPost, "/api/v1/models/sync", "").is(http.StatusOK)
	second := s.call(t, http.MethodPost, "/api/v1/models/sync", `{"dryRun": true}`).is(http.StatusOK)
	third := s.call(t, http.MethodPost, "/api/v1/models/gpt-4o/refresh", "").is(http.StatusOK)
	require.Equal(t, []string{third.at("runId").(string), second.at("runId").(string), first.at("runId").(string)}, ids(s.get(t, "/api/v1/sync/runs").is(http.StatusOK)))
	require.Equal(t, []string{first.at("runId").(string)}, ids(s.get(t, "/api/v1/sync/runs?page=2&limit=1&kind=full").is(http.StatusOK)))
	require.Empty(t, ids(s.get(t, "/api/v1/sync/runs?status=failed").is(http.StatusOK)))
	one := s.get(t, "/api/v1/sync/runs?kind=model").is(http.StatusOK)
	require.EqualValues(t, 1, one.at("pagination.total"))
	require.Equal(t, "gpt-4o", one.at("data.0.modelId"))
	require.Contains(t, one.at("data.0.temporalUrl"), "/workflows/"+url.PathEscape("refresh-model/gpt-4o")+"/")
	require.NotContains(t, one.at("data.0"), "differences")
}

// Two syncs asked for at once are one run with two equal answers.
func TestSyncIsJoined(t *testing.T) {
	s, proxy, _ := running(t)
	proxy.Inject(litellmtest.Fault{Path: "/v2/model/info", Delay: 300 * time.Millisecond})
	answers := make([]reply, 4)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = s.call(t, http.MethodPost, "/api/v1/models/sync", "{}") })
	}
	wg.Wait()
	for _, a := range answers {
		require.Equal(t, http.StatusOK, a.Code, a.Body)
		require.JSONEq(t, answers[0].Body.String(), a.Body.String())
	}
	require.EqualValues(t, 1, s.get(t, "/api/v1/sync/runs").at("pagination.total"))
}

// Who does not want to wait, or waits for a LiteLLM that is down, is told where to look; the
// sync ends when LiteLLM is back.
func TestSyncGoesOn(t *testing.T) {
	s, proxy, _ := running(t)
	s.down(t)
	back := proxy.Inject(litellmtest.Fault{Path: "/v2/model/info", Kind: litellmtest.FaultCut})
	waited := s.call(t, http.MethodPost, "/api/v1/models/sync", "{}").is(http.StatusAccepted)
	for name, want := range map[string]any{
		"success": false, "status": "running", "totalModels": 0.0, "newModels": 0.0, "updatedModels": 0.0, "unavailableModels": 0.0,
		"errors.0": "the sync goes on: GET /api/v1/sync/runs/" + waited.at("runId").(string) + " shows how it ends",
	} {
		require.Equal(t, want, waited.at(name), name)
	}
	require.NotContains(t, waited.body(), "syncedAt", "nothing is claimed that is not so")
	async := s.call(t, http.MethodPost, "/api/v1/models/sync", `{"forceUpdate": true}`, "Prefer", "respond-async").is(http.StatusAccepted)
	require.Equal(t, waited.at("runId"), async.at("runId"), "it joined")
	require.Equal(t, false, async.at("options.forceUpdate"), "the one that runs was not asked for that")
	refreshed := s.call(t, http.MethodPost, "/api/v1/models/refresh", "", "Prefer", "respond-async").is(http.StatusAccepted)
	require.Equal(t, waited.at("runId"), refreshed.at("runId"))
	require.Contains(t, refreshed.at("message"), "goes on")
	health := s.get(t, "/api/v1/sync/health").is(http.StatusOK)
	require.Equal(t, waited.at("runId"), health.at("running.id"))
	require.Equal(t, "fetching", health.at("running.phase"))

	back()
	require.Equal(t, "completed", s.ends(t, waited.at("runId")).at("status"))
}

// A sync that was ended from outside is no failure of the caller's.
func TestSyncIsCancelled(t *testing.T) {
	s, proxy, c := running(t)
	proxy.Inject(litellmtest.Fault{Path: "/v2/model/info", Kind: litellmtest.FaultCut})
	var rep reply
	var wg sync.WaitGroup
	wg.Go(func() { rep = s.call(t, http.MethodPost, "/api/v1/models/sync", "{}") })
	require.Eventually(t, func() bool { return len(ids(s.get(t, "/api/v1/sync/runs"))) == 1 }, 30*time.Second, 20*time.Millisecond)
	run := ids(s.get(t, "/api/v1/sync/runs"))[0]
	require.NoError(t, c.CancelWorkflow(t.Context(), "full-sync", run))
	wg.Wait()
	rep.problem(http.StatusConflict, "CONFLICT")
	require.Equal(t, "the run was cancelled", rep.at("message"))
	ended := s.ends(t, run)
	require.Equal(t, "failed", ended.at("status"))
	require.NotEmpty(t, ended.at("failure"))
	require.Contains(t, s.get(t, "/api/v1/sync/health").Body.String(), "the last sync failed")
}

// A refresh takes nothing away.
func TestRefreshModels(t *testing.T) {
	s, proxy, _ := running(t)
	s.call(t, http.MethodPost, "/api/v1/models/sync", "{}").is(http.StatusOK)
	gone := proxy.Deployments()[0]
	proxy.RemoveDeployments(gone.ID)
	before := s.get(t, "/api/v1/models/sync/stats").is(http.StatusOK)
	rep := s.call(t, http.MethodPost, "/api/v1/models/refresh", "").is(http.StatusOK)
	require.NotEmpty(t, rep.at("message"))
	require.NotEmpty(t, rep.at("refreshedAt"))
	require.Equal(t, int(rep.at("modelsCount").(float64))+1, int(before.at("availableModels").(float64)), "LiteLLM lists one less")
	require.Equal(t, before.at("availableModels"), s.get(t, "/api/v1/models/sync/stats").at("availableModels"))
}

// One model is compared alone, and one that neither of us knows is not found.
func TestRefreshModel(t *testing.T) {
	s, proxy, _ := running(t)
	var slashed litellmtest.Deployment
	for _, d := range proxy.Deployments() {
		if strings.Contains(d.Name, "/") {
			slashed = d
		}
	}
	require.NotEmpty(t, slashed.Name)
	added := s.call(t, http.MethodPost, "/api/v1/models/"+slashed.Name+"/refresh", "").is(http.StatusOK)
	require.Equal(t, slashed.Name, added.at("model.id"))
	require.EqualValues(t, 1, s.get(t, "/api/v1/models").at("pagination.total"))
	s.call(t, http.MethodPost, "/api/v1/models/"+url.PathEscape(slashed.Name)+"/refresh", "").is(http.StatusOK)
	s.call(t, http.MethodPost, "/api/v1/models/no/such/model/refresh", "").problem(http.StatusNotFound, "NOT_FOUND")

	for _, d := range proxy.Deployments() {
		if d.Name == slashed.Name {
			proxy.RemoveDeployments(d.ID)
		}
	}
	gone := s.call(t, http.MethodPost, "/api/v1/models/"+slashed.Name+"/refresh", "").is(http.StatusOK)
	require.Equal(t, false, gone.at("model.isActive"))

	s.down(t)
	proxy.Inject(litellmtest.Fault{Kind: litellmtest.FaultCut})
	late := s.call(t, http.MethodPost, "/api/v1/models/another/refresh", "").is(http.StatusAccepted)
	require.NotContains(t, late.body(), "model")
}

// With Temporal away a sync is refused, but an approval stands: it is carried out later.
func TestWithoutTemporal(t *testing.T) {
	s := idle(t)
	s.fill(t, some(t)...)
	held := s.fill(t)
	for _, path := range []string{"/api/v1/models/sync", "/api/v1/models/refresh", "/api/v1/models/gpt-4o/refresh", "/api/v1/sync/schedule/trigger"} {
		rep := s.call(t, http.MethodPost, path, "")
		rep.problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
		require.Equal(t, "5", rep.Header().Get("Retry-After"))
		require.Equal(t, map[string]any{"retryable": true, "retryAfter": 5.0}, rep.at("error.retry"))
	}
	yes := s.call(t, http.MethodPost, "/api/v1/sync/runs/"+held.ID.String()+"/decision", `{"decision": "approve"}`).is(http.StatusAccepted)
	require.Equal(t, "approved", yes.at("proposal.status"))
	require.NotContains(t, yes.at("proposal"), "appliedAt")
	require.Contains(t, s.Temporal.(*away).started, workflows.ApplyRemovalsInput{ProposalID: *held.ProposalID}.WorkflowID())
	health := s.get(t, "/api/v1/sync/health").is(http.StatusOK)
	require.EqualValues(t, 1, health.at("unsettled.count"))
	require.Equal(t, "proposal/"+held.ProposalID.String(), health.at("unsettled.items.0.subject"))
	require.Equal(t, health.at("unsettled.oldestSince"), health.at("unsettled.items.0.since"))
}
