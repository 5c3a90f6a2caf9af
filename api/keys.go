package api

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// KeyResponse is an API key in the shape of LiteMaaS. It is exported for huma; see AuditFilter.
type KeyResponse struct {
	ID             uuid.UUID        `json:"id" format:"uuid"`
	Name           string           `json:"name"`
	KeyAlias       string           `json:"keyAlias" doc:"What LiteLLM calls it."`
	KeyPrefix      string           `json:"keyPrefix" example:"sk-abcd"`
	Prefix         string           `json:"prefix" doc:"The same, for older clients."`
	Models         []string         `json:"models"`
	ModelDetails   []keyModel       `json:"modelDetails"`
	SubscriptionID *uuid.UUID       `json:"subscriptionId,omitempty" format:"uuid"`
	TeamID         *uuid.UUID       `json:"teamId,omitempty" format:"uuid"`
	Status         models.KeyStatus `json:"status" enum:"provisioning,active,blocked,expired,revoking,revoked,failed"`
	Failure        string           `json:"failure,omitempty" doc:"Why LiteLLM refuses it as it is now."`
	Settled        bool             `json:"settled" doc:"Whether LiteLLM was seen to hold it as it is now."`
	IsActive       bool             `json:"isActive" doc:"Whether it can be used now."`
	Holds          []models.Hold    `json:"holds,omitempty" doc:"Why it is blocked."`
	LastUsedAt     *time.Time       `json:"lastUsedAt,omitempty"`
	CreatedAt      time.Time        `json:"createdAt"`
	UpdatedAt      time.Time        `json:"updatedAt"`
	ExpiresAt      *time.Time       `json:"expiresAt,omitempty"`
	RevokedAt      *time.Time       `json:"revokedAt,omitempty"`

	MaxBudget         *models.USD               `json:"maxBudget,omitempty" doc:"In dollars; left out: unlimited."`
	CurrentSpend      models.USD                `json:"currentSpend" doc:"In the budget period."`
	BudgetUtilization *float64                  `json:"budgetUtilization,omitempty" doc:"In percent."`
	BudgetDuration    string                    `json:"budgetDuration" doc:"Empty: the budget never begins anew."`
	SoftBudget        *models.USD               `json:"softBudget,omitempty"`
	TPM               *int64                    `json:"tpmLimit,omitempty" doc:"Left out: unlimited."`
	RPM               *int64                    `json:"rpmLimit,omitempty" doc:"Left out: unlimited."`
	MaxParallel       *int64                    `json:"maxParallelRequests,omitempty" doc:"Left out: unlimited."`
	ModelMaxBudget    map[string]keyModelBudget `json:"modelMaxBudget"`
	ModelRPM          map[string]int64          `json:"modelRpmLimit"`
	ModelTPM          map[string]int64          `json:"modelTpmLimit"`
	Tags              []string                  `json:"tags,omitempty"`
	Guardrails        []string                  `json:"guardrails,omitempty"`
	Permissions       map[string]bool           `json:"permissions,omitempty"`
	Metadata          object                    `json:"metadata" doc:"What its owner noted."`
	Warnings          []string                  `json:"warnings,omitempty" doc:"What was asked for that nobody enforces."`
}

// keyModel is what a key shows of a model.
type keyModel struct {
	ID                 string `json:"id"`
	Name               string `json:"name"`
	Provider           string `json:"provider"`
	ContextLength      *int64 `json:"contextLength,omitempty" doc:"In tokens."`
	SupportsEmbeddings bool   `json:"supportsEmbeddings"`
	SupportsConvert    bool   `json:"supportsConvert"`
}

// keyModelBudget is models.ModelBudget as it is sent.
type keyModelBudget struct {
	Limit  models.USD `json:"budgetLimit" doc:"In dollars."`
	Period string     `json:"timePeriod" example:"30d"`
}

func newKey(v *store.KeyView) KeyResponse {
	k := &v.Key
	status := k.Status()
	out := KeyResponse{
		ID: k.ID, Name: k.Name, KeyAlias: k.Alias, KeyPrefix: k.Prefix, Prefix: k.Prefix, Models: append([]string{}, k.Models...),
		ModelDetails: make([]keyModel, len(v.LLMs)), SubscriptionID: k.Terms.SubscriptionID, TeamID: k.TeamID,
		Status: status, Failure: k.Failure, Settled: k.Settled(), IsActive: status == models.KeyActive, Holds: k.Holds,
		LastUsedAt: utc(k.LastUsedAt), CreatedAt: k.CreatedAt.UTC(), UpdatedAt: k.UpdatedAt.UTC(), ExpiresAt: utc(k.ExpiresAt), RevokedAt: utc(k.RevokedAt),
		MaxBudget: k.Limits.MaxBudget, CurrentSpend: k.Spend, BudgetDuration: k.Limits.BudgetDuration, SoftBudget: k.Terms.SoftBudget,
		TPM: k.Limits.TPM, RPM: k.Limits.RPM, MaxParallel: k.MaxParallel,
		ModelMaxBudget: make(map[string]keyModelBudget, len(k.Terms.ModelMaxBudget)), ModelRPM: k.ModelRPM, ModelTPM: k.ModelTPM,
		Tags: k.Terms.Tags, Guardrails: k.Terms.Guardrails, Permissions: k.Terms.Permissions, Metadata: object{k.Metadata},
		Warnings: k.Terms.Unenforced(),
	}
	for i, l := range v.LLMs {
		has := func(feature string) bool { return slices.Contains(l.Features, feature) }
		out.ModelDetails[i] = keyModel{l.ID, l.ID, l.Provider, l.ContextLength, has(models.FeatureEmbeddings), has(models.FeatureConvert)}
	}
	for name, b := range k.Terms.ModelMaxBudget {
		out.ModelMaxBudget[name] = keyModelBudget(b)
	}
	if most := k.Limits.MaxBudget; most != nil && *most > 0 {
		out.BudgetUtilization = new(math.Round(float64(k.Spend)/float64(*most)*1e4) / 100)
	}
	return out
}

type listKeysRequest struct {
	Page           int       `query:"page" minimum:"1" maximum:"999999" default:"1"`
	Limit          int       `query:"limit" minimum:"1" maximum:"100" default:"20"`
	SubscriptionID uuid.UUID `query:"subscriptionId" format:"uuid" doc:"That the key was asked for by."`
	ModelIDs       []string  `query:"modelIds" maxItems:"100" doc:"One of which it may call, separated by commas."`
	IsActive       string    `query:"isActive" enum:"true,false" doc:"Whether it can be used now; left out: both."`
}

type listKeysResponse struct {
	Body struct {
		Data       []KeyResponse `json:"data"`
		Total      int           `json:"total"`
		Pagination pagination    `json:"pagination"`
	}
}

// listKeys is a page of the caller's keys, the newest first.
func (s *Server) listKeys(ctx context.Context, in *listKeysRequest) (*listKeysResponse, error) {
	return s.keyPage(ctx, store.KeyQuery{
		UserID: requestOf(ctx).caller.UserID, Page: in.Page, Limit: in.Limit, SubscriptionID: in.SubscriptionID, ModelIDs: in.ModelIDs, Active: yesNo(in.IsActive),
	})
}

// yesNo is a query's true or false; nil: it says neither.
func yesNo(word string) *bool {
	if word == "" {
		return nil
	}
	return new(word == "true")
}

func (s *Server) keyPage(ctx context.Context, q store.KeyQuery) (*listKeysResponse, error) {
	page, total, err := s.Store.Keys(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &listKeysResponse{}
	out.Body.Data = make([]KeyResponse, len(page))
	for i := range page {
		out.Body.Data[i] = newKey(&page[i])
	}
	out.Body.Total, out.Body.Pagination = total, newPagination(q.Page, q.Limit, total)
	return out, nil
}

type keyRequest struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

type keyResponse struct {
	Status int
	Body   KeyResponse
}

// getKey is a key of the caller's. Those of others are not there for him.
func (s *Server) getKey(ctx context.Context, in *keyRequest) (*keyResponse, error) {
	v, err := s.Store.UserKey(ctx, requestOf(ctx).caller.UserID, in.ID)
	if err != nil {
		return nil, err
	}
	return &keyResponse{Body: newKey(&v)}, nil
}

type keyStatsResponse struct {
	Body struct {
		Total          int            `json:"total"`
		Active         int            `json:"active"`
		Expired        int            `json:"expired"`
		Revoked        int            `json:"revoked"`
		BySubscription map[string]int `json:"bySubscription"`
		ByModel        map[string]int `json:"byModel"`
	}
}

// keyStats counts the caller's keys.
func (s *Server) keyStats(ctx context.Context, _ *struct{}) (*keyStatsResponse, error) {
	st, err := s.Store.KeyStats(ctx, requestOf(ctx).caller.UserID)
	if err != nil {
		return nil, err
	}
	out := &keyStatsResponse{}
	out.Body.Total, out.Body.Active, out.Body.Expired, out.Body.Revoked = st.Total, st.Active, st.Expired, st.Revoked
	out.Body.BySubscription, out.Body.ByModel = st.BySubscription, st.ByModel
	return out, nil
}
