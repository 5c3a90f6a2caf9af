package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// adminSubscription is a subscription as approvers see it.
type adminSubscription struct {
	ID      uuid.UUID `json:"id" format:"uuid"`
	UserID  uuid.UUID `json:"userId" format:"uuid"`
	ModelID string    `json:"modelId"`
	Progress
	User        subscriber      `json:"user"`
	Model       subscribedModel `json:"model"`
	RequestedAt *time.Time      `json:"requestedAt,omitempty" doc:"Since when it waits for an admin."`
	Denial      *denial         `json:"denial,omitempty" doc:"It stands until an admin approves, whatever the owner does."`
	CreatedAt   time.Time       `json:"createdAt"`
	UpdatedAt   time.Time       `json:"updatedAt"`
}

type subscriber struct {
	ID       uuid.UUID `json:"id" format:"uuid"`
	Username string    `json:"username"`
	Email    string    `json:"email"`
}

type subscribedModel struct {
	ID               string `json:"id"`
	Name             string `json:"name"`
	Provider         string `json:"provider"`
	RestrictedAccess bool   `json:"restrictedAccess"`
}

type denial struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
}

func newAdminSubscription(v *store.SubscriptionView) adminSubscription {
	s := &v.Subscription
	out := adminSubscription{
		ID: s.ID, UserID: s.UserID, ModelID: s.ModelID, Progress: newProgress(s), User: subscriber{s.UserID, v.Username, v.Email},
		Model:     subscribedModel{s.ModelID, s.ModelID, v.Model.Provider, v.Model.RestrictedAccess},
		CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC(),
	}
	if s.Waiting() {
		out.RequestedAt = utc(&s.RequestedAt)
	}
	if s.DeniedAt != nil {
		out.Denial = &denial{s.DeniedAt.UTC(), s.DeniedBy, s.DeniedReason}
	}
	return out
}

type listAdminSubscriptionsRequest struct {
	Page     int      `query:"page" minimum:"1" maximum:"9999999" default:"1"`
	Limit    int      `query:"limit" minimum:"1" maximum:"100" default:"20"`
	Statuses []string `query:"statuses,explode" maxItems:"7" enum:"active,suspended,cancelled,expired,inactive,pending,denied" doc:"Repeated: any of them."`
	ModelIDs []string `query:"modelIds,explode" maxItems:"200" maxLength:"500" doc:"Repeated: any of them."`
	UserIDs  []string `query:"userIds,explode" maxItems:"200" format:"uuid" doc:"Repeated: any of them."`
	From     string   `query:"dateFrom" maxLength:"50" example:"2026-01-31" doc:"Whose status changed from then on: a time, or a day of UTC."`
	Until    string   `query:"dateTo" maxLength:"50" doc:"Until then; a day is taken whole."`
}

type listAdminSubscriptionsResponse struct {
	Body struct {
		Data       []adminSubscription `json:"data"`
		Pagination pagination          `json:"pagination"`
	}
}

// listAdminSubscriptions is a page of everybody's subscriptions, the last changed first.
func (s *Server) listAdminSubscriptions(ctx context.Context, in *listAdminSubscriptionsRequest) (*listAdminSubscriptionsResponse, error) {
	q := store.AdminSubscriptionQuery{Page: in.Page, Limit: in.Limit, ModelIDs: in.ModelIDs}
	for _, status := range in.Statuses {
		q.Statuses = append(q.Statuses, models.SubscriptionStatus(status))
	}
	for _, text := range in.UserIDs {
		id, err := uuid.Parse(text)
		if err != nil {
			return nil, models.Errorf(models.Invalid, "must be a UUID").On("userIds")
		}
		q.UserIDs = append(q.UserIDs, id)
	}
	from, _, err := moment(in.From, "dateFrom")
	if err != nil {
		return nil, err
	}
	until, day, err := moment(in.Until, "dateTo")
	if err != nil {
		return nil, err
	}
	if !from.IsZero() {
		q.From = &from
	}
	if day {
		until = until.AddDate(0, 0, 1).Add(-time.Microsecond)
	}
	if !until.IsZero() {
		q.To = &until
	}
	return s.adminSubscriptions(ctx, q)
}

func (s *Server) adminSubscriptions(ctx context.Context, q store.AdminSubscriptionQuery) (*listAdminSubscriptionsResponse, error) {
	page, total, err := s.Store.AdminSubscriptions(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &listAdminSubscriptionsResponse{}
	out.Body.Data = make([]adminSubscription, 0, len(page))
	for i := range page {
		out.Body.Data = append(out.Body.Data, newAdminSubscription(&page[i]))
	}
	out.Body.Pagination = newPagination(q.Page, q.Limit, total)
	return out, nil
}

type listAllSubscriptionsRequest struct {
	Page    int    `query:"page" minimum:"1" maximum:"9999999" default:"1"`
	Limit   int    `query:"limit" minimum:"1" maximum:"100" default:"20"`
	Status  string `query:"status" enum:"active,suspended,cancelled,expired,inactive,pending,denied"`
	UserID  string `query:"userId" format:"uuid"`
	ModelID string `query:"modelId" maxLength:"500"`
}

// listAllSubscriptions is listAdminSubscriptions by the path and the names that LiteMaaS has
// for it elsewhere, and never answered.
func (s *Server) listAllSubscriptions(ctx context.Context, in *listAllSubscriptionsRequest) (*listAdminSubscriptionsResponse, error) {
	q := store.AdminSubscriptionQuery{Page: in.Page, Limit: in.Limit}
	if in.Status != "" {
		q.Statuses = []models.SubscriptionStatus{models.SubscriptionStatus(in.Status)}
	}
	if in.ModelID != "" {
		q.ModelIDs = []string{in.ModelID}
	}
	if id, err := uuid.Parse(in.UserID); err == nil {
		q.UserIDs = []uuid.UUID{id}
	}
	return s.adminSubscriptions(ctx, q)
}

type approvalStatsResponse struct {
	Body struct {
		Pending       int `json:"pendingCount" doc:"Subscriptions that wait for an admin."`
		ApprovedToday int `json:"approvedToday" doc:"Since midnight in UTC."`
		DeniedToday   int `json:"deniedToday" doc:"Since midnight in UTC."`
		Total         int `json:"totalRequests"`
	}
}

func (s *Server) approvalStats(ctx context.Context, _ *struct{}) (*approvalStatsResponse, error) {
	st, err := s.Store.ApprovalStats(ctx)
	if err != nil {
		return nil, err
	}
	out := &approvalStatsResponse{}
	b := &out.Body
	b.Pending, b.ApprovedToday, b.DeniedToday, b.Total = st.Pending, st.ApprovedToday, st.DeniedToday, st.Total
	return out, nil
}

type deleteSubscriptionRequest struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"1000" pattern:"^[^\\x00]*$" patternDescription:"text" doc:"For the audit log."`
	}
}

type deleteSubscriptionResponse struct {
	Status int
	Body   struct {
		Success bool   `json:"success"`
		Settled bool   `json:"settled" doc:"Whether LiteLLM was seen to have taken the model off every key."`
		Note    string `json:"note,omitempty"`
	}
}

// deleteSubscription deletes a subscription with its history; the audit log keeps what it was.
func (s *Server) deleteSubscription(ctx context.Context, in *deleteSubscriptionRequest) (*deleteSubscriptionResponse, error) {
	until, reason := s.deadline(ctx), ""
	if in.Body != nil {
		reason = in.Body.Reason
	}
	cascade, err := s.Store.DeleteSubscription(ctx, in.ID, reason, actor(ctx))
	if err != nil {
		return nil, err
	}
	out := &deleteSubscriptionResponse{Status: http.StatusOK}
	out.Body.Success = true
	if out.Body.Settled, err = s.settles(ctx, cascade, until); err == nil && !out.Body.Settled {
		out.Status, out.Body.Note = http.StatusAccepted, "LiteLLM was not yet seen to have taken the model off every key"
	}
	return out, err
}

// settles has LiteLLM follow a cascade, and reports whether it was seen to.
func (s *Server) settles(ctx context.Context, c models.Cascade, until time.Time) (bool, error) {
	if c.Settled() {
		return true, nil
	}
	s.followCascade(ctx, c, until)
	c, err := s.Store.Cascade(ctx, c.ID)
	return c.Settled(), err
}

type resetQuotasRequest struct {
	Body *struct {
		UserID *uuid.UUID `json:"userId,omitempty" format:"uuid" doc:"Left out: everybody's."`
	}
}

type resetQuotasResponse struct {
	Status int
	Body   struct {
		Message    string `json:"message"`
		ResetCount int    `json:"resetCount"`
	}
}

// resetQuotas counts use from zero again before the month has ended. What was suspended for its
// quota is active again.
func (s *Server) resetQuotas(ctx context.Context, in *resetQuotasRequest) (*resetQuotasResponse, error) {
	var of *uuid.UUID
	if in.Body != nil {
		of = in.Body.UserID
	}
	until := s.deadline(ctx)
	n, cascades, err := s.Store.ResetUserQuotas(ctx, of, actor(ctx))
	if err != nil {
		return nil, err
	}
	out := &resetQuotasResponse{Status: http.StatusOK}
	out.Body.Message, out.Body.ResetCount = fmt.Sprintf("Quotas of %d subscriptions reset", n), n
	open := make([]bool, len(cascades))
	each(ctx, len(cascades), until, func(start context.Context, i int) {
		if !cascades[i].Settled() {
			s.followCascade(start, cascades[i], until)
			c, err := s.Store.Cascade(ctx, cascades[i].ID)
			open[i] = err != nil || !c.Settled()
		}
	})
	for _, o := range open {
		if o {
			out.Status = http.StatusAccepted
		}
	}
	return out, nil
}
