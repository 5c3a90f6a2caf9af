// Package auth lets people in. It sends a browser to the identity provider and makes whoever
// comes back a user with a session; it issues tokens, and says of every later request whose it
// is and what he may do now.
//
// It knows nothing of routes and renders no answers. Errors are *models.Error: Unauthenticated
// is the caller's, Unavailable that of the identity provider or the database.
package auth

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/litemaas/litemaas/models"
)

// Config is what an operator sets. Zero values mean what is said at each.
type Config struct {
	Provider     string            `mapstructure:"provider"` // oidc, openshift or mock
	Issuer       string            `mapstructure:"issuer"`   // of ID tokens; of OpenShift the OAuth server
	ClientID     string            `mapstructure:"client_id"`
	ClientSecret models.Secret     `mapstructure:"client_secret"` // zero: a public client
	CallbackURL  string            `mapstructure:"callback_url"`  // our route that browsers come back to, as they see it
	Scopes       []string          `mapstructure:"scopes"`        // empty: those that the provider's kind needs
	GroupsClaim  string            `mapstructure:"groups_claim"`  // empty: groups
	GroupRoles   models.GroupRoles `mapstructure:"-"`             // nil: models.DefaultGroupRoles
	OpenShiftAPI string            `mapstructure:"openshift_api"` // empty: derived from Issuer

	// MaxAge is how old the provider's own sign-in may be: then it has to ask for a password
	// again. 0: as old as the provider likes, unless a sign-in asks for less.
	MaxAge time.Duration `mapstructure:"max_age"`

	FrontendURL   string        `mapstructure:"frontend_url"`   // of the web UI, where sign-ins end
	InitialAdmins []string      `mapstructure:"initial_admins"` // usernames
	UserLimits    models.Limits `mapstructure:"-"`              // of new users

	TokenIssuer     string        `mapstructure:"token_issuer"`     // of our tokens. Empty: litemaas
	TokenLifetime   time.Duration `mapstructure:"token_lifetime"`   // of an access token for who refreshes. 0: 15 min
	WebLifetime     time.Duration `mapstructure:"web_lifetime"`     // of one for the web UI, which never does. 0: 24 h
	RefreshLifetime time.Duration `mapstructure:"refresh_lifetime"` // of a refresh token. 0: 7 days
	KeyLifetime     time.Duration `mapstructure:"key_lifetime"`     // for which a key signs. 0: 30 days
	AcceptHS256     bool          `mapstructure:"accept_hs256"`     // take LiteMaaS's tokens too
	JWTSecret       models.Secret `mapstructure:"jwt_secret"`       // of those, at least 32 bytes
	Development     bool          `mapstructure:"-"`                // allows the mock
	CORSOrigins     []string      `mapstructure:"-"`                // where sign-ins may end, too
	HTTP            *http.Client  `mapstructure:"-"`                // to the provider. nil: 10 s for each call
}

// The kinds of provider.
const (
	ProviderOIDC      = "oidc"
	ProviderOpenShift = "openshift"
	ProviderMock      = "mock"
)

// patience is how long one call of the provider may take.
const patience = 10 * time.Second

// audience is whom our tokens are for.
const audience = "litemaas"

// withDefaults fills in what is not set.
func (c Config) withDefaults() Config {
	c.Issuer = strings.TrimSpace(c.Issuer)
	c.GroupsClaim = cmp.Or(c.GroupsClaim, "groups")
	if c.GroupRoles == nil {
		c.GroupRoles = models.DefaultGroupRoles()
	}
	c.TokenIssuer = cmp.Or(c.TokenIssuer, "litemaas")
	c.TokenLifetime = cmp.Or(c.TokenLifetime, 15*time.Minute)
	c.WebLifetime = cmp.Or(c.WebLifetime, 24*time.Hour)
	c.RefreshLifetime = cmp.Or(c.RefreshLifetime, 7*24*time.Hour)
	c.KeyLifetime = cmp.Or(c.KeyLifetime, 30*24*time.Hour)
	if c.HTTP == nil {
		c.HTTP = &http.Client{Timeout: patience}
	}
	return c
}

// webURL reads an absolute address of the web.
func webURL(s string) (*url.URL, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, false
	}
	return u, true
}
