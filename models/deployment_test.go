package models_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// entry is a deployment from LiteLLM's JSON.
func entry(tb testing.TB, raw string) models.Deployment {
	tb.Helper()
	var e struct {
		Name   string                     `json:"model_name"`
		Params map[string]json.RawMessage `json:"litellm_params"`
		Info   map[string]json.RawMessage `json:"model_info"`
	}
	require.NoError(tb, json.Unmarshal([]byte(raw), &e))
	return models.Deployment{Name: e.Name, Params: e.Params, Info: e.Info}
}

func catalogue(tb testing.TB, raws ...string) models.Catalogue {
	tb.Helper()
	var list []models.Deployment
	for _, raw := range raws {
		list = append(list, entry(tb, raw))
	}
	return models.NewCatalogue(list)
}

// Every field comes from where BUSINESS-RULES 7 says.
func TestCatalogueMapsADeployment(t *testing.T) {
	c := catalogue(t, `{"model_name": "meta-llama/Llama-3.3-70B", "litellm_params": {"model": "hosted_vllm/meta-llama/Llama-3.3",
		"api_base": "http://admin:hunter2@vllm/v1", "tpm": 5, "rpm": "7", "api_key": "provider-key", "extra_headers": {"x-token": "t"},
		"input_cost_per_token": 9}, "model_info": {"id": "d-1", "max_tokens": 16384.0, "max_input_tokens": 128000,
		"input_cost_per_token": 2.5e-06, "output_cost_per_token": 0, "supports_vision": true, "supports_tool_choice": true,
		"supports_function_calling": true, "supports_parallel_function_calling": null, "direct_access": true, "access_via_team_ids": ["t"]}}`)
	require.Empty(t, c.Unread)
	require.Len(t, c.LLMs, 1)
	l := c.LLMs[0]
	require.Equal(t, "meta-llama/Llama-3.3-70B", l.ID)
	require.Equal(t, "hosted_vllm", l.Provider)
	require.Equal(t, "meta-llama/Llama-3.3", l.BackendModelName)
	require.EqualValues(t, 16384, *l.ContextLength)
	require.EqualValues(t, 16384, *l.MaxTokens)
	require.Equal(t, "0.0000025", l.InputCost.String(), "model_info before litellm_params, and exact")
	require.Equal(t, "0", l.OutputCost.String(), "zero is a price")
	require.Equal(t, "http://vllm/v1", l.APIBase)
	require.EqualValues(t, 5, *l.TPM)
	require.EqualValues(t, 7, *l.RPM)
	require.Equal(t, "d-1", l.LiteLLMModelID)
	require.Equal(t, []string{"chat", "function_calling", "tool_choice", "vision"}, l.Features)
	require.NotContains(t, string(l.ModelInfo), "team", "what the asking key may do is no part of the model")
	require.JSONEq(t, `{"model": "hosted_vllm/meta-llama/Llama-3.3", "tpm": 5, "rpm": "7", "input_cost_per_token": 9}`, string(l.LiteLLMParams))
}

// A provider is named, else the prefix of the model, else unknown; what a model is for is
// one of three; an unknown price is none.
func TestCatalogueFallsBack(t *testing.T) {
	for _, tc := range []struct{ name, params, info, provider, backend, feature string }{
		{"named", `{"model": "x/y/z", "custom_llm_provider": "azure"}`, `{}`, "azure", "y/z", "chat"},
		{"prefix", `{"model": "openai/gpt"}`, `{}`, "openai", "gpt", "chat"},
		{"neither", `{"model": "gpt"}`, `{"mode": "chat"}`, "unknown", "gpt", "chat"},
		{"embeddings by mode", `{"model": "o/e"}`, `{"mode": "embedding", "supports_convert": true}`, "o", "e", "embeddings"},
		{"embeddings by flag", `{"model": "o/e"}`, `{"supports_embeddings": true}`, "o", "e", "embeddings"},
		{"convert", `{"model": "o/d"}`, `{"supports_convert": true}`, "o", "d", "convert"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := catalogue(t, `{"model_name": "m", "litellm_params": `+tc.params+`, "model_info": `+tc.info+`}`)
			require.Len(t, c.LLMs, 1)
			l := c.LLMs[0]
			require.Equal(t, tc.provider, l.Provider)
			require.Equal(t, tc.backend, l.BackendModelName)
			require.Equal(t, []string{tc.feature}, l.Features)
			require.Nil(t, l.InputCost)
			require.Nil(t, l.TPM)
		})
	}
}

// Several deployments of one name are one model, which promises what each of them keeps,
// in whatever order LiteLLM lists them.
func TestCatalogueGroupsDeployments(t *testing.T) {
	raws := []string{
		`{"model_name": "m", "litellm_params": {"model": "a/one", "tpm": 10, "rpm": 1}, "model_info": {"id": "1", "max_tokens": 100,
			"input_cost_per_token": 0.1, "output_cost_per_token": 0.2, "supports_vision": true, "supports_tool_choice": true}}`,
		`{"model_name": "m", "litellm_params": {"model": "b/two", "tpm": 20}, "model_info": {"id": "2", "max_tokens": 50,
			"input_cost_per_token": 0.3, "supports_vision": true}}`,
		`{"model_name": "m", "litellm_params": {"model": "c/three", "tpm": 30, "rpm": 3}, "model_info": {"id": "3", "max_tokens": 70,
			"input_cost_per_token": 0.2, "supports_vision": true, "supports_tool_choice": true}}`,
	}
	for range 10 {
		rand.Shuffle(len(raws), func(i, j int) { raws[i], raws[j] = raws[j], raws[i] })
		c := catalogue(t, raws...)
		require.Equal(t, 1, c.Listed)
		require.Len(t, c.LLMs, 1)
		l := c.LLMs[0]
		require.Equal(t, "one", l.BackendModelName)
		require.Equal(t, []string{"1", "2", "3"}, l.DeploymentIDs)
		require.EqualValues(t, 50, *l.MaxTokens)
		require.Equal(t, "0.3", l.InputCost.String())
		require.Equal(t, "0.2", l.OutputCost.String())
		require.EqualValues(t, 60, *l.TPM)
		require.Nil(t, l.RPM, "one deployment without a limit has none to add")
		require.Equal(t, []string{"chat", "vision"}, l.Features)
	}
}

// What cannot be read is named with its reason, and never mistaken for absent.
func TestCatalogueNamesWhatItCannotRead(t *testing.T) {
	for _, tc := range []struct{ name, params, info, why string }{
		{"a price that is no number", `{}`, `{"input_cost_per_token": "cheap"}`, "input_cost_per_token"},
		{"a negative price", `{}`, `{"output_cost_per_token": -1}`, "output_cost_per_token"},
		{"a price beyond any", `{}`, `{"output_cost_per_token": 1e999999999}`, "output_cost_per_token"},
		{"half a token", `{}`, `{"max_tokens": 0.5}`, "max_tokens"},
		{"a model that is no text", `{"model": {}}`, `{}`, "model"},
		{"a flag that is no flag", `{}`, `{"supports_vision": "yes"}`, "supports_vision"},
		{"a NUL character", `{}`, `{"note": "a\u0000b"}`, "NUL"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := catalogue(t, `{"model_name": "m", "litellm_params": `+tc.params+`, "model_info": `+tc.info+`}`)
			require.Empty(t, c.LLMs)
			require.Equal(t, 1, c.Listed)
			require.Len(t, c.Unread, 1)
			require.Equal(t, "m", c.Unread[0].ID)
			require.Contains(t, c.Unread[0].Why, tc.why)
		})
	}
	c := catalogue(t, `{"model_name": ""}`, `{"model_name": "a\u0000"}`)
	require.Equal(t, 2, c.Nameless)
	require.Zero(t, c.Listed)
}

// The guard lets few go, and never believes an empty or unreadable list.
func TestGuard(t *testing.T) {
	g := models.Guard{MaxRemovedPercent: 20, MinRemoved: 3}
	for _, tc := range []struct {
		name               string
		list               models.ListState
		available, missing int
		held               bool
	}{
		{"nothing missing", models.ListState{Listed: 5}, 5, 0, false},
		{"nothing missing of nothing", models.ListState{}, 0, 0, false},
		{"two of four are few", models.ListState{Listed: 2}, 4, 2, false},
		{"three of four are many", models.ListState{Listed: 1}, 4, 3, true},
		{"20 of 100 are allowed", models.ListState{Listed: 80}, 100, 20, false},
		{"21 of 100 are not", models.ListState{Listed: 79}, 100, 21, true},
		{"an empty list", models.ListState{}, 1, 1, true},
		{"not loaded", models.ListState{NotLoaded: true}, 1, 1, true},
		{"an entry without a name", models.ListState{Listed: 9, Nameless: 1}, 10, 1, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.held, g.Why(tc.list, tc.available, tc.missing) != "")
		})
	}
}

// Whatever LiteLLM lists, reading it neither panics nor loses an entry.
func FuzzNewCatalogue(f *testing.F) {
	f.Add("m", `"openai/gpt"`, `1e-6`, `4096`)
	f.Add("a/b.c", `null`, `"0"`, `"x"`)
	f.Add("", `{}`, `-0`, `1e400`)
	f.Fuzz(func(t *testing.T, name, model, price, tokens string) {
		for _, raw := range []string{model, price, tokens} {
			if !json.Valid([]byte(raw)) {
				return
			}
		}
		c := models.NewCatalogue([]models.Deployment{{
			Name:   name,
			Params: map[string]json.RawMessage{"model": json.RawMessage(model)},
			Info:   map[string]json.RawMessage{"input_cost_per_token": json.RawMessage(price), "max_tokens": json.RawMessage(tokens)},
		}})
		require.Equal(t, 1, len(c.LLMs)+len(c.Unread)+c.Nameless)
	})
}
