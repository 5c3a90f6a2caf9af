package api_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// A model that is restricted has to be approved for everybody who has it; released, all is as it
// was before, with the keys.
func TestRestrictModel(t *testing.T) {
	s := open(t)
	path := s.has(t, s.ada, "gpt-4o")
	key := s.key(t, "gpt-4o")
	rep := s.restrict(t, "gpt-4o", true).is(http.StatusOK)
	for at, want := range map[string]any{
		"success": true, "message": "Model 'gpt-4o' updated successfully", "model.id": "gpt-4o", "model.model_name": "gpt-4o",
		"settled": true,
	} {
		require.Equal(t, want, rep.at(at), at)
	}
	require.Regexp(t, `Z$`, rep.at("model.updated_at"))
	require.Equal(t, true, s.get(t, "/api/v1/models/gpt-4o").at("restrictedAccess"))
	pending := s.by(t, s.ada, http.MethodGet, path, "")
	require.Equal(t, "pending", pending.at("status"))
	require.Equal(t, models.ReasonRestricted, pending.at("statusReason"))
	require.Nil(t, s.held(t, key))
	s.restrict(t, "gpt-4o", true).is(http.StatusOK) // it is so already

	s.restrict(t, "gpt-4o", false).is(http.StatusOK)
	active := s.by(t, s.ada, http.MethodGet, path, "")
	for at, want := range map[string]any{"status": "active", "statusReason": models.ReasonReleased, "statusChangedBy": "system", "settled": true} {
		require.Equal(t, want, active.at(at), at)
	}
	require.Equal(t, []string{"gpt-4o"}, s.held(t, key))
	require.Len(t, s.entries(t, store.AuditQuery{Action: models.AuditModelRestriction, ResourceID: "gpt-4o"}), 2)
}

// The description is ours, and the web UI may send its whole form; what LiteLLM says is not
// changed here.
func TestUpdateModel(t *testing.T) {
	s := idle(t)
	s.fill(t, some(t)...)
	put := func(model, body string) reply {
		return s.call(t, http.MethodPut, "/api/v1/admin/models/"+model, body)
	}
	put("gpt-4.1", `{"description": "Ünï"}`).is(http.StatusOK)
	require.Equal(t, "Ünï", s.get(t, "/api/v1/models/gpt-4.1").at("description"))
	put("gpt-4.1", `{"model_name": "gpt-4.1", "backend_model_name": "gpt-4.1", "description": "", "api_base": "https://api.openai.com/v1", "api_key": "",
		"input_cost_per_token": 0.0000025, "output_cost_per_token": 0, "tpm": 1000, "rpm": 10, "max_tokens": 128000, "supports_vision": true,
		"supports_function_calling": true, "supports_parallel_function_calling": false, "supports_tool_choice": false, "supports_embeddings": false,
		"supports_tokenize": false, "supports_convert": false, "restrictedAccess": true}`).is(http.StatusOK)
	changed := s.get(t, "/api/v1/models/gpt-4.1")
	require.Empty(t, changed.at("description"))
	require.Equal(t, true, changed.at("restrictedAccess"))
	for _, name := range []string{"meta-llama/Llama-3.3-70B", url.PathEscape("meta-llama/Llama-3.3-70B"), url.PathEscape("a+b c/100%")} {
		// what is not known is shown in the form by these
		put(name, `{"input_cost_per_token": 0, "output_cost_per_token": 0, "tpm": 1000, "rpm": 100, "max_tokens": 4000, "restrictedAccess": true}`).is(http.StatusOK)
		require.Equal(t, true, s.get(t, "/api/v1/models/"+name).at("restrictedAccess"), name)
	}
	put("gpt-4.1", `{}`).is(http.StatusOK)

	for body, field := range map[string]string{
		`{"model_name": "x"}`: "model_name", `{"backend_model_name": "x"}`: "backend_model_name", `{"api_base": "http://x"}`: "api_base",
		`{"api_key": "sk-x"}`: "api_key", `{"input_cost_per_token": 1}`: "input_cost_per_token", `{"output_cost_per_token": 1e-9}`: "output_cost_per_token",
		`{"tpm": 1}`: "tpm", `{"rpm": 1}`: "rpm", `{"max_tokens": 1}`: "max_tokens", `{"supports_vision": false}`: "supports_vision",
		`{"supports_function_calling": false}`: "supports_function_calling", `{"supports_parallel_function_calling": true}`: "supports_parallel_function_calling",
		`{"supports_tool_choice": true}`: "supports_tool_choice", `{"supports_embeddings": true}`: "supports_embeddings",
		`{"supports_tokenize": true}`: "supports_tokenize", `{"supports_convert": true}`: "supports_convert",
		`{"restrictedAccess": false, "tpm": 1}`: "tpm",
	} {
		rep := put("gpt-4.1", body)
		require.Equal(t, field, rep.problem(http.StatusBadRequest, "VALIDATION_ERROR"), body)
		require.Contains(t, rep.at("message"), "changed at LiteLLM")
		require.NotContains(t, rep.Body.String(), "sk-x")
	}
	for body, field := range map[string]string{
		`{"restrictedAccess": "x"}`: "restrictedAccess", `{"description": 1}`: "description", `{"description": "\u0000"}`: "description",
		`{"tpm": "x"}`: "tpm", `{"odd": 1}`: "odd", `[]`: "body", ``: "",
	} {
		require.Equal(t, field, put("gpt-4.1", body).problem(http.StatusBadRequest, "VALIDATION_ERROR"), body)
	}
	require.Equal(t, true, s.get(t, "/api/v1/models/gpt-4.1").at("restrictedAccess"), "nothing that was refused was done in part")
	put("no-such-model", `{"description": "x"}`).problem(http.StatusNotFound, "NOT_FOUND")
}
