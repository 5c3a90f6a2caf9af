package litellm_test

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
)

var modelCases = []conformanceCase{
	{"the list is the same in one page, in many and without pages", func(t *testing.T, l target) {
		whole, err := l.Deployments(t.Context(), 1, 1000)
		require.NoError(t, err)
		require.Equal(t, 1, whole.TotalPages)
		require.Equal(t, len(whole.Deployments), whole.TotalCount)
		require.Greater(t, whole.TotalCount, 7, "the suite needs a LiteLLM with some models")

		var parts []models.Deployment
		for page, pages := 1, 1; page <= pages; page++ {
			p, err := l.Deployments(t.Context(), page, 7)
			require.NoError(t, err)
			require.Equal(t, whole.TotalCount, p.TotalCount)
			require.Equal(t, page, p.Page)
			pages = p.TotalPages
			parts = append(parts, p.Deployments...)
		}
		require.Equal(t, (whole.TotalCount+6)/7, (len(parts)+6)/7)
		require.Equal(t, idsOf(whole.Deployments), idsOf(parts))

		all, err := l.AllDeployments(t.Context())
		require.NoError(t, err)
		require.ElementsMatch(t, idsOf(whole.Deployments), idsOf(all))
	}},
	{"pages are sorted by name, whatever its letter case", func(t *testing.T, l target) {
		p, err := l.Deployments(t.Context(), 1, 1000)
		require.NoError(t, err)
		require.True(t, slices.IsSortedFunc(p.Deployments, func(a, b models.Deployment) int {
			return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
		}))
	}},
	{"a page past the end is empty and tells the right count", func(t *testing.T, l target) {
		first, err := l.Deployments(t.Context(), 1, 5)
		require.NoError(t, err)
		past, err := l.Deployments(t.Context(), first.TotalPages+1, 5)
		require.NoError(t, err)
		require.Empty(t, past.Deployments)
		require.Equal(t, first.TotalCount, past.TotalCount)
		require.Equal(t, first.TotalPages, past.TotalPages)
	}},
	{"a page is not zero, nor is its size", func(t *testing.T, l target) {
		for _, page := range [][2]int{{0, 10}, {1, 0}, {-1, 10}} {
			_, err := l.Deployments(t.Context(), page[0], page[1])
			require.Equal(t, models.Invalid, models.KindOf(err))
		}
	}},
	{"the list reads as a catalogue, with nothing left over", func(t *testing.T, l target) {
		list, err := l.AllDeployments(t.Context())
		require.NoError(t, err)
		c := models.NewCatalogue(list)
		require.Empty(t, c.Unread)
		require.Zero(t, c.Nameless)
		require.Len(t, c.LLMs, c.Listed)
	}},
	{"an added deployment is served at once, as it was asked for and without its key", func(t *testing.T, l target) {
		id, name := l.newDeployment(t, func(s *litellm.DeploymentSpec) {
			s.Model, s.APIBase = "hosted_vllm/org/name-7.b", "http://somewhere.invalid/v1"
			s.CustomLLMProvider = "hosted_vllm"
			s.InputCost, s.OutputCost = price(t, "0.00000012"), price(t, "0")
			s.TPM, s.RPM, s.MaxTokens, s.MaxInputTokens = new(int64(9000)), new(int64(90)), new(int64(4096)), new(int64(32768))
			s.Supports = map[string]bool{models.FeatureVision: true, models.FeatureFunctionCalling: true, models.FeatureToolChoice: false}
			s.ExtraInfo = map[string]any{"description": "of the suite"}
		})
		d, err := l.Deployment(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, name, d.Name)
		require.Equal(t, id, d.ID())
		require.NotContains(t, d.Params, "api_key")
		requireJSON(t, d.Params, map[string]string{
			"model": `"hosted_vllm/org/name-7.b"`, "api_base": `"http://somewhere.invalid/v1"`, "custom_llm_provider": `"hosted_vllm"`,
			"tpm": `9000`, "rpm": `90`,
		})
		requireJSON(t, d.Info, map[string]string{
			"db_model": `true`, "mode": `"chat"`, "max_tokens": `4096`, "max_input_tokens": `32768`, "supports_vision": `true`,
			"supports_function_calling": `true`, "supports_tool_choice": `false`, "description": `"of the suite"`,
			"input_cost_per_token": `1.2e-07`, "output_cost_per_token": `0`,
		})
		llm := models.NewCatalogue([]models.Deployment{d}).LLMs[0]
		require.Equal(t, "0.00000012", llm.InputCost.String())
		require.Equal(t, "0", llm.OutputCost.String())

		named, err := l.DeploymentsNamed(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, []string{id}, idsOf(named))
	}},
	{"an unpriced deployment has no price, and one with one price has zero for the other", func(t *testing.T, l target) {
		unpriced, _ := l.newDeployment(t, func(s *litellm.DeploymentSpec) { s.InputCost, s.OutputCost = nil, nil })
		d, err := l.Deployment(t.Context(), unpriced)
		require.NoError(t, err)
		require.NotContains(t, d.Info, "input_cost_per_token")
		require.NotContains(t, d.Info, "output_cost_per_token")
		half, _ := l.newDeployment(t, func(s *litellm.DeploymentSpec) { s.OutputCost = nil })
		d, err = l.Deployment(t.Context(), half)
		require.NoError(t, err)
		requireJSON(t, d.Info, map[string]string{"input_cost_per_token": `0.01`, "output_cost_per_token": `0`})
	}},
	{"an id can be taken only once", func(t *testing.T, l target) {
		id, name := l.newDeployment(t, nil)
		err := l.AddDeployment(t.Context(), id, litellm.DeploymentSpec{Name: unique("other"), Model: "openai/other"})
		require.Equal(t, models.Conflict, models.KindOf(err))
		d, err := l.Deployment(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, name, d.Name)
	}},
	{"a name can be taken twice, and is found exactly", func(t *testing.T, l target) {
		one, name := l.newDeployment(t, nil)
		two, _ := l.newDeployment(t, func(s *litellm.DeploymentSpec) { s.Name = name })
		l.newDeployment(t, func(s *litellm.DeploymentSpec) { s.Name = name + "-longer" })
		named, err := l.DeploymentsNamed(t.Context(), name)
		require.NoError(t, err)
		require.ElementsMatch(t, []string{one, two}, idsOf(named))
		for _, other := range []string{name[:len(name)-1], strings.ToUpper(name), unique("unknown")} {
			named, err = l.DeploymentsNamed(t.Context(), other)
			require.NoError(t, err)
			require.Empty(t, named)
		}
	}},
	{"a name may hold a slash, a dot and spaces", func(t *testing.T, l target) {
		id, name := l.newDeployment(t, func(s *litellm.DeploymentSpec) { s.Name = "Org/Some Model 3.3 ü & more " + s.Name })
		named, err := l.DeploymentsNamed(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, []string{id}, idsOf(named))
	}},
	{"a patch changes what it names and leaves the rest", func(t *testing.T, l target) {
		id, name := l.newDeployment(t, func(s *litellm.DeploymentSpec) { s.MaxTokens, s.TPM = new(int64(100)), new(int64(5)) })
		for range 2 { // it may be repeated
			require.NoError(t, l.PatchDeployment(t.Context(), id, litellm.DeploymentSpec{TPM: new(int64(7)), OutputCost: price(t, "0")}))
		}
		d, err := l.Deployment(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, name, d.Name)
		requireJSON(t, d.Params, map[string]string{"tpm": `7`, "model": `"openai/` + id + `"`})
		requireJSON(t, d.Info, map[string]string{"max_tokens": `100`, "mode": `"chat"`, "input_cost_per_token": `0.01`, "output_cost_per_token": `0`})

		renamed := unique("renamed")
		require.NoError(t, l.PatchDeployment(t.Context(), id, litellm.DeploymentSpec{Name: renamed}))
		named, err := l.DeploymentsNamed(t.Context(), name)
		require.NoError(t, err)
		require.Empty(t, named)
		named, err = l.DeploymentsNamed(t.Context(), renamed)
		require.NoError(t, err)
		require.Equal(t, []string{id}, idsOf(named))
	}},
	{"a deleted deployment is gone, and a second time not found", func(t *testing.T, l target) {
		id, name := l.newDeployment(t, nil)
		require.NoError(t, l.DeleteDeployment(t.Context(), id))
		require.Equal(t, models.NotFound, models.KindOf(l.DeleteDeployment(t.Context(), id)))
		_, err := l.Deployment(t.Context(), id)
		require.Equal(t, models.NotFound, models.KindOf(err))
		named, err := l.DeploymentsNamed(t.Context(), name)
		require.NoError(t, err)
		require.Empty(t, named)
		require.Equal(t, models.NotFound, models.KindOf(l.PatchDeployment(t.Context(), id, litellm.DeploymentSpec{Mode: "chat"})))
	}},
	{"a model of config.yaml can be neither changed nor deleted", func(t *testing.T, l target) {
		d := l.configured(t)
		require.Equal(t, models.Conflict, models.KindOf(l.PatchDeployment(t.Context(), d.ID(), litellm.DeploymentSpec{Mode: "chat"})))
		require.Equal(t, models.NotFound, models.KindOf(l.DeleteDeployment(t.Context(), d.ID())))
		still, err := l.Deployment(t.Context(), d.ID())
		require.NoError(t, err)
		require.Equal(t, d.Name, still.Name)
	}},
}

// unprovokedCases are what a real LiteLLM does too, but cannot be made to do from outside.
var unprovokedCases = []conformanceCase{
	{"a model may be stored and not served", func(t *testing.T, l target) {
		l.fake.StoreOnly(1)
		id := unique("deployment")
		spec := litellm.DeploymentSpec{Name: unique("model"), Model: "openai/x"}
		err := l.AddDeployment(t.Context(), id, spec)
		l.removeDeployment(t, id)
		require.True(t, litellm.SavedNotLive(err))
		require.Equal(t, models.Unavailable, models.KindOf(err))
		_, err = l.Deployment(t.Context(), id)
		require.Equal(t, models.NotFound, models.KindOf(err))
		require.Equal(t, models.Unavailable, models.KindOf(l.AddDeployment(t.Context(), id, spec)))
		l.fake.Reload()
		_, err = l.Deployment(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, models.Conflict, models.KindOf(l.AddDeployment(t.Context(), id, spec)))
	}},
	{"a list may be lost while LiteLLM starts", func(t *testing.T, l target) {
		defer l.fake.SetListing(litellmtest.ListAll)
		l.fake.SetListing(litellmtest.ListEmpty)
		p, err := l.Deployments(t.Context(), 1, 10)
		require.NoError(t, err)
		require.Zero(t, p.TotalCount)
		l.fake.SetListing(litellmtest.ListNotLoaded)
		_, err = l.AllDeployments(t.Context())
		require.True(t, litellm.ListNotLoaded(err))
	}},
}

func idsOf(list []models.Deployment) []string {
	out := make([]string, len(list))
	for i, d := range list {
		out[i] = d.ID()
	}
	return out
}

func requireJSON(t *testing.T, got map[string]json.RawMessage, want map[string]string) {
	t.Helper()
	for key, value := range want {
		require.Contains(t, got, key)
		require.JSONEq(t, value, string(got[key]), key)
	}
}
