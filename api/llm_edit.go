package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

type updateModelRequest struct {
	ID   string `path:"id" doc:"The model's name; slashes in it may be escaped, or not."`
	Body struct {
		RestrictedAccess *bool   `json:"restrictedAccess,omitempty" doc:"Whether a subscription needs an admin's approval. Whoever has the model when that begins needs one, too; whoever waits when it ends gets the model."`
		Description      *string `json:"description,omitempty" maxLength:"5000" pattern:"^[^\\x00]*$" patternDescription:"text"`
		LiteLLMsWord
	}
}

// LiteLLMsWord is what LiteLLM says of a model: it may be sent, as the web UI sends its whole
// form, but not changed here. It is exported for huma; see AuditFilter.
type LiteLLMsWord struct {
	ModelName        *string  `json:"model_name,omitempty" doc:"Changed at LiteLLM."`
	BackendModelName *string  `json:"backend_model_name,omitempty" doc:"Changed at LiteLLM."`
	APIBase          *string  `json:"api_base,omitempty" doc:"Changed at LiteLLM."`
	APIKey           *string  `json:"api_key,omitempty" writeOnly:"true" doc:"Changed at LiteLLM."`
	InputCost        *float64 `json:"input_cost_per_token,omitempty" doc:"Changed at LiteLLM."`
	OutputCost       *float64 `json:"output_cost_per_token,omitempty" doc:"Changed at LiteLLM."`
	TPM              *int64   `json:"tpm,omitempty" doc:"Changed at LiteLLM."`
	RPM              *int64   `json:"rpm,omitempty" doc:"Changed at LiteLLM."`
	MaxTokens        *int64   `json:"max_tokens,omitempty" doc:"Changed at LiteLLM."`
	Vision           *bool    `json:"supports_vision,omitempty" doc:"Changed at LiteLLM."`
	FunctionCalling  *bool    `json:"supports_function_calling,omitempty" doc:"Changed at LiteLLM."`
	ParallelCalling  *bool    `json:"supports_parallel_function_calling,omitempty" doc:"Changed at LiteLLM."`
	ToolChoice       *bool    `json:"supports_tool_choice,omitempty" doc:"Changed at LiteLLM."`
	Embeddings       *bool    `json:"supports_embeddings,omitempty" doc:"Changed at LiteLLM."`
	Tokenize         *bool    `json:"supports_tokenize,omitempty" doc:"Changed at LiteLLM."`
	Convert          *bool    `json:"supports_convert,omitempty" doc:"Changed at LiteLLM."`
}

// check makes sure that nothing is to be changed: Invalid, with the first field that is.
func (w *LiteLLMsWord) check(l *models.LLM) error {
	has := func(feature string) *bool { return new(slices.Contains(l.Features, feature)) }
	for _, f := range []struct {
		name string
		same bool
	}{
		{"model_name", same(w.ModelName, &l.ID, "")},
		{"backend_model_name", same(w.BackendModelName, &l.BackendModelName, "")},
		{"api_base", same(w.APIBase, &l.APIBase, "")},
		{"api_key", same(w.APIKey, nil, "")},
		{"input_cost_per_token", same(w.InputCost, float(l.InputCost), 0)},
		{"output_cost_per_token", same(w.OutputCost, float(l.OutputCost), 0)},
		{"tpm", same(w.TPM, l.TPM, 1000)},
		{"rpm", same(w.RPM, l.RPM, 100)},
		{"max_tokens", same(w.MaxTokens, l.MaxTokens, 4000)},
		{"supports_vision", same(w.Vision, has(models.FeatureVision), false)},
		{"supports_function_calling", same(w.FunctionCalling, has(models.FeatureFunctionCalling), false)},
		{"supports_parallel_function_calling", same(w.ParallelCalling, has(models.FeatureParallelFunctionCalling), false)},
		{"supports_tool_choice", same(w.ToolChoice, has(models.FeatureToolChoice), false)},
		{"supports_embeddings", same(w.Embeddings, has(models.FeatureEmbeddings), false)},
		{"supports_tokenize", same(w.Tokenize, has(models.FeatureTokenize), false)},
		{"supports_convert", same(w.Convert, has(models.FeatureConvert), false)},
	} {
		if !f.same {
			return models.Errorf(models.Invalid, "%s is changed at LiteLLM for now; then POST %s/refresh", f.name, "/api/v1/models/"+l.ID).On(f.name)
		}
	}
	return nil
}

// same reports whether what was sent, if anything, is what is held; shown is what the form of the
// web UI shows where nothing is held.
func same[T comparable](sent, held *T, shown T) bool {
	if held != nil {
		shown = *held
	}
	return sent == nil || *sent == shown
}

// float is a price as a browser reads it.
func float(p *models.Price) *float64 {
	if p == nil {
		return nil
	}
	f, err := strconv.ParseFloat(p.String(), 64)
	if err != nil {
		return nil // cannot be: a price is a number
	}
	return &f
}

type updateModelResponse struct {
	Status int
	Body   struct {
		Success bool         `json:"success"`
		Message string       `json:"message"`
		Model   updatedModel `json:"model"`
		Settled bool         `json:"settled" doc:"Whether LiteLLM was seen to follow on every key."`
	}
}

type updatedModel struct {
	ID        string    `json:"id"`
	Name      string    `json:"model_name"`
	UpdatedAt time.Time `json:"updated_at"`
}

// updateModel changes what is ours of a model. The catalogue and the subscriptions say so at
// once; the keys follow, and 202 says that they do yet.
func (s *Server) updateModel(ctx context.Context, in *updateModelRequest) (*updateModelResponse, error) {
	until := s.deadline(ctx)
	llm, err := s.Store.LLM(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := in.Body.check(&llm); err != nil {
		return nil, err
	}
	cascade, err := s.Store.EditLLM(ctx, in.ID, store.LLMEdit{RestrictedAccess: in.Body.RestrictedAccess, Description: in.Body.Description}, actor(ctx))
	if err != nil {
		return nil, err
	}
	out := &updateModelResponse{Status: http.StatusOK}
	b := &out.Body
	if b.Settled, err = s.settles(ctx, cascade, until); err != nil {
		return nil, err
	}
	if llm, err = s.Store.LLM(ctx, in.ID); err != nil {
		return nil, err
	}
	b.Success, b.Message = true, "Model '"+llm.ID+"' updated successfully"
	b.Model = updatedModel{llm.ID, llm.ID, llm.UpdatedAt.UTC()}
	if !b.Settled {
		out.Status = http.StatusAccepted
		b.Message += "; LiteLLM was not yet seen to follow on every key"
	}
	return out, nil
}
