package api

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// pagination is where a page is in its list.
type pagination struct {
	Page       int `json:"page"`
	Limit      int `json:"limit"`
	Total      int `json:"total"`
	TotalPages int `json:"totalPages"`
}

func newPagination(page, limit, total int) pagination {
	return pagination{page, limit, total, (total + limit - 1) / limit}
}

// modelResponse is a model as LiteMaaS describes one. What is not known is left out; a price
// of zero is known.
type modelResponse struct {
	ID               string      `json:"id" example:"meta-llama/Llama-3.3-70B-Instruct"`
	Name             string      `json:"name"`
	Provider         string      `json:"provider"`
	Description      string      `json:"description"`
	Capabilities     []string    `json:"capabilities"`
	ContextLength    *int64      `json:"contextLength,omitempty" doc:"In tokens."`
	Pricing          pricing     `json:"pricing"`
	IsActive         bool        `json:"isActive" doc:"Whether LiteLLM offers it now."`
	CreatedAt        time.Time   `json:"createdAt"`
	UpdatedAt        time.Time   `json:"updatedAt"`
	APIBase          string      `json:"apiBase,omitempty" doc:"For who may change models."`
	BackendModelName string      `json:"backendModelName,omitempty" doc:"For who may change models."`
	InputCost        json.Number `json:"inputCostPerToken,omitempty"`
	OutputCost       json.Number `json:"outputCostPerToken,omitempty"`
	TPM              *int64      `json:"tpm,omitempty" doc:"Tokens a minute."`
	RPM              *int64      `json:"rpm,omitempty" doc:"Requests a minute."`
	MaxTokens        *int64      `json:"maxTokens,omitempty"`
	Vision           bool        `json:"supportsVision"`
	FunctionCalling  bool        `json:"supportsFunctionCalling"`
	ParallelCalling  bool        `json:"supportsParallelFunctionCalling"`
	ToolChoice       bool        `json:"supportsToolChoice"`
	Chat             bool        `json:"supportsChat"`
	Embeddings       bool        `json:"supportsEmbeddings"`
	Tokenize         bool        `json:"supportsTokenize"`
	Convert          bool        `json:"supportsConvert"`
	RestrictedAccess bool        `json:"restrictedAccess" doc:"Whether a subscription needs an admin's approval."`
	LiteLLMModelID   string      `json:"litellmModelId,omitempty" doc:"For who may change models."`

	Metadata *modelMetadata `json:"metadata,omitempty" doc:"Where one model is read."`
}

type modelMetadata struct {
	Deployments int `json:"deployments" doc:"How many deployments of LiteLLM share the load."`
}

type pricing struct {
	Input  json.Number `json:"input,omitempty"`
	Output json.Number `json:"output,omitempty"`
	Unit   string      `json:"unit" example:"per_token"`
}

// newModelResponse describes a model to the caller of ctx. Where LiteLLM finds it is for
// who may change it: LiteMaaS tells everybody, and with it the addresses of an inner network.
func newModelResponse(ctx context.Context, l *models.LLM) modelResponse {
	input, output := number(l.InputCost), number(l.OutputCost)
	out := modelResponse{
		ID: l.ID, Name: l.ID, Provider: l.Provider, Description: l.Description, Capabilities: l.Features,
		ContextLength: l.ContextLength, Pricing: pricing{input, output, "per_token"},
		IsActive: l.Availability == models.ModelAvailable, CreatedAt: l.CreatedAt.UTC(), UpdatedAt: l.UpdatedAt.UTC(),
		InputCost: input, OutputCost: output,
		TPM: l.TPM, RPM: l.RPM, MaxTokens: l.MaxTokens, RestrictedAccess: l.RestrictedAccess,
	}
	if requestOf(ctx).caller.May("models:write") {
		out.APIBase, out.BackendModelName, out.LiteLLMModelID = l.APIBase, l.BackendModelName, l.LiteLLMModelID
	}
	for _, f := range l.Features {
		switch f {
		case models.FeatureVision:
			out.Vision = true
		case models.FeatureFunctionCalling:
			out.FunctionCalling = true
		case models.FeatureParallelFunctionCalling:
			out.ParallelCalling = true
		case models.FeatureToolChoice:
			out.ToolChoice = true
		case models.FeatureChat:
			out.Chat = true
		case models.FeatureEmbeddings:
			out.Embeddings = true
		case models.FeatureTokenize:
			out.Tokenize = true
		case models.FeatureConvert:
			out.Convert = true
		}
	}
	return out
}

// number is a price as JSON shows it, written once for the two places it is shown at; empty if
// it is not known.
func number(p *models.Price) json.Number {
	if p == nil {
		return ""
	}
	return json.Number(p.String())
}

type listModelsRequest struct {
	Page       int    `query:"page" minimum:"1" maximum:"999999" default:"1"`
	Limit      int    `query:"limit" minimum:"1" maximum:"1000" default:"20"`
	Search     string `query:"search" maxLength:"500" doc:"Anywhere in name, provider or description."`
	Provider   string `query:"provider" maxLength:"500"`
	Capability string `query:"capability" maxLength:"100" example:"vision"`
	IsActive   bool   `query:"isActive" default:"true" doc:"False lists the models that LiteLLM offers no more."`
}

type listModelsResponse struct {
	Body struct {
		Data       []modelResponse `json:"data"`
		Pagination pagination      `json:"pagination"`
	}
}

func (s *Server) listModels(ctx context.Context, in *listModelsRequest) (*listModelsResponse, error) {
	q := store.LLMQuery{
		Page: in.Page, Limit: in.Limit, Search: in.Search, Provider: in.Provider, Capability: in.Capability,
		Availability: models.ModelAvailable,
	}
	if !in.IsActive {
		q.Availability = models.ModelUnavailable
	}
	page, total, err := s.Store.LLMs(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &listModelsResponse{}
	out.Body.Data = make([]modelResponse, len(page))
	for i := range page {
		out.Body.Data[i] = newModelResponse(ctx, &page[i])
	}
	out.Body.Pagination = newPagination(in.Page, in.Limit, total)
	return out, nil
}

type modelRequest struct {
	ID string `path:"id" doc:"The model's name; slashes in it may be escaped, or not."`
}

type getModelResponse struct{ Body modelResponse }

func (s *Server) getModel(ctx context.Context, in *modelRequest) (*getModelResponse, error) {
	llm, err := s.Store.LLM(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := &getModelResponse{newModelResponse(ctx, &llm)}
	out.Body.Metadata = &modelMetadata{len(llm.DeploymentIDs)}
	return out, nil
}

type provider struct {
	Name         string   `json:"name"`
	DisplayName  string   `json:"displayName"`
	ModelCount   int      `json:"modelCount"`
	Capabilities []string `json:"capabilities"`
}

type listProvidersResponse struct {
	Body struct {
		Providers []provider `json:"providers"`
	}
}

// providerNames are the providers that LiteMaaS shows under a name of their own.
var providerNames = map[string]string{"openai": "OpenAI", "anthropic": "Anthropic"}

func (s *Server) listProviders(ctx context.Context, _ *struct{}) (*listProvidersResponse, error) {
	found, err := s.Store.Providers(ctx)
	if err != nil {
		return nil, err
	}
	out := &listProvidersResponse{}
	out.Body.Providers = make([]provider, 0, len(found))
	for _, p := range found {
		name, known := providerNames[p.Name]
		if !known {
			name = p.Name
		}
		out.Body.Providers = append(out.Body.Providers, provider{p.Name, name, p.Models, p.Capabilities})
	}
	return out, nil
}

type capability struct {
	Name        string `json:"name" example:"function_calling"`
	DisplayName string `json:"displayName" example:"Function calling"`
	Description string `json:"description"`
	ModelCount  int    `json:"modelCount"`
}

type listCapabilitiesResponse struct {
	Body struct {
		Capabilities []capability `json:"capabilities"`
	}
}

// capabilities says in words what models can do.
var capabilities = []capability{
	{Name: models.FeatureChat, DisplayName: "Chat", Description: "Answers in a conversation"},
	{Name: models.FeatureEmbeddings, DisplayName: "Embeddings", Description: "Turns text into vectors"},
	{Name: models.FeatureConvert, DisplayName: "Document conversion", Description: "Turns documents into text"},
	{Name: models.FeatureFunctionCalling, DisplayName: "Function calling", Description: "Asks for functions to be called"},
	{Name: models.FeatureParallelFunctionCalling, DisplayName: "Parallel function calling", Description: "Asks for several functions at once"},
	{Name: models.FeatureToolChoice, DisplayName: "Tool choice", Description: "Can be told which tool to use"},
	{Name: models.FeatureVision, DisplayName: "Vision", Description: "Understands images"},
	{Name: models.FeatureTokenize, DisplayName: "Tokenize", Description: "Counts the tokens of a text"},
}

func (s *Server) listCapabilities(ctx context.Context, _ *struct{}) (*listCapabilitiesResponse, error) {
	found, err := s.Store.Capabilities(ctx)
	if err != nil {
		return nil, err
	}
	out := &listCapabilitiesResponse{}
	out.Body.Capabilities = make([]capability, 0, len(found))
	for _, f := range found {
		c := capability{Name: f.Name, DisplayName: f.Name}
		if i := slices.IndexFunc(capabilities, func(c capability) bool { return c.Name == f.Name }); i >= 0 {
			c = capabilities[i]
		}
		c.ModelCount = f.Models
		out.Body.Capabilities = append(out.Body.Capabilities, c)
	}
	return out, nil
}
