package api

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

type loginRequest struct {
	Origin  string `header:"Origin" hidden:"true"`
	Referer string `header:"Referer" hidden:"true"`
	Cookie  string `header:"Cookie" hidden:"true"`
	Body    *struct {
		Refresh bool `json:"refresh,omitempty" doc:"Whether to end with a refresh token and a short-lived access token. The web UI never refreshes."`
		MaxAge  *int `json:"maxAge,omitempty" minimum:"0" maximum:"31536000" doc:"How many seconds ago the person may have proved at the identity provider who he is; 0: he has to do it again. If not set: as configured."`
	}
}

type loginResponse struct {
	SetCookie string `header:"Set-Cookie" doc:"It has to come along to the callback."`
	Body      struct {
		AuthURL string `json:"authUrl" doc:"Where the browser goes to sign in."`
	}
}

// login begins a sign-in at the identity provider.
func (s *Server) login(ctx context.Context, in *loginRequest) (*loginResponse, error) {
	flow, err := s.flow()
	if err != nil {
		return nil, err
	}
	ask := auth.Ask{Page: cmp.Or(in.Origin, in.Referer), Cookie: cookie(in.Cookie, flow.CookieName())}
	if in.Body != nil {
		ask.Refresh = in.Body.Refresh
		if in.Body.MaxAge != nil {
			ask.MaxAge = new(time.Duration(*in.Body.MaxAge) * time.Second)
		}
	}
	begun, err := flow.Begin(ctx, ask, origin(ctx))
	if err != nil {
		return nil, err
	}
	out := &loginResponse{SetCookie: begun.Cookie.String()}
	out.Body.AuthURL = begun.URL
	return out, nil
}

// cookie is the value of a cookie in a header; empty, if there is none of that name.
func cookie(header, name string) string {
	r := http.Request{Header: http.Header{"Cookie": {header}}}
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

type callbackRequest struct {
	Code   string `query:"code"`
	State  string `query:"state"`
	Error  string `query:"error" doc:"Why the identity provider lets nobody in."`
	Cookie string `header:"Cookie" hidden:"true"`
}

type redirectResponse struct {
	Location string `header:"Location"`
}

// callback lets in whom the identity provider sends back, and sends him on to the web UI: with
// a token behind the #, where no server sees it, or to its page for who cannot sign in. It
// waits neither for LiteLLM nor for the workflow that will tell it of a new user.
func (s *Server) callback(ctx context.Context, in *callbackRequest) (*redirectResponse, error) {
	flow, err := s.flow()
	if err != nil {
		return nil, err
	}
	query := url.Values{}
	for name, value := range map[string]string{"code": in.Code, "state": in.State, "error": in.Error} {
		if value != "" {
			query.Set(name, value)
		}
	}
	grant, to, err := flow.Finish(ctx, query, cookie(in.Cookie, flow.CookieName()), origin(ctx))
	if err != nil {
		slog.WarnContext(ctx, "a sign-in failed", "request_id", requestOf(ctx).id, "error", err)
		return &redirectResponse{flow.Failed(err)}, nil
	}
	s.nudgeUser(ctx, grant.Principal.UserID)
	return &redirectResponse{to}, nil
}

// nudgeWithin is how long a sign-in waits for a workflow to be started.
const nudgeWithin = time.Second

// nudgeUser makes LiteLLM hold a user as we do, unless it does already. Nobody waits for that,
// and Sweep makes up for what is not started here.
func (s *Server) nudgeUser(ctx context.Context, id uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), nudgeWithin)
	defer cancel()
	u, err := s.Store.User(ctx, id)
	if err == nil && !u.Settled() {
		_, err = workflows.Nudge(ctx, s.Temporal, workflows.ReconcileUser, workflows.ReconcileUserInput{UserID: id})
	}
	if err != nil {
		slog.WarnContext(ctx, "LiteLLM is told of a user later", "user_id", id, "error", err)
	}
}

type logoutResponse struct {
	Body struct {
		Message   string  `json:"message"`
		LogoutURL *string `json:"logoutUrl" nullable:"true" doc:"Where the browser goes to sign out at the identity provider, too; null: nowhere."`
	}
}

// logout ends the session of the caller, and every token of it.
func (s *Server) logout(ctx context.Context, _ *struct{}) (*logoutResponse, error) {
	p := requestOf(ctx).caller.Principal
	out := &logoutResponse{}
	out.Body.Message = "Logged out successfully"
	at, err := s.Auth.Flow.Logout(ctx, p, origin(ctx))
	if at != "" {
		out.Body.LogoutURL = &at
	}
	return out, err
}

// tokenUser is whose a token is, in LiteMaaS's words.
type tokenUser struct {
	UserID   string   `json:"userId"`
	Username string   `json:"username"`
	Email    string   `json:"email"`
	Roles    []string `json:"roles"`
}

func newTokenUser(p models.Principal) tokenUser {
	return tokenUser{p.ID(), p.Username, p.Email, append([]string{}, p.Roles...)}
}

type validateRequest struct {
	Body struct {
		Token string `json:"token" maxLength:"8192"`
	}
}

type validateResponse struct {
	Body struct {
		Valid bool      `json:"valid"`
		User  tokenUser `json:"user"`
	}
}

// validate says whose an access token is. It answers 401, with valid false, when it is nobody's.
func (s *Server) validate(ctx context.Context, in *validateRequest) (*validateResponse, error) {
	if s.Auth == nil {
		return nil, errNobody
	}
	p, err := s.Auth.Callers.Token(ctx, in.Body.Token)
	if models.KindOf(err) == models.Unauthenticated {
		authenticator{s.Auth, s.Store}.refused(ctx, err)
		failure := fail(ctx, err)
		failure.Valid = new(false)
		return nil, failure
	}
	if err != nil {
		return nil, err
	}
	out := &validateResponse{}
	out.Body.Valid, out.Body.User = true, newTokenUser(p)
	return out, nil
}

type jwksResponse struct {
	CacheControl string `header:"Cache-Control"`
	ContentType  string `header:"Content-Type"`
	Body         []byte
}

// jwks is the public keys by which others can verify our access tokens.
func (s *Server) jwks(ctx context.Context, _ *struct{}) (*jwksResponse, error) {
	if s.Auth == nil {
		return nil, models.Errorf(models.NotFound, "there are no keys")
	}
	keys, err := s.Auth.Keys.JWKS(ctx)
	return &jwksResponse{"public, max-age=300", "application/json", keys}, err
}
