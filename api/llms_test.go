package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// entry is a deployment of LiteLLM; params and info are JSON objects.
func entry(t *testing.T, name, params, info string) models.Deployment {
	t.Helper()
	d := models.Deployment{Name: name}
	require.NoError(t, json.Unmarshal([]byte(params), &d.Params))
	require.NoError(t, json.Unmarshal([]byte(info), &d.Info))
	return d
}

// fill makes the catalogue that list, as a full sync does, and returns the run.
func (s system) fill(t *testing.T, list ...models.Deployment) models.SyncRun {
	t.Helper()
	run := models.SyncRun{ID: uuid.New(), WorkflowID: "full-sync", Kind: models.SyncFull, Trigger: models.SyncByPerson, Actor: "ada"}
	require.NoError(t, s.Store.BeginSyncRun(t.Context(), run, time.Hour))
	require.NoError(t, s.Store.StageCatalogue(t.Context(), run.ID, models.NewCatalogue(list)))
	_, err := s.Store.MergeStaged(t.Context(), store.Merge{
		RunID: run.ID, Guard: models.Guard{MaxRemovedPercent: 20, MinRemoved: 3}, ProposalTTL: time.Hour,
	})
	require.NoError(t, err)
	run, err = s.Store.CompleteSyncRun(t.Context(), run.ID)
	require.NoError(t, err)
	return run
}

// some are a few models of many kinds.
func some(t *testing.T) []models.Deployment {
	t.Helper()
	return []models.Deployment{
		entry(t, "gpt-4.1", `{"model": "openai/gpt-4.1", "api_base": "https://api.openai.com/v1", "tpm": 1000, "rpm": 10}`,
			`{"id": "d1", "max_tokens": 128000, "input_cost_per_token": 2.5e-06, "output_cost_per_token": 0, "supports_vision": true, "supports_function_calling": true}`),
		entry(t, "meta-llama/Llama-3.3-70B", `{"model": "hosted_vllm/llama"}`, `{"id": "d2"}`),
		entry(t, "meta-llama/Llama-3.3-70B", `{"model": "hosted_vllm/llama"}`, `{"id": "d3"}`),
		entry(t, "sync/stats", `{"model": "openai/odd"}`, `{"id": "d4"}`),
		entry(t, "providers", `{"model": "openai/odd"}`, `{"id": "d5"}`),
		entry(t, "a+b c/100%", `{"model": "azure/odd"}`, `{"id": "d6", "mode": "embedding"}`),
		entry(t, "Ünï/cödé", `{"model": "anthropic/odd"}`, `{"id": "d7", "supports_convert": true}`),
	}
}

// A model is described as LiteMaaS does: what is not known is left out, and zero is a price.
func TestGetModel(t *testing.T) {
	s := idle(t)
	s.fill(t, some(t)...)
	known := s.get(t, "/api/v1/models/gpt-4.1").is(http.StatusOK).body()
	for name, want := range map[string]any{
		"id": "gpt-4.1", "name": "gpt-4.1", "provider": "openai", "description": "", "capabilities": []any{"chat", "function_calling", "vision"},
		"contextLength": 128000.0, "pricing": map[string]any{"input": 2.5e-06, "output": 0.0, "unit": "per_token"}, "isActive": true,
		"apiBase": "https://api.openai.com/v1", "backendModelName": "gpt-4.1", "inputCostPerToken": 2.5e-06, "outputCostPerToken": 0.0,
		"tpm": 1000.0, "rpm": 10.0, "maxTokens": 128000.0, "supportsVision": true, "supportsFunctionCalling": true,
		"supportsParallelFunctionCalling": false, "supportsToolChoice": false, "supportsChat": true, "supportsEmbeddings": false,
		"supportsTokenize": false, "supportsConvert": false, "restrictedAccess": false, "litellmModelId": "d1",
		"metadata": map[string]any{"deployments": 1.0},
	} {
		require.Equal(t, want, known[name], name)
	}
	require.Regexp(t, `^\d{4}-\d\d-\d\dT[\d:.]+Z$`, known["createdAt"])
	require.Regexp(t, `^\d{4}-\d\d-\d\dT[\d:.]+Z$`, known["updatedAt"])
	unknown := s.get(t, "/api/v1/models/meta-llama%2FLlama-3.3-70B").is(http.StatusOK).body()
	for _, name := range []string{"contextLength", "inputCostPerToken", "outputCostPerToken", "tpm", "rpm", "maxTokens", "apiBase"} {
		require.NotContains(t, unknown, name)
	}
	require.Equal(t, map[string]any{"unit": "per_token"}, unknown["pricing"])
	require.Equal(t, map[string]any{"deployments": 2.0}, unknown["metadata"])
}

// Where LiteLLM finds a model is for admins: to others it would be a map of an inner network.
func TestAddressesAreForAdmins(t *testing.T) {
	s := idle(t)
	s.fill(t, some(t)...)
	for _, path := range []string{"/api/v1/models", "/api/v1/models/gpt-4.1"} {
		for key, shown := range map[string]bool{"": false, "Bearer ltm_admin_wrong": false, "Bearer " + adminKey: true} {
			answer := s.call(t, http.MethodGet, path, "", "Authorization", key).is(http.StatusOK)
			for _, name := range []string{`"apiBase"`, `"backendModelName"`, `"litellmModelId"`} {
				require.Equal(t, shown, strings.Contains(answer.Body.String(), name), "%s with %q: %s", path, key, name)
			}
		}
	}
}

// A model's name may hold slashes, escaped or not, and whatever else; our own paths win, unless
// the name is escaped.
func TestModelNames(t *testing.T) {
	s := idle(t)
	s.fill(t, some(t)...)
	for path, id := range map[string]string{
		"meta-llama/Llama-3.3-70B":      "meta-llama/Llama-3.3-70B",
		"meta-llama%2FLlama-3.3-70B":    "meta-llama/Llama-3.3-70B",
		"meta-llama%2fLlama%2d3.3-70B/": "meta-llama/Llama-3.3-70B",
		"gpt-4.1":                       "gpt-4.1",
		"sync%2Fstats":                  "sync/stats",
		"a+b%20c%2F100%25":              "a+b c/100%",
		"a%2Bb%20c/100%25":              "a+b c/100%",
		"%C3%9Cn%C3%AF/c%C3%B6d%C3%A9":  "Ünï/cödé",
		"%70roviders":                   "providers",
		url.PathEscape("Ünï/cödé"):      "Ünï/cödé",
	} {
		require.Equal(t, id, s.get(t, "/api/v1/models/"+path).is(http.StatusOK).at("id"), path)
	}
	require.NotNil(t, s.get(t, "/api/v1/models/providers").is(http.StatusOK).at("providers"))
	require.NotNil(t, s.get(t, "/api/v1/models/sync/stats").is(http.StatusOK).at("totalModels"))
	s.get(t, "/api/v1/models/meta-llama").problem(http.StatusNotFound, "NOT_FOUND")
	s.get(t, "/api/v1/models/meta-llama/Llama-3.3-70B/refresh").problem(http.StatusNotFound, "NOT_FOUND")
}

// ids are the names on a page.
func ids(r reply) []string {
	out := []string{}
	for _, m := range r.at("data").([]any) {
		out = append(out, m.(map[string]any)["id"].(string))
	}
	return out
}

// The list is paged, by provider and name, and filtered before it is paged.
func TestListModels(t *testing.T) {
	s := idle(t)
	empty := s.get(t, "/api/v1/models").is(http.StatusOK)
	require.Equal(t, map[string]any{"page": 1.0, "limit": 20.0, "total": 0.0, "totalPages": 0.0}, empty.at("pagination"))
	require.Equal(t, []any{}, empty.at("data"))
	list := some(t)
	for i := range 30 {
		list = append(list, entry(t, fmt.Sprintf("z-%02d", i), `{"model": "zed/m"}`, fmt.Sprintf(`{"id": "z%d"}`, i)))
	}
	s.fill(t, list...)
	first := s.get(t, "/api/v1/models").is(http.StatusOK)
	require.Equal(t, map[string]any{"page": 1.0, "limit": 20.0, "total": 36.0, "totalPages": 2.0}, first.at("pagination"))
	require.Equal(t, []string{"Ünï/cödé", "a+b c/100%", "meta-llama/Llama-3.3-70B", "gpt-4.1", "providers", "sync/stats", "z-00"}, ids(first)[:7])
	for query, want := range map[string][]string{
		"page=18&limit=2":                       {"z-28", "z-29"},
		"search=LLAMA":                          {"meta-llama/Llama-3.3-70B"},
		"search=100%25":                         {"a+b c/100%"},
		"search=%25":                            {"a+b c/100%"},
		"search=z_0":                            {},
		"search=openai&limit=1&page=2":          {"providers"},
		"provider=OpenAI":                       {"gpt-4.1", "providers", "sync/stats"},
		"provider=open":                         {},
		"capability=vision":                     {"gpt-4.1"},
		"capability=embeddings":                 {"a+b c/100%"},
		"capability=chat&provider=hosted_vllm":  {"meta-llama/Llama-3.3-70B"},
		"capability=juggling":                   {},
		"isActive=false":                        {},
		"page=400&limit=10":                     {},
		"page=1&limit=1000&search=z-1&odd=true": {"z-10", "z-11", "z-12", "z-13", "z-14", "z-15", "z-16", "z-17", "z-18", "z-19"},
	} {
		require.Equal(t, want, ids(s.get(t, "/api/v1/models?"+query).is(http.StatusOK)), query)
	}
	require.EqualValues(t, 36, s.get(t, "/api/v1/models?page=400&limit=10").at("pagination.total"), "also past the end")
	require.EqualValues(t, 3, s.get(t, "/api/v1/models?search=openai&limit=1&page=2").at("pagination.total"))
}

// A model that LiteLLM lists no more leaves the list and keeps its page.
func TestUnavailableModel(t *testing.T) {
	s := idle(t)
	s.fill(t, some(t)...)
	s.fill(t, some(t)[1:]...)
	require.NotContains(t, ids(s.get(t, "/api/v1/models")), "gpt-4.1")
	require.EqualValues(t, 5, s.get(t, "/api/v1/models").at("pagination.total"))
	require.Equal(t, false, s.get(t, "/api/v1/models/gpt-4.1").is(http.StatusOK).at("isActive"))
	require.Equal(t, []string{"gpt-4.1"}, ids(s.get(t, "/api/v1/models?isActive=false").is(http.StatusOK)))
}

// Providers and capabilities are counted, the largest first.
func TestProvidersAndCapabilities(t *testing.T) {
	s := idle(t)
	require.Equal(t, []any{}, s.get(t, "/api/v1/models/providers").is(http.StatusOK).at("providers"))
	require.Equal(t, []any{}, s.get(t, "/api/v1/models/capabilities").is(http.StatusOK).at("capabilities"))
	s.fill(t, some(t)...)
	providers := s.get(t, "/api/v1/models/providers").is(http.StatusOK).at("providers").([]any)
	require.Len(t, providers, 4)
	require.Equal(t, map[string]any{
		"name": "openai", "displayName": "OpenAI", "modelCount": 3.0, "capabilities": []any{"chat", "function_calling", "vision"},
	}, providers[0])
	capabilities := s.get(t, "/api/v1/models/capabilities").is(http.StatusOK).at("capabilities").([]any)
	require.Equal(t, map[string]any{"name": "chat", "displayName": "Chat", "description": "Answers in a conversation", "modelCount": 4.0}, capabilities[0])
	require.Len(t, capabilities, 5)
}
