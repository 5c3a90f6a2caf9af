package api

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// SubscriptionResponse is a subscription in the shape of LiteMaaS. It is exported for huma; see
// AuditFilter.
type SubscriptionResponse struct {
	ID        uuid.UUID `json:"id" format:"uuid"`
	UserID    uuid.UUID `json:"userId" format:"uuid"`
	ModelID   string    `json:"modelId"`
	ModelName string    `json:"modelName"`
	Provider  string    `json:"provider"`
	Progress
	QuotaRequests     int64                `json:"quotaRequests" doc:"Each calendar month of UTC; 0: unlimited."`
	QuotaTokens       int64                `json:"quotaTokens" doc:"Each calendar month of UTC; 0: unlimited."`
	Unlimited         bool                 `json:"unlimited" doc:"Whether there is no quota at all."`
	UsedRequests      int64                `json:"usedRequests"`
	UsedTokens        int64                `json:"usedTokens"`
	RemainingRequests *int64               `json:"remainingRequests,omitempty" doc:"Left out: unlimited."`
	RemainingTokens   *int64               `json:"remainingTokens,omitempty" doc:"Left out: unlimited."`
	Utilization       utilization          `json:"utilizationPercent"`
	Pricing           *subscriptionPricing `json:"pricing,omitempty" doc:"Of one token; left out while no price is known."`
	ResetAt           time.Time            `json:"resetAt" doc:"When use is counted from zero again."`
	ExpiresAt         *time.Time           `json:"expiresAt,omitempty"`
	CreatedAt         time.Time            `json:"createdAt"`
	UpdatedAt         time.Time            `json:"updatedAt"`
	Metadata          object               `json:"metadata" doc:"What its owner noted."`

	Description     string `json:"modelDescription"`
	ContextLength   *int64 `json:"modelContextLength,omitempty" doc:"In tokens."`
	Vision          bool   `json:"modelSupportsVision"`
	FunctionCalling bool   `json:"modelSupportsFunctionCalling"`
	ParallelCalling bool   `json:"modelSupportsParallelFunctionCalling"`
	ToolChoice      bool   `json:"modelSupportsToolChoice"`
}

// Progress is where a subscription is in its life, and what is under way. It is exported for
// huma; see AuditFilter.
type Progress struct {
	Status          models.SubscriptionStatus `json:"status" enum:"active,suspended,cancelled,expired,inactive,pending,denied"`
	StatusReason    string                    `json:"statusReason"`
	StatusChangedAt time.Time                 `json:"statusChangedAt"`
	StatusChangedBy string                    `json:"statusChangedBy" doc:"A user's id, an admin key's name, or system."`
	Holds           []models.Hold             `json:"holds,omitempty" doc:"Why it is suspended."`
	Settled         bool                      `json:"settled" doc:"Whether the status is the whole truth: nothing is under way."`
	Provisioning    string                    `json:"provisioning" enum:",activating,ending" doc:"What is under way."`
	Note            string                    `json:"note,omitempty" doc:"What is waited for, in words."`
}

func newProgress(s *models.Subscription) Progress {
	p := Progress{
		Status: s.Status, StatusReason: s.StatusReason, StatusChangedAt: s.StatusChangedAt.UTC(), StatusChangedBy: s.StatusChangedBy,
		Holds: s.Holds, Settled: s.Settled(),
	}
	switch {
	case s.Wanted != "":
		p.Provisioning, p.Note = "activating", "it is active as soon as LiteLLM is seen to offer the model and to hold the user"
	case s.Ending && s.Status == models.SubscriptionActive:
		p.Provisioning, p.Note = "activating", "LiteLLM was not yet seen to have given the model back to every key"
	case s.Ending:
		p.Provisioning, p.Note = "ending", "LiteLLM was not yet seen to have taken the model off every key"
	case s.Waiting():
		p.Note = "an admin has to approve it"
	}
	return p
}

type utilization struct {
	Requests float64 `json:"requests"`
	Tokens   float64 `json:"tokens"`
}

type subscriptionPricing struct {
	Input    json.Number `json:"inputCostPerToken,omitempty"`
	Output   json.Number `json:"outputCostPerToken,omitempty"`
	Currency string      `json:"currency" example:"USD"`
}

// priced is what a model costs; nil, if that is not known. Zero is a price.
func priced(l *models.LLM) *subscriptionPricing {
	if l.InputCost == nil && l.OutputCost == nil {
		return nil
	}
	return &subscriptionPricing{number(l.InputCost), number(l.OutputCost), dollars.Code}
}

func newSubscription(v *store.SubscriptionView) SubscriptionResponse {
	s, has := &v.Subscription, func(feature string) bool { return slices.Contains(v.Model.Features, feature) }
	out := SubscriptionResponse{
		ID: s.ID, UserID: s.UserID, ModelID: s.ModelID, ModelName: s.ModelID, Provider: v.Model.Provider, Progress: newProgress(s),
		Unlimited: s.QuotaRequests == nil && s.QuotaTokens == nil, UsedRequests: s.UsedRequests, UsedTokens: s.UsedTokens,
		Pricing: priced(&v.Model), ResetAt: s.ResetAt.UTC(), ExpiresAt: utc(s.ExpiresAt), CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC(),
		Metadata: object{s.Metadata}, Description: v.Model.Description, ContextLength: v.Model.ContextLength,
		Vision: has(models.FeatureVision), FunctionCalling: has(models.FeatureFunctionCalling),
		ParallelCalling: has(models.FeatureParallelFunctionCalling), ToolChoice: has(models.FeatureToolChoice),
	}
	out.QuotaRequests, out.RemainingRequests, out.Utilization.Requests = spent(s.UsedRequests, s.QuotaRequests)
	out.QuotaTokens, out.RemainingTokens, out.Utilization.Tokens = spent(s.UsedTokens, s.QuotaTokens)
	return out
}

// spent is a quota with what is left of it and how much was used, in percent. LiteMaaS shows no
// quota as 0.
func spent(used int64, quota *int64) (limit int64, left *int64, percent float64) {
	if quota == nil {
		return 0, nil, 0
	}
	return *quota, new(max(*quota-used, 0)), math.Round(float64(used)/float64(*quota)*1e4) / 100
}

type listSubscriptionsRequest struct {
	Page    int    `query:"page" minimum:"1" maximum:"999999" default:"1"`
	Limit   int    `query:"limit" minimum:"1" maximum:"100" default:"20"`
	Status  string `query:"status" enum:"active,suspended,cancelled,expired,inactive,pending,denied" doc:"Left out: all but inactive."`
	ModelID string `query:"modelId" maxLength:"500"`
}

type listSubscriptionsResponse struct {
	Body struct {
		Data       []SubscriptionResponse `json:"data"`
		Total      int                    `json:"total"`
		Pagination pagination             `json:"pagination"`
	}
}

// listSubscriptions is a page of the caller's subscriptions, the newest first.
func (s *Server) listSubscriptions(ctx context.Context, in *listSubscriptionsRequest) (*listSubscriptionsResponse, error) {
	page, total, err := s.Store.Subscriptions(ctx, store.SubscriptionQuery{
		UserID: requestOf(ctx).caller.UserID, Page: in.Page, Limit: in.Limit,
		Status: models.SubscriptionStatus(in.Status), ModelID: in.ModelID,
	})
	if err != nil {
		return nil, err
	}
	return newSubscriptionList(page, in.Page, in.Limit, total), nil
}

func newSubscriptionList(page []store.SubscriptionView, number, limit, total int) *listSubscriptionsResponse {
	out := &listSubscriptionsResponse{}
	out.Body.Data = make([]SubscriptionResponse, 0, len(page))
	for i := range page {
		out.Body.Data = append(out.Body.Data, newSubscription(&page[i]))
	}
	out.Body.Total, out.Body.Pagination = total, newPagination(number, limit, total)
	return out
}

type subscriptionRequest struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

type subscriptionResponse struct {
	Status int
	Body   SubscriptionResponse
}

func (s *Server) getSubscription(ctx context.Context, in *subscriptionRequest) (*subscriptionResponse, error) {
	v, err := s.own(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &subscriptionResponse{http.StatusOK, newSubscription(&v)}, nil
}

// own is a subscription of the caller's. Those of others are not there for him.
func (s *Server) own(ctx context.Context, id uuid.UUID) (store.SubscriptionView, error) {
	v, err := s.Store.SubscriptionView(ctx, id)
	if err == nil && v.UserID != requestOf(ctx).caller.UserID {
		err = models.Errorf(models.NotFound, "Subscription not found")
	}
	return v, err
}

type subscriptionStatsResponse struct {
	Body struct {
		Total      int            `json:"total"`
		ByStatus   map[string]int `json:"byStatus"`
		ByProvider map[string]int `json:"byProvider"`
		Usage      struct {
			Requests used `json:"requests"`
			Tokens   used `json:"tokens"`
		} `json:"totalQuotaUsage"`
	}
}

type used struct {
	Used  int64 `json:"used"`
	Limit int64 `json:"limit"`
}

// subscriptionStats counts the caller's subscriptions.
func (s *Server) subscriptionStats(ctx context.Context, _ *struct{}) (*subscriptionStatsResponse, error) {
	st, err := s.Store.SubscriptionStats(ctx, requestOf(ctx).caller.UserID)
	if err != nil {
		return nil, err
	}
	out := &subscriptionStatsResponse{}
	b := &out.Body
	b.Total, b.ByStatus, b.ByProvider = st.Total, st.ByStatus, st.ByProvider
	b.Usage.Requests, b.Usage.Tokens = used{st.Quota.UsedRequests, st.Quota.LimitRequests}, used{st.Quota.UsedTokens, st.Quota.LimitTokens}
	return out, nil
}

// quota is what a subscription allows of one thing, each calendar month of UTC.
type quota struct {
	Limit     int64     `json:"limit" doc:"0: unlimited."`
	Used      int64     `json:"used"`
	Remaining *int64    `json:"remaining,omitempty" doc:"Left out: unlimited."`
	Unlimited bool      `json:"unlimited"`
	ResetAt   time.Time `json:"resetAt"`
}

func newQuota(used int64, limit *int64, resetAt time.Time) quota {
	of, left, _ := spent(used, limit)
	return quota{of, used, left, limit == nil, resetAt.UTC()}
}

type getQuotaResponse struct {
	Body struct {
		Requests quota `json:"requests"`
		Tokens   quota `json:"tokens"`
	}
}

func (s *Server) getQuota(ctx context.Context, in *subscriptionRequest) (*getQuotaResponse, error) {
	v, err := s.own(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := &getQuotaResponse{}
	out.Body.Requests = newQuota(v.UsedRequests, v.QuotaRequests, v.ResetAt)
	out.Body.Tokens = newQuota(v.UsedTokens, v.QuotaTokens, v.ResetAt)
	return out, nil
}

// statusChange is one entry of a subscription's history.
type statusChange struct {
	ID        int64                      `json:"id"`
	OldStatus *models.SubscriptionStatus `json:"oldStatus,omitempty" doc:"Left out: it was made."`
	NewStatus models.SubscriptionStatus  `json:"newStatus"`
	Reason    string                     `json:"reason"`
	ChangedBy string                     `json:"changedBy" doc:"A user's id, an admin key's name, or system."`
	ChangedAt time.Time                  `json:"changedAt"`
}

type getHistoryResponse struct {
	Body struct {
		Data []statusChange `json:"data"`
	}
}

// getHistory is all that happened to a subscription, for its owner.
func (s *Server) getHistory(ctx context.Context, in *subscriptionRequest) (*getHistoryResponse, error) {
	if _, err := s.own(ctx, in.ID); err != nil {
		return nil, err
	}
	changes, err := s.Store.SubscriptionHistory(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := &getHistoryResponse{}
	out.Body.Data = make([]statusChange, 0, len(changes))
	for _, c := range changes {
		out.Body.Data = append(out.Body.Data, statusChange{c.ID, c.OldStatus, c.NewStatus, c.Reason, c.ChangedBy, c.ChangedAt.UTC()})
	}
	return out, nil
}
