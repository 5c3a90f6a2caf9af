package api

import (
	"cmp"
	"context"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Auth lets people in, and knows them again.
type Auth struct {
	Callers  *auth.Authenticator
	Flow     *auth.Flow
	Keys     *auth.Keys
	Seen     *auth.Seen
	APIKeys  *auth.KeyChecks
	UsedKeys *auth.UsedKeys
	Provider auth.Provider // nil: none is configured, and nobody can sign in

	config     auth.Config
	principals *auth.Principals
	people     People
	sealer     models.Sealer
}

// People keeps users, their sessions and the keys that sign their tokens. *store.Store does, and
// *redissessions.Sessions, which has the sessions elsewhere.
type People interface {
	auth.Store
	auth.PrincipalStore
	auth.SeenStore
	auth.KeyStore
	auth.KeyCheckStore
	auth.UsedKeysStore
	Sessions(ctx context.Context, userID uuid.UUID) ([]models.Session, error)
	RevokeSessions(ctx context.Context, userID, but uuid.UUID, why models.SessionEnd, by models.Actor) (int, error)
	Listen(ctx context.Context, handle func(store.Notice)) error
}

var _ People = (*store.Store)(nil)

// NewAuth wires what lets people in. Without a provider in the configuration there are only the
// admin keys, and the tokens of `litemaas token`. It connects to nothing. What is wrong with
// the configuration is Invalid, and blames the setting.
func NewAuth(c auth.Config, adminKeys []models.Secret, people People, sealer models.Sealer) (*Auth, error) {
	a := &Auth{config: c, people: people, sealer: sealer, Keys: auth.NewKeys(c, people, sealer), principals: auth.NewPrincipals(people), Seen: auth.NewSeen(people)}
	a.APIKeys, a.UsedKeys = auth.NewKeyChecks(people), auth.NewUsedKeys(people)
	tokens, err := auth.NewTokens(c, a.Keys)
	if err != nil {
		return nil, err
	}
	if c.Provider != "" {
		if a.Provider, err = auth.NewProvider(c); err != nil {
			return nil, err
		}
	}
	a.Callers = auth.NewAuthenticator(tokens, a.principals, adminKeys)
	a.Flow, err = auth.NewFlow(c, a.Provider, people, tokens, sealer)
	return a, err
}

// Run hears of what changes, here and on other replicas, and records when sessions and API keys are used,
// until ctx ends. While it does not run, each request looks into the database.
func (a *Auth) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { a.Seen.Run(ctx) })
	wg.Go(func() { a.UsedKeys.Run(ctx) })
	wg.Go(func() {
		err := a.people.Listen(ctx, func(n store.Notice) {
			a.principals.Hear(n)
			a.Keys.Hear(n)
			a.APIKeys.Hear(n)
		})
		if ctx.Err() == nil {
			slog.ErrorContext(ctx, "nobody tells of changes; each request looks into the database", "error", err)
		}
	})
	wg.Wait()
}

// flow is how people sign in; Unavailable, when nobody can.
func (s *Server) flow() (*auth.Flow, error) {
	if s.Auth == nil || s.Auth.Provider == nil {
		return nil, models.Errorf(models.Unavailable, "nobody can sign in: no identity provider is configured; see AUTH_PROVIDER")
	}
	return s.Auth.Flow, nil
}

// mock is the provider for development; NotFound, when there is another, or none.
func (s *Server) mock() (*auth.Mock, error) {
	if s.Auth != nil {
		if m, ok := s.Auth.Provider.(*auth.Mock); ok {
			return m, nil
		}
	}
	return nil, models.Errorf(models.NotFound, "this is there in development only")
}

// discoveryWithin is how long the identity provider may take to say that it is there.
const discoveryWithin = 3 * time.Second

// discovery is how well the identity provider says where to sign in.
func (a *Auth) discovery(ctx context.Context) string {
	if a == nil || a.Provider == nil || a.Provider.Name() != auth.ProviderOIDC {
		return "not_applicable"
	}
	ctx, cancel := context.WithTimeout(ctx, discoveryWithin)
	defer cancel()
	if _, err := a.Provider.AuthURL(ctx, "", "", "", nil); err != nil {
		return "unknown"
	}
	return healthy
}

type authInfoResponse struct {
	Body struct {
		Provider        string `json:"provider" doc:"oidc, openshift or mock; empty: none."`
		Issuer          string `json:"issuer" doc:"The host that signs people in."`
		GroupsClaim     string `json:"groupsClaim"`
		DiscoveryStatus string `json:"discoveryStatus" enum:"healthy,not_applicable,unknown"`
	}
}

// authInfo says how people sign in, and whether the identity provider answers.
func (s *Server) authInfo(ctx context.Context, _ *struct{}) (*authInfoResponse, error) {
	out := &authInfoResponse{}
	b := &out.Body
	b.DiscoveryStatus = s.Auth.discovery(ctx)
	if s.Auth != nil {
		b.Provider, b.GroupsClaim = s.Auth.config.Provider, cmp.Or(s.Auth.config.GroupsClaim, "groups")
		if at, err := url.Parse(s.Auth.config.Issuer); err == nil {
			b.Issuer = at.Hostname()
		}
	}
	return out, nil
}
