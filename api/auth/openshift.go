package auth

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/litemaas/litemaas/models"
)

// openShift is the OAuth server of an OpenShift cluster. It knows no ID tokens: the cluster's
// API says who has the access token.
type openShift struct {
	oauth oauth2.Config
	api   string
	c     Config
	now   func() time.Time
}

const maxUser = 1 << 20 // of an answer of the API, in bytes

func newOpenShift(c Config) (*openShift, error) {
	if c.MaxAge > 0 {
		return nil, models.Errorf(models.Invalid, "OpenShift cannot be made to ask for the password again").On("max_age")
	}
	api := strings.TrimRight(c.OpenShiftAPI, "/")
	if api == "" {
		api = clusterAPI(c.Issuer)
	}
	if _, ok := webURL(api); !ok {
		return nil, models.Errorf(models.Invalid, "the address of the cluster's API cannot be derived from the issuer, as from https://oauth-openshift.apps.cluster.example.com").On("openshift_api")
	}
	if len(c.Scopes) == 0 {
		c.Scopes = []string{"user:info", "user:check-access"}
	}
	issuer := strings.TrimRight(c.Issuer, "/")
	return &openShift{c: c, api: api, now: time.Now, oauth: oauth2.Config{
		ClientID: c.ClientID, ClientSecret: c.ClientSecret.Reveal(), RedirectURL: c.CallbackURL, Scopes: c.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: issuer + "/oauth/authorize", TokenURL: issuer + "/oauth/token", AuthStyle: oauth2.AuthStyleInParams},
	}}, nil
}

// clusterAPI is where the API of the cluster is that has this OAuth server; empty, if it is
// not named as OpenShift names it.
func clusterAPI(issuer string) string {
	u, ok := webURL(issuer)
	if !ok {
		return ""
	}
	domain, ok := strings.CutPrefix(u.Hostname(), "oauth-openshift.apps.")
	if !ok {
		return ""
	}
	return "https://api." + domain + ":6443"
}

// Name implements Provider.
func (p *openShift) Name() string { return ProviderOpenShift }

// AuthURL implements Provider. The nonce has no place here: the code is bound to the sign-in by
// the verifier.
func (p *openShift) AuthURL(_ context.Context, state, _, verifier string, maxAge *time.Duration) (string, error) {
	if maxAge != nil {
		return "", models.Errorf(models.Invalid, "OpenShift cannot be made to ask for the password again").On("maxAge")
	}
	return p.oauth.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier)), nil
}

// Exchange implements Provider.
func (p *openShift) Exchange(ctx context.Context, code, _, verifier string) (models.Identity, ProviderTokens, error) {
	answer, err := p.oauth.Exchange(context.WithValue(ctx, oauth2.HTTPClient, p.c.HTTP), code, oauth2.VerifierOption(verifier))
	if err != nil {
		return models.Identity{}, ProviderTokens{}, refusal(err)
	}
	id, err := p.user(ctx, answer.AccessToken)
	if err != nil {
		return models.Identity{}, ProviderTokens{}, err
	}
	return id, ProviderTokens{Subject: id.Subject, Access: answer.AccessToken, AuthTime: p.now()}, nil
}

// Refresh implements Provider. OpenShift has no refresh tokens; it stands by a person as long
// as it takes his access token, a day by default.
func (p *openShift) Refresh(ctx context.Context, t ProviderTokens) (ProviderTokens, error) {
	id, err := p.user(ctx, t.Access)
	if err == nil && id.Subject != t.Subject {
		err = models.Errorf(models.Unauthenticated, "the access token is somebody else's")
	}
	return t, err
}

// EndSessionURL implements Provider. OpenShift signs out by POST only.
func (p *openShift) EndSessionURL(context.Context, ProviderTokens, string) (string, error) {
	return "", nil
}

// user is who has an access token.
func (p *openShift) user(ctx context.Context, token string) (models.Identity, error) {
	at, err := url.JoinPath(p.api, "apis/user.openshift.io/v1/users/~")
	if err != nil {
		return models.Identity{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return models.Identity{}, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := p.c.HTTP.Do(req)
	if err != nil {
		return models.Identity{}, models.Wrap(models.Unavailable, err, "the cluster's API does not answer")
	}
	defer func() { _ = res.Body.Close() }()
	var u struct {
		Metadata struct{ Name, UID string }
		FullName string
		Groups   []string
	}
	switch res.StatusCode {
	case http.StatusOK:
		err = json.NewDecoder(io.LimitReader(res.Body, maxUser)).Decode(&u)
	case http.StatusUnauthorized, http.StatusForbidden:
		return models.Identity{}, models.Errorf(models.Unauthenticated, "the cluster does not know you, or not any more")
	default:
		err = errors.New("status " + strconv.Itoa(res.StatusCode))
	}
	if err != nil {
		return models.Identity{}, models.Wrap(models.Unavailable, err, "the cluster's API does not tell about you")
	}
	id := models.Identity{
		Provider: ProviderOpenShift, Subject: u.Metadata.UID, Username: u.Metadata.Name, FullName: u.FullName,
		Roles: p.c.GroupRoles.Roles(u.Groups),
	}
	if id.Subject == "" { // kube:admin has none
		id.Subject = id.Username
	}
	if strings.Contains(id.Username, "@") { // nobody has verified it
		id.Email = id.Username
	}
	return id, nil
}
