package api

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
)

// sessionResponse is one sign-in of the caller.
type sessionResponse struct {
	ID         uuid.UUID `json:"sessionId" format:"uuid"`
	IP         string    `json:"ipAddress" doc:"Where it was last used from."`
	UserAgent  string    `json:"userAgent" doc:"The program or browser that signed in."`
	Provider   string    `json:"provider" doc:"Who vouched: oidc, openshift, mock, or cli for an operator."`
	CreatedAt  time.Time `json:"createdAt"`
	LastSeenAt time.Time `json:"lastActivityAt" doc:"To the minute."`
	ExpiresAt  time.Time `json:"expiresAt"`
	Current    bool      `json:"isCurrent" doc:"Whether this request came by it."`
}

type listSessionsResponse struct{ Body []sessionResponse }

func (s *Server) listSessions(ctx context.Context, _ *struct{}) (*listSessionsResponse, error) {
	c := requestOf(ctx).caller
	sessions, err := s.Auth.people.Sessions(ctx, c.UserID)
	if err != nil {
		return nil, err
	}
	out := &listSessionsResponse{make([]sessionResponse, 0, len(sessions))}
	for _, one := range sessions {
		out.Body = append(out.Body, sessionResponse{
			one.ID, one.IP, one.UserAgent, one.Provider, one.CreatedAt.UTC(), one.LastSeenAt.UTC(), one.ExpiresAt.UTC(), one.ID == c.SessionID,
		})
	}
	return out, nil
}

type endSessionsResponse struct {
	Body struct {
		Message string `json:"message"`
		Ended   int    `json:"invalidatedSessions"`
	}
}

// endSessions ends all sessions of the caller but the one that the request came by.
func (s *Server) endSessions(ctx context.Context, _ *struct{}) (*endSessionsResponse, error) {
	c := requestOf(ctx).caller
	n, err := s.Auth.people.RevokeSessions(ctx, c.UserID, c.SessionID, models.SessionRevoked, actor(ctx))
	if err != nil {
		return nil, err
	}
	out := &endSessionsResponse{}
	out.Body.Message, out.Body.Ended = "Sessions invalidated successfully", n
	return out, nil
}

type endSessionRequest struct {
	ID uuid.UUID `path:"sessionId" format:"uuid"`
}

type messageResponse struct {
	Body struct {
		Message string `json:"message"`
	}
}

func newMessage(text string) *messageResponse {
	out := &messageResponse{}
	out.Body.Message = text
	return out
}

// endSession ends one session of the caller. Somebody else's is NotFound.
func (s *Server) endSession(ctx context.Context, in *endSessionRequest) (*messageResponse, error) {
	err := s.Auth.people.RevokeSession(ctx, requestOf(ctx).caller.UserID, in.ID, models.SessionRevoked, actor(ctx))
	if err != nil {
		return nil, err
	}
	return newMessage("Session invalidated successfully"), nil
}

type refreshSessionRequest struct {
	Body struct {
		RefreshToken string `json:"refreshToken" maxLength:"200"`
		SessionID    string `json:"sessionId,omitempty" doc:"Not needed: the token knows."`
	}
}

type refreshSessionResponse struct {
	Body struct {
		AccessToken  string `json:"accessToken"`
		RefreshToken string `json:"refreshToken" doc:"For the next time; the one that was sent is used up."`
		ExpiresIn    int    `json:"expiresIn" doc:"Of the access token, in seconds."`
	}
}

// refreshSession turns a refresh token into an access token, as LiteMaaS's API has it.
func (s *Server) refreshSession(ctx context.Context, in *refreshSessionRequest) (*refreshSessionResponse, error) {
	g, err := s.refresh(ctx, in.Body.RefreshToken)
	if err != nil {
		return nil, err
	}
	out := &refreshSessionResponse{}
	out.Body.AccessToken, out.Body.RefreshToken, out.Body.ExpiresIn = g.Access.Reveal(), g.Refresh.Reveal(), int(g.Lifetime.Seconds())
	return out, nil
}

type refreshTokenRequest struct {
	Body struct {
		RefreshToken string `json:"refresh_token" maxLength:"200"`
	}
}

type tokenResponse struct {
	Body struct {
		AccessToken  string     `json:"access_token"`
		TokenType    string     `json:"token_type" enum:"Bearer"`
		ExpiresIn    int        `json:"expires_in" doc:"In seconds."`
		RefreshToken string     `json:"refresh_token,omitempty" doc:"For the next time; the one that was sent is used up."`
		User         meResponse `json:"user"`
	}
}

// refreshToken is refreshSession, as LiteMaaS's web UI has it.
func (s *Server) refreshToken(ctx context.Context, in *refreshTokenRequest) (*tokenResponse, error) {
	g, err := s.refresh(ctx, in.Body.RefreshToken)
	if err != nil {
		return nil, err
	}
	out := &tokenResponse{}
	b := &out.Body
	b.AccessToken, b.TokenType, b.ExpiresIn = g.Access.Reveal(), "Bearer", int(g.Lifetime.Seconds())
	b.RefreshToken, b.User = g.Refresh.Reveal(), newMe(g.Principal)
	return out, nil
}

func (s *Server) refresh(ctx context.Context, token string) (auth.Grant, error) {
	flow, err := s.flow()
	if err != nil {
		return auth.Grant{}, err
	}
	return flow.Refresh(ctx, token, origin(ctx))
}
