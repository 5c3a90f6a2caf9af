package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

type listUserSubscriptionsRequest struct {
	ID     uuid.UUID `path:"id" format:"uuid"`
	Page   int       `query:"page" minimum:"1" maximum:"999999" default:"1"`
	Limit  int       `query:"limit" minimum:"1" maximum:"100" default:"20"`
	Status string    `query:"status" enum:"active,suspended,cancelled,expired,inactive,pending,denied" doc:"Left out: all."`
}

// listUserSubscriptions is a page of a user's subscriptions, the last changed first.
func (s *Server) listUserSubscriptions(ctx context.Context, in *listUserSubscriptionsRequest) (*listSubscriptionsResponse, error) {
	if _, err := s.Store.User(ctx, in.ID); err != nil {
		return nil, err
	}
	q := store.AdminSubscriptionQuery{Page: in.Page, Limit: in.Limit, UserIDs: []uuid.UUID{in.ID}}
	if in.Status != "" {
		q.Statuses = []models.SubscriptionStatus{models.SubscriptionStatus(in.Status)}
	}
	page, total, err := s.Store.AdminSubscriptions(ctx, q)
	if err != nil {
		return nil, err
	}
	return newSubscriptionList(page, in.Page, in.Limit, total), nil
}

type createUserSubscriptionsRequest struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body struct {
		ModelIDs []string `json:"modelIds" minItems:"1" maxItems:"100" minLength:"1" maxLength:"500" pattern:"^[^\\x00]*$" patternDescription:"text"`
	}
}

type createUserSubscriptionsResponse struct {
	Status int
	Body   struct {
		Created       []givenSubscription `json:"created"`
		Activated     []givenSubscription `json:"activated"`
		AlreadyActive []string            `json:"alreadyActive"`
		Errors        []modelError        `json:"errors" doc:"The models that he was not subscribed to, and why."`
		Unsettled     []uuid.UUID         `json:"unsettled" doc:"The subscriptions that are not active yet: LiteLLM was not yet seen to know the user."`
	}
}

type givenSubscription struct {
	ModelID        string                    `json:"modelId"`
	SubscriptionID uuid.UUID                 `json:"subscriptionId" format:"uuid"`
	PreviousStatus models.SubscriptionStatus `json:"previousStatus,omitempty" doc:"Left out: it is new."`
}

type modelError struct {
	ModelID string `json:"modelId"`
	Error   string `json:"error"`
}

// createUserSubscriptions subscribes a user to models without an approval and without a quota.
// For himself, an admin asks like anybody else. That one of several models cannot be had keeps
// him from no other.
func (s *Server) createUserSubscriptions(ctx context.Context, in *createUserSubscriptionsRequest) (*createUserSubscriptionsResponse, error) {
	if _, err := s.Store.User(ctx, in.ID); err != nil {
		return nil, err
	}
	ids, until := distinct(in.Body.ModelIDs), s.deadline(ctx)
	before, err := s.before(ctx, in.ID, ids)
	if err != nil {
		return nil, err
	}
	out := &createUserSubscriptionsResponse{Status: http.StatusCreated}
	b := &out.Body
	b.Created, b.Activated, b.AlreadyActive = []givenSubscription{}, []givenSubscription{}, []string{}
	b.Errors, b.Unsettled = []modelError{}, []uuid.UUID{}
	var done []ruled
	for _, id := range ids {
		if before[id].Status == models.SubscriptionActive {
			b.AlreadyActive = append(b.AlreadyActive, id)
			continue
		}
		r, err := s.give(ctx, in.ID, id, before[id], until)
		if err == nil {
			done = append(done, r)
			continue
		}
		if len(ids) == 1 {
			return nil, err
		}
		b.Errors = append(b.Errors, modelError{id, s.excuse(ctx, err)})
	}
	for i, err := range s.carryOutAll(ctx, done, until) {
		sub := done[i].sub
		given := givenSubscription{sub.ModelID, sub.ID, before[sub.ModelID].Status}
		switch {
		case models.KindOf(err) == models.Conflict:
			b.Errors = append(b.Errors, modelError{sub.ModelID, s.excuse(ctx, err)})
			continue
		case given.PreviousStatus == "":
			b.Created = append(b.Created, given)
		default:
			b.Activated = append(b.Activated, given)
		}
		if err != nil {
			b.Unsettled, out.Status = append(b.Unsettled, sub.ID), http.StatusAccepted
		}
	}
	return out, nil
}

// before are the subscriptions that a user has to some models, by the model.
func (s *Server) before(ctx context.Context, userID uuid.UUID, modelIDs []string) (map[string]models.Subscription, error) {
	found, _, err := s.Store.AdminSubscriptions(ctx, store.AdminSubscriptionQuery{
		Page: 1, Limit: len(modelIDs), UserIDs: []uuid.UUID{userID}, ModelIDs: modelIDs,
	})
	out := make(map[string]models.Subscription, len(found))
	for _, v := range found {
		out[v.ModelID] = v.Subscription
	}
	return out, err
}

// give subscribes a user to a model: by the decision that is due, if he has asked.
func (s *Server) give(ctx context.Context, userID uuid.UUID, modelID string, old models.Subscription, until time.Time) (r ruled, err error) {
	d := ruling(ctx, "Subscribed by an admin", time.Time{})
	switch {
	case old.Wanted != "":
		r.sub = old
	case old.Waiting():
		r.sub, err = s.Store.ApproveSubscription(ctx, old.ID, d, actor(ctx))
	case old.Status == models.SubscriptionDenied:
		r.sub, r.cascade, err = s.Store.RevertSubscription(ctx, old.ID, models.SubscriptionActive, d, actor(ctx))
	default:
		r.sub, err = s.request(ctx, store.NewSubscription{
			UserID: userID, ModelID: modelID, Approved: userID != requestOf(ctx).caller.UserID,
		}, until)
	}
	return r, err
}
