package api

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

type holdUserRequest struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"500" pattern:"^[^\\x00]*$" patternDescription:"text" doc:"For the audit log."`
	}
}

func (r *holdUserRequest) reason() string {
	if r.Body == nil {
		return ""
	}
	return r.Body.Reason
}

// deactivateUser takes everything from a user who leaves. His sessions and tokens are worthless
// from the commit on, whatever is away; the rest is a workflow's to do, and 202 says that it is
// not done yet.
func (s *Server) deactivateUser(ctx context.Context, in *holdUserRequest) (*userDetailsResponse, error) {
	about(ctx, models.AuditOfUser, in.ID.String())
	if _, err := s.Store.DeactivateUser(ctx, in.ID, models.HoldOffboarded, in.reason(), actor(ctx)); err != nil {
		return nil, err
	}
	run, err := workflows.Start(ctx, s.Temporal, workflows.Offboard, workflows.OffboardInput{UserID: in.ID, Why: in.reason(), Actor: actor(ctx)})
	if err == nil {
		_, err = run.Wait(ctx, s.patience(ctx))
	}
	return s.held(ctx, in.ID, err)
}

// reinstateUser gives a user back what deactivateUser took; sessions do not come back.
func (s *Server) reinstateUser(ctx context.Context, in *holdUserRequest) (*userDetailsResponse, error) {
	about(ctx, models.AuditOfUser, in.ID.String())
	if _, err := s.Store.ReinstateUser(ctx, in.ID, models.HoldOffboarded, in.reason(), actor(ctx)); err != nil {
		return nil, err
	}
	run, err := workflows.Start(ctx, s.Temporal, workflows.Reinstate, workflows.ReinstateInput{UserID: in.ID, Why: in.reason(), Actor: actor(ctx)})
	if err == nil {
		_, err = run.Wait(ctx, s.patience(ctx))
	}
	return s.held(ctx, in.ID, err)
}

// held is a user after his holds changed. What went wrong behind the commit is no failure of
// the request's: the row is the wish, and Sweep sees to it.
func (s *Server) held(ctx context.Context, id uuid.UUID, err error) (*userDetailsResponse, error) {
	if err != nil {
		slog.WarnContext(ctx, "LiteLLM is told of a user later", "user_id", id, "request_id", requestOf(ctx).id, "error", err)
	}
	u, err := s.Store.User(ctx, id)
	if err != nil {
		return nil, err
	}
	out, err := s.details(ctx, u)
	if err == nil && u.Status() == models.UserPending {
		out.Status = http.StatusAccepted
	}
	return out, err
}
