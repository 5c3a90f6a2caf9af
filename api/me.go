package api

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// meResponse is who the caller is, for the web UI.
type meResponse struct {
	ID       string   `json:"id" doc:"Of the user; of an admin key its name in the audit log."`
	Username string   `json:"username"`
	Email    string   `json:"email"`
	Name     string   `json:"name" doc:"The full name, else the username."`
	Roles    []string `json:"roles"`
}

func newMe(p models.Principal) meResponse {
	return meResponse{p.ID(), p.Username, p.Email, p.Name, append([]string{}, p.Roles...)}
}

type getMeResponse struct{ Body meResponse }

// getMe says who the caller is, as of now.
func (s *Server) getMe(ctx context.Context, _ *struct{}) (*getMeResponse, error) {
	return &getMeResponse{newMe(requestOf(ctx).caller.Principal)}, nil
}

// profile is a user as he may know himself.
type profile struct {
	ID        uuid.UUID `json:"id" format:"uuid"`
	Username  string    `json:"username"`
	Email     string    `json:"email"`
	FullName  string    `json:"fullName,omitempty"`
	Roles     []string  `json:"roles"`
	CreatedAt time.Time `json:"createdAt"`
}

type profileResponse struct{ Body profile }

func newProfile(u models.User) *profileResponse {
	return &profileResponse{profile{u.ID, u.Username, u.Email, u.FullName, append([]string{}, u.Roles...), u.CreatedAt.UTC()}}
}

func (s *Server) getProfile(ctx context.Context, _ *struct{}) (*profileResponse, error) {
	u, err := s.Store.User(ctx, requestOf(ctx).caller.UserID)
	if err != nil {
		return nil, err
	}
	return newProfile(u), nil
}

type updateProfileRequest struct {
	Body struct {
		FullName *string `json:"fullName,omitempty" maxLength:"255" pattern:"^[^\\x00]*$" patternDescription:"text" doc:"Empty: none."`
	}
}

// updateProfile changes what a user may change of himself: his name, which sign-ins leave
// alone from then on.
func (s *Server) updateProfile(ctx context.Context, in *updateProfileRequest) (*profileResponse, error) {
	if in.Body.FullName == nil {
		return s.getProfile(ctx, nil)
	}
	u, err := s.Store.RenameUser(ctx, requestOf(ctx).caller.UserID, strings.TrimSpace(*in.Body.FullName), actor(ctx))
	if err != nil {
		return nil, err
	}
	return newProfile(u), nil
}

type listActivityRequest struct {
	Page   int    `query:"page" minimum:"1" maximum:"999999" default:"1"`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20"`
	Action string `query:"action" maxLength:"100" doc:"Only that, such as LOGIN."`
}

// activity is one thing that the caller did.
type activity struct {
	ID           string                     `json:"id"`
	Action       models.AuditAction         `json:"action"`
	ResourceType models.AuditResource       `json:"resourceType"`
	ResourceID   string                     `json:"resourceId"`
	Success      bool                       `json:"success"`
	IP           string                     `json:"ipAddress"`
	UserAgent    string                     `json:"userAgent"`
	Metadata     map[string]json.RawMessage `json:"metadata" doc:"Details, and under before and after what changed."`
	CreatedAt    time.Time                  `json:"createdAt"`
}

type listActivityResponse struct {
	Body struct {
		Data       []activity `json:"data"`
		Pagination pagination `json:"pagination"`
	}
}

// listActivity is what the audit log says that the caller did, the newest first.
func (s *Server) listActivity(ctx context.Context, in *listActivityRequest) (*listActivityResponse, error) {
	entries, total, err := s.Store.AuditLog(ctx, store.AuditQuery{
		Page: in.Page, Limit: in.Limit, Actor: requestOf(ctx).caller.id, Action: models.AuditAction(in.Action),
	})
	if err != nil {
		return nil, err
	}
	out := &listActivityResponse{}
	out.Body.Data = make([]activity, 0, len(entries))
	for i := range entries {
		e := &entries[i]
		out.Body.Data = append(out.Body.Data, activity{
			auditID(e.ID), e.Action, e.ResourceType, e.ResourceID, e.Success, e.IP, e.UserAgent, metadata(e), e.At.UTC(),
		})
	}
	out.Body.Pagination = newPagination(in.Page, in.Limit, total)
	return out, nil
}

type statsResponse struct {
	Body struct {
		LastLogin   *time.Time `json:"lastLogin,omitempty"`
		MemberSince time.Time  `json:"memberSince"`
	}
}

// getStats is what can be counted of the caller.
func (s *Server) getStats(ctx context.Context, _ *struct{}) (*statsResponse, error) {
	u, err := s.Store.User(ctx, requestOf(ctx).caller.UserID)
	if err != nil {
		return nil, err
	}
	out := &statsResponse{}
	out.Body.LastLogin, out.Body.MemberSince = utc(u.LastLoginAt), u.CreatedAt.UTC()
	return out, nil
}
