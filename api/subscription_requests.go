package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/workflows"
)

type createSubscriptionRequest struct {
	Body struct {
		ModelID       string         `json:"modelId" minLength:"1" maxLength:"500" pattern:"^[^\\x00]*$" patternDescription:"text"`
		QuotaRequests int64          `json:"quotaRequests,omitempty" minimum:"1" maximum:"1000000" default:"10000" doc:"Each calendar month of UTC."`
		QuotaTokens   int64          `json:"quotaTokens,omitempty" minimum:"1" maximum:"100000000" default:"1000000" doc:"Each calendar month of UTC."`
		ExpiresAt     *time.Time     `json:"expiresAt,omitempty" nullable:"true" doc:"When it ends by itself; null: never."`
		Metadata      map[string]any `json:"metadata,omitempty" doc:"Whatever its owner wants to note."`
	}
}

// createSubscription subscribes the caller to a model. It is 201 when the subscription is active,
// or waits for an admin; 202 while LiteLLM has yet to know its owner.
func (s *Server) createSubscription(ctx context.Context, in *createSubscriptionRequest) (*subscriptionResponse, error) {
	b, until := &in.Body, s.deadline(ctx)
	if err := checkExpiry(b.ExpiresAt); err != nil {
		return nil, err
	}
	note, err := noted(b.Metadata)
	if err != nil {
		return nil, err
	}
	sub, err := s.request(ctx, store.NewSubscription{
		UserID: requestOf(ctx).caller.UserID, ModelID: b.ModelID, QuotaRequests: &b.QuotaRequests, QuotaTokens: &b.QuotaTokens,
		ExpiresAt: b.ExpiresAt, Metadata: note,
	}, until)
	if e, ok := errors.AsType[*models.Error](err); ok && e.Kind == models.Conflict && e.Field == "modelId" {
		return nil, exists(ctx, err)
	}
	if err != nil {
		return nil, err
	}
	s.follow(ctx, sub, models.Cascade{}, until)
	out, err := s.standing(ctx, sub.ID, http.StatusCreated)
	if err != nil {
		return nil, err
	}
	if b := out.Body; sub.Wanted != "" && b.Settled && b.Status == models.SubscriptionInactive {
		return nil, models.Errorf(models.Conflict, "the subscription is %s: %s", b.Status, b.StatusReason)
	}
	return out, nil
}

// exists says as LiteMaaS does that there is a subscription already.
func exists(ctx context.Context, err error) *problem {
	p := fail(ctx, err)
	p.Code, p.Envelope.Code = "ALREADY_EXISTS", "ALREADY_EXISTS"
	p.Details.Suggestion = "A subscription for this model already exists. Use the existing subscription or cancel it first"
	p.Envelope.Details = p.Details
	return p
}

// checkExpiry judges when a subscription is to end.
func checkExpiry(at *time.Time) error {
	switch {
	case at == nil:
		return nil
	case !at.After(time.Now()):
		return models.Errorf(models.Invalid, "Expiration date must be in the future").On("expiresAt")
	case at.UTC().Year() > 9999: // no text of JSON holds it
		return models.Errorf(models.Invalid, "Expiration date is too far in the future").On("expiresAt")
	}
	return nil
}

// What an owner may note with a subscription.
const (
	maxMetadata      = 16 << 10 // bytes
	maxMetadataDepth = 20
)

// noted is the metadata as JSON; Invalid, when it is too large or no database holds it.
func noted(metadata map[string]any) ([]byte, error) {
	if !storable(metadata, maxMetadataDepth) {
		return nil, models.Errorf(models.Invalid, "must hold text, and not too deep").On("metadata")
	}
	if metadata == nil {
		return []byte("{}"), nil
	}
	raw, err := json.Marshal(metadata)
	if err != nil || len(raw) > maxMetadata {
		return nil, models.Errorf(models.Invalid, "must not be larger than %d bytes", maxMetadata).On("metadata")
	}
	return raw, nil
}

// storable reports whether Postgres can hold a value of JSON.
func storable(v any, depth int) bool {
	if depth == 0 {
		return false
	}
	switch v := v.(type) {
	case string:
		return isText(v)
	case []any:
		for _, item := range v {
			if !storable(item, depth-1) {
				return false
			}
		}
	case map[string]any:
		for name, item := range v {
			if !isText(name) || !storable(item, depth-1) {
				return false
			}
		}
	}
	return true
}

// request records that somebody is to have a model. A model that the catalogue does not know is
// compared with LiteLLM first.
func (s *Server) request(ctx context.Context, in store.NewSubscription, until time.Time) (models.Subscription, error) {
	sub, err := s.Store.RequestSubscription(ctx, in, actor(ctx))
	if models.KindOf(err) != models.NotFound {
		return sub, err
	}
	if err := s.learn(ctx, in.ModelID, until); err != nil {
		return sub, err
	}
	return s.Store.RequestSubscription(ctx, in, actor(ctx))
}

// learn has the catalogue learn of a model. Whoever does not want to wait does so for a moment
// here, as there is no row yet to look at later.
func (s *Server) learn(ctx context.Context, modelID string, until time.Time) error {
	run, err := workflows.Start(ctx, s.Temporal, workflows.RefreshModel, workflows.RefreshModelInput{ModelID: modelID, Actor: actor(ctx)})
	if err != nil {
		return err
	}
	_, err = run.Wait(ctx, max(time.Until(until), hopeless))
	if models.KindOf(err) == models.Pending {
		return models.Wrap(models.Unavailable, err, "the catalogue does not know %s, and LiteLLM does not say whether there is such a model; try again in a moment", modelID)
	}
	if err != nil {
		return notTheCaller(err)
	}
	return nil
}

// standing is a subscription as it stands after a request: done, when nothing is under way.
func (s *Server) standing(ctx context.Context, id uuid.UUID, done int) (*subscriptionResponse, error) {
	v, err := s.Store.SubscriptionView(ctx, id)
	if err != nil {
		return nil, err
	}
	if !v.Settled() {
		done = http.StatusAccepted
	}
	return &subscriptionResponse{done, newSubscription(&v)}, nil
}

// replay is the answer to a request about one subscription once more, as it stands now.
func (s *Server) replay(done int) func(context.Context, string) (*subscriptionResponse, error) {
	return func(ctx context.Context, id string) (*subscriptionResponse, error) {
		parsed, err := uuid.Parse(id)
		if err != nil {
			return nil, err
		}
		return s.standing(ctx, parsed, done)
	}
}

// cancelSubscription gives a subscription up. It is 200 when LiteLLM was seen to have taken the
// model off every key of the caller's.
func (s *Server) cancelSubscription(ctx context.Context, in *subscriptionRequest) (*subscriptionResponse, error) {
	until := s.deadline(ctx)
	sub, cascade, err := s.Store.CancelSubscription(ctx, requestOf(ctx).caller.UserID, in.ID, actor(ctx))
	if models.KindOf(err) == models.Conflict && sub.Status != "" { // the web UI has words of its own for 400
		return nil, models.Wrap(models.Invalid, err, "Cannot cancel subscription that is already %s", sub.Status).On("status")
	}
	if err != nil {
		return nil, err
	}
	s.follow(ctx, sub, cascade, until)
	return s.standing(ctx, in.ID, http.StatusOK)
}

// reviewSubscription asks an admin to look again at a subscription that was denied. One that
// waits already goes on waiting.
func (s *Server) reviewSubscription(ctx context.Context, in *subscriptionRequest) (*subscriptionResponse, error) {
	if _, err := s.Store.ReviewSubscription(ctx, requestOf(ctx).caller.UserID, in.ID, actor(ctx)); err != nil {
		return nil, ofState(err)
	}
	return s.standing(ctx, in.ID, http.StatusOK)
}

// ofState is the error of who asks for what the status of a subscription does not allow: LiteMaaS
// answers 400.
func ofState(err error) error {
	if e, ok := errors.AsType[*models.Error](err); ok && e.Kind == models.Conflict {
		return models.Wrap(models.Invalid, err, "%s", e.Message).On("status")
	}
	return err
}

type updateSubscriptionRequest struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body struct {
		QuotaRequests *int64              `json:"quotaRequests,omitempty" minimum:"1" maximum:"1000000"`
		QuotaTokens   *int64              `json:"quotaTokens,omitempty" minimum:"1" maximum:"100000000"`
		ExpiresAt     optional[time.Time] `json:"expiresAt,omitzero" doc:"When it ends by itself; null: never."`
		Status        any                 `json:"status,omitempty" hidden:"true"` // LiteMaaS lets its owner set it
	}
}

// updateSubscription changes what an owner may change of a subscription.
func (s *Server) updateSubscription(ctx context.Context, in *updateSubscriptionRequest) (*subscriptionResponse, error) {
	b, until := &in.Body, s.deadline(ctx)
	if b.Status != nil {
		return nil, models.Errorf(models.Invalid, "a subscription's status is not changed by its owner").On("status")
	}
	if err := checkExpiry(b.ExpiresAt.value); err != nil {
		return nil, err
	}
	edit := store.SubscriptionEdit{QuotaRequests: b.QuotaRequests, QuotaTokens: b.QuotaTokens}
	if b.ExpiresAt.sent {
		edit.ExpiresAt = &b.ExpiresAt.value
	}
	sub, cascade, err := s.Store.EditSubscription(ctx, requestOf(ctx).caller.UserID, in.ID, edit, actor(ctx))
	if err != nil {
		return nil, ofState(err)
	}
	s.follow(ctx, sub, cascade, until)
	return s.standing(ctx, in.ID, http.StatusOK)
}
