package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"

	"github.com/litemaas/litemaas/models"
)

// mockUser is somebody whom one can be in development.
type mockUser struct {
	ID       string   `json:"id"`
	Username string   `json:"username"`
	Email    string   `json:"email"`
	FullName string   `json:"fullName"`
	Roles    []string `json:"roles"`
}

type mockUsersResponse struct{ Body []mockUser }

func (s *Server) mockUsers(context.Context, *struct{}) (*mockUsersResponse, error) {
	m, err := s.mock()
	if err != nil {
		return nil, err
	}
	out := &mockUsersResponse{}
	for _, u := range m.Users() {
		out.Body = append(out.Body, mockUser{u.Subject, u.Username, u.Email, u.FullName, u.Roles})
	}
	return out, nil
}

// mockLogin is the page on which one picks who one is.
func (s *Server) mockLogin(context.Context, *struct{}) (*rawResponse, error) {
	m, err := s.mock()
	if err != nil {
		return nil, err
	}
	return &rawResponse{func(ctx huma.Context) {
		c := humagin.Unwrap(ctx)
		m.ServeHTTP(c.Writer, c.Request)
	}}, nil
}

type devTokenRequest struct {
	Body *struct {
		Username string   `json:"username,omitempty" default:"developer" maxLength:"255" pattern:"^[^\\x00]*$" patternDescription:"text"`
		Roles    []string `json:"roles,omitempty" maxItems:"50" doc:"Of the user, if he is new. Default: those of the mock user of that name; of others, admin and user."`
	}
}

type devTokenResponse struct {
	Body struct {
		AccessToken string    `json:"access_token"`
		TokenType   string    `json:"token_type" enum:"Bearer"`
		ExpiresIn   int       `json:"expires_in" doc:"In seconds."`
		User        tokenUser `json:"user"`
	}
}

// devToken lets somebody in without any questions, in development.
func (s *Server) devToken(ctx context.Context, in *devTokenRequest) (*devTokenResponse, error) {
	m, err := s.mock()
	if err != nil {
		return nil, err
	}
	username, roles := "developer", []string{models.RoleAdmin, models.RoleUser}
	if in.Body != nil {
		username = in.Body.Username
		for _, u := range m.Users() { // who are what their names say
			if u.Username == username {
				roles = u.Roles
			}
		}
		if len(in.Body.Roles) > 0 {
			roles = in.Body.Roles
		}
	}
	g, err := s.Auth.Flow.DevToken(ctx, username, roles, origin(ctx))
	if err != nil {
		return nil, err
	}
	s.nudgeUser(ctx, g.Principal.UserID)
	out := &devTokenResponse{}
	b := &out.Body
	b.AccessToken, b.TokenType, b.ExpiresIn, b.User = g.Access.Reveal(), "Bearer", int(g.Lifetime.Seconds()), newTokenUser(g.Principal)
	return out, nil
}
