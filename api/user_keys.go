package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

type listKeyNamesRequest struct {
	UserIDs []string `query:"userIds,explode" maxItems:"500" format:"uuid" doc:"Repeated: any of them; left out: everybody."`
	Page    int      `query:"page" minimum:"1" maximum:"999999" default:"1"`
	Limit   int      `query:"limit" minimum:"1" maximum:"10000" default:"1000"`
}

type listKeyNamesResponse struct {
	Body struct {
		APIKeys []keyName `json:"apiKeys"`
		Total   int       `json:"total"`
	}
}

type keyName struct {
	ID       uuid.UUID `json:"id" format:"uuid"`
	Name     string    `json:"name"`
	KeyAlias string    `json:"keyAlias"`
	UserID   uuid.UUID `json:"userId" format:"uuid"`
	Username string    `json:"username"`
	Email    string    `json:"email"`
	Deleted  bool      `json:"deleted"`
}

// listKeyNames is what the web UI lets an admin choose keys from, to look at what they used.
func (s *Server) listKeyNames(ctx context.Context, in *listKeyNamesRequest) (*listKeyNamesResponse, error) {
	users := make([]uuid.UUID, len(in.UserIDs))
	for i, text := range in.UserIDs {
		id, err := uuid.Parse(text)
		if err != nil {
			return nil, models.Errorf(models.Invalid, "must be a UUID").On("userIds")
		}
		users[i] = id
	}
	names, total, err := s.Store.KeyNames(ctx, users, in.Page, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &listKeyNamesResponse{}
	out.Body.APIKeys, out.Body.Total = make([]keyName, len(names)), total
	for i, k := range names {
		out.Body.APIKeys[i] = keyName{k.ID, k.Name, k.Alias, k.UserID, k.Username, k.Email, k.Deleted}
	}
	return out, nil
}

type listUserKeysRequest struct {
	ID       uuid.UUID `path:"id" format:"uuid"`
	Page     int       `query:"page" minimum:"1" maximum:"999999" default:"1"`
	Limit    int       `query:"limit" minimum:"1" maximum:"100" default:"20"`
	IsActive string    `query:"isActive" enum:"true,false" doc:"Whether it can be used now; left out: both."`
}

// listUserKeys is a page of a user's keys, the newest first.
func (s *Server) listUserKeys(ctx context.Context, in *listUserKeysRequest) (*listKeysResponse, error) {
	if _, err := s.Store.User(ctx, in.ID); err != nil {
		return nil, err
	}
	return s.keyPage(ctx, store.KeyQuery{UserID: in.ID, Page: in.Page, Limit: in.Limit, Active: yesNo(in.IsActive)})
}

type createUserKeyRequest struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body struct {
		Name     string     `json:"name" minLength:"1" maxLength:"255" pattern:"^[^\\x00]*$" patternDescription:"text"`
		ModelIDs []string   `json:"modelIds" minItems:"1" maxItems:"100" minLength:"1" maxLength:"500" pattern:"^[^\\x00]*$" patternDescription:"text" doc:"He is subscribed to those that he is not subscribed to yet."`
		TeamID   *uuid.UUID `json:"teamId,omitempty" format:"uuid" doc:"A team that he is in."`
		KeyWish
	}
}

// createUserKey makes a key for a user, who is subscribed to its models without an approval. It is
// bound by no maximum. For himself, an admin makes one like anybody else.
func (s *Server) createUserKey(ctx context.Context, in *createUserKeyRequest) (*createKeyResponse, error) {
	about(ctx, models.AuditOfKey, "") // and not the subscriptions that it takes
	b, until := &in.Body, s.deadline(ctx)
	ask, err := b.asked()
	if err != nil {
		return nil, err
	}
	ask.Name, ask.Models = &b.Name, b.ModelIDs
	admin, bounds := in.ID != requestOf(ctx).caller.UserID, models.KeyDefaults{}
	if !admin {
		if bounds, err = s.Store.KeyDefaults(ctx); err != nil {
			return nil, err
		}
	}
	if _, err := ask.New(uuid.New(), in.ID, bounds, requestOf(ctx).at); err != nil {
		return nil, err // before he is subscribed to anything
	}
	if _, err := s.Store.User(ctx, in.ID); err != nil {
		return nil, err
	}
	if err := s.subscribeFor(ctx, in.ID, distinct(b.ModelIDs), until); err != nil {
		return nil, err
	}
	k, err := s.issue(ctx, in.ID, ask, bounds, func(k *models.Key) error {
		k.TeamID = b.TeamID
		return s.Store.IssueKey(ctx, k, admin, actor(ctx))
	})
	if err != nil {
		return nil, noSubscription(ctx, err)
	}
	if err := s.settleNew(ctx, k, until); err != nil {
		return nil, err
	}
	return s.createdKey(ctx, in.ID, k.ID)
}

// subscribeFor subscribes a user to the models of a key that an admin makes for him, where he is
// not subscribed yet. What cannot be is an error, and what was made until then stays.
func (s *Server) subscribeFor(ctx context.Context, userID uuid.UUID, modelIDs []string, until time.Time) error {
	before, err := s.before(ctx, userID, modelIDs)
	if err != nil {
		return err
	}
	var done []ruled
	for _, id := range modelIDs {
		if before[id].Status == models.SubscriptionActive {
			continue
		}
		r, err := s.give(ctx, userID, id, before[id], until)
		if err != nil {
			return err
		}
		action := models.AuditAdminSubscribed
		if before[id].Status != "" {
			action = models.AuditAdminResubscribed
		}
		err = s.Store.Audit(ctx, actor(ctx), models.Event{
			Action: action, ResourceType: models.AuditOfSubscription, ResourceID: r.sub.ID.String(),
			Detail: map[string]any{"userId": userID, "modelId": id},
		})
		if err != nil {
			return err
		}
		done = append(done, r)
	}
	for i, err := range s.carryOutAll(ctx, done, until) {
		if err != nil && models.KindOf(err) == models.Conflict {
			return err
		}
		if err != nil {
			return models.Wrap(models.Unavailable, err, "the subscription to %s is not active yet, as LiteLLM does not answer; try again in a moment", done[i].sub.ModelID)
		}
	}
	return nil
}

type userKeyRequest struct {
	ID    uuid.UUID `path:"id" format:"uuid"`
	KeyID uuid.UUID `path:"keyId" format:"uuid"`
}

type updateUserKeyRequest struct {
	ID    uuid.UUID `path:"id" format:"uuid"`
	KeyID uuid.UUID `path:"keyId" format:"uuid"`
	Body  KeyChange
}

// updateUserKey changes a key of a user. It is bound by no maximum, but for an admin's own.
func (s *Server) updateUserKey(ctx context.Context, in *updateUserKeyRequest) (*keyResponse, error) {
	e := store.KeyEdit{UserID: in.ID, ID: in.KeyID, Admin: in.ID != requestOf(ctx).caller.UserID}
	if !e.Admin {
		bounds, err := s.Store.KeyDefaults(ctx)
		if err != nil {
			return nil, err
		}
		e.Bounds = bounds
	}
	return s.changeKey(ctx, &in.Body, e)
}

type deleteUserKeyRequest struct {
	ID        uuid.UUID `path:"id" format:"uuid"`
	KeyID     uuid.UUID `path:"keyId" format:"uuid"`
	Permanent bool      `query:"permanent" doc:"Take it out of the user's list too."`
	Body      *struct {
		Reason string `json:"reason,omitempty" maxLength:"500" pattern:"^[^\\x00]*$" patternDescription:"text"`
	}
}

type deleteUserKeyResponse struct {
	Status int
	Body   struct {
		Success bool             `json:"success"`
		Status  models.KeyStatus `json:"status" enum:"revoked,revoking" doc:"revoking: LiteLLM was not yet seen to refuse it."`
	}
}

// deleteUserKey revokes a key of a user. It is 200 when LiteLLM was seen to refuse it.
func (s *Server) deleteUserKey(ctx context.Context, in *deleteUserKeyRequest) (*deleteUserKeyResponse, error) {
	why := "Revoked by an admin"
	if in.Body != nil && in.Body.Reason != "" {
		why = in.Body.Reason
	}
	k, err := s.endKey(ctx, store.KeyEnd{UserID: in.ID, ID: in.KeyID, Why: why, Delete: in.Permanent, Admin: true})
	if err != nil {
		return nil, err
	}
	out := &deleteUserKeyResponse{Status: http.StatusOK}
	out.Body.Success, out.Body.Status = true, k.Status()
	if out.Body.Status != models.KeyRevoked {
		out.Status = http.StatusAccepted
	}
	return out, nil
}

// resetUserKeySpend has what a key of a user spent counted from zero.
func (s *Server) resetUserKeySpend(ctx context.Context, in *userKeyRequest) (*resetSpendResponse, error) {
	return s.resetSpend(ctx, in.ID, in.KeyID, true)
}
