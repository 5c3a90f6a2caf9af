package auth_test

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
)

// idp is a real OpenID provider, with the users and clients of these tests.
type idp interface {
	client() auth.Config               // us
	stranger() auth.Config             // another client, which has nothing to do with us
	rotate(t *testing.T)               // a new key signs; the one before is not published any more
	disable(t *testing.T, user string) // until the end of the test
}

const (
	callback = "http://localhost:9999/api/auth/callback" // nothing listens there: browsers stop
	frontend = "http://localhost:3000"
)

// The people at each provider; passwords are the part before the @.
const (
	ada = "admin@example.com"
	uma = "user@example.com"
	rea = "readonly@example.com"
	vic = "unverified@example.com" // whose address is not verified
)

// certified is the OpenID provider of a certified library, in this process.
type certified struct {
	*storage.Storage
	issuer string

	mu       sync.Mutex
	keys     []*storage.Storage // of which nothing but their key is used; the last signs
	disabled map[string]bool
}

func newCertified(t *testing.T) *certified {
	t.Helper()
	clients := map[string]*storage.Client{
		"litemaas":      storage.WebClient("litemaas", "litemaas-secret", callback),
		"somebody-else": storage.WebClient("somebody-else", "other-secret", callback),
	}
	c := &certified{Storage: storage.NewStorageWithClients(people{}, clients), disabled: map[string]bool{}}
	c.keys = []*storage.Storage{c.Storage}
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	c.issuer = srv.URL
	provider, err := op.NewProvider(&op.Config{CodeMethodS256: true, GrantTypeRefreshToken: true, DefaultLogoutRedirectURI: "/"},
		c, op.StaticIssuer(c.issuer), op.WithAllowInsecure())
	require.NoError(t, err)
	mux.Handle("/", provider)
	mux.HandleFunc("GET /login/username", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `<form method="post" action="/login/username?authRequestID=%s"><input name="username"><input name="password"></form>`,
			html.EscapeString(r.FormValue("authRequestID")))
	})
	mux.HandleFunc("POST /login/username", func(w http.ResponseWriter, r *http.Request) {
		id := r.FormValue("authRequestID")
		if c.gone(r.FormValue("username")) || c.CheckUsernamePassword(r.FormValue("username"), r.FormValue("password"), id) != nil {
			http.Error(w, "no", http.StatusOK)
			return
		}
		http.Redirect(w, r, op.AuthCallbackURL(provider)(op.ContextWithIssuer(r.Context(), c.issuer), id), http.StatusFound)
	})
	return c
}

func (c *certified) client() auth.Config {
	return auth.Config{
		Provider: auth.ProviderOIDC, Issuer: c.issuer, ClientID: "litemaas", ClientSecret: models.SecretOf("litemaas-secret"),
		CallbackURL: callback, FrontendURL: frontend, Scopes: []string{"openid", "profile", "email", "offline_access"},
	}
}

func (c *certified) stranger() auth.Config {
	out := c.client()
	out.ClientID, out.ClientSecret = "somebody-else", models.SecretOf("other-secret")
	return out
}

func (c *certified) rotate(*testing.T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = []*storage.Storage{storage.NewStorageWithClients(people{}, nil)}
}

func (c *certified) disable(t *testing.T, user string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disabled[user] = true
	t.Cleanup(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.disabled, user)
	})
}

func (c *certified) gone(user string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.disabled[user]
}

// SigningKey implements op.Storage.
func (c *certified) SigningKey(ctx context.Context) (op.SigningKey, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.keys[len(c.keys)-1].SigningKey(ctx)
}

// KeySet implements op.Storage.
func (c *certified) KeySet(ctx context.Context) ([]op.Key, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []op.Key
	for _, k := range c.keys {
		keys, err := k.KeySet(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, keys...)
	}
	return all, nil
}

// TokenRequestByRefreshToken implements op.Storage.
func (c *certified) TokenRequestByRefreshToken(ctx context.Context, token string) (op.RefreshTokenRequest, error) {
	r, err := c.Storage.TokenRequestByRefreshToken(ctx, token)
	if err == nil && c.gone(people{}.GetUserByID(r.GetSubject()).Username) {
		err = oidc.ErrInvalidGrant()
	}
	return r, err
}

// GetClientByClientID implements op.Storage.
func (c *certified) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	client, err := c.Storage.GetClientByClientID(ctx, id)
	return returning{client}, err
}

// returning is a client whose users may go back to the web UI when they have signed out.
type returning struct{ op.Client }

// PostLogoutRedirectURIs implements op.Client.
func (returning) PostLogoutRedirectURIs() []string { return []string{frontend + "/login"} }

// SetUserinfoFromToken implements op.Storage: the userinfo endpoint tells the groups.
func (c *certified) SetUserinfoFromToken(ctx context.Context, info *oidc.UserInfo, token, subject, origin string) error {
	if err := c.Storage.SetUserinfoFromToken(ctx, info, token, subject, origin); err != nil {
		return err
	}
	info.AppendClaims("groups", groups[people{}.GetUserByID(subject).Username])
	return nil
}

var groups = map[string][]string{
	ada: {"litemaas-admins"}, uma: {"litemaas-users", "data-science"}, rea: {"litemaas-readonly"}, vic: {},
}

// people are the users of the certified provider.
type people struct{}

// GetUserByID implements storage.UserStore.
func (p people) GetUserByID(id string) *storage.User {
	return p.GetUserByUsername(strings.TrimPrefix(id, "id-of-"))
}

// GetUserByUsername implements storage.UserStore.
func (people) GetUserByUsername(name string) *storage.User {
	if _, ok := groups[name]; !ok {
		return nil
	}
	password, _, _ := strings.Cut(name, "@")
	return &storage.User{
		ID: "id-of-" + name, Username: name, Password: password, Email: name, EmailVerified: name != vic, FirstName: "Some", LastName: "Body",
	}
}

// ExampleClientID implements storage.UserStore.
func (people) ExampleClientID() string { return "" }
