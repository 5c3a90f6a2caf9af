package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/litemaas/litemaas/models"
)

// openID is a provider of OpenID Connect.
type openID struct {
	c         Config
	now       func() time.Time
	discovery *discovery
}

func newOIDC(c Config) *openID {
	if len(c.Scopes) == 0 {
		c.Scopes = []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail}
	}
	if !slices.Contains(c.Scopes, oidc.ScopeOpenID) {
		c.Scopes = append([]string{oidc.ScopeOpenID}, c.Scopes...)
	}
	p := &openID{c: c, now: time.Now}
	p.discovery = &discovery{issuer: c.Issuer, now: func() time.Time { return p.now() }}
	return p
}

// Name implements Provider.
func (p *openID) Name() string { return ProviderOIDC }

// AuthURL implements Provider.
func (p *openID) AuthURL(ctx context.Context, state, nonce, verifier string, maxAge *time.Duration) (string, error) {
	e, err := p.discovery.get(oidc.ClientContext(ctx, p.c.HTTP))
	if err != nil {
		return "", err
	}
	options := []oauth2.AuthCodeOption{oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)}
	if maxAge != nil {
		options = append(options, oauth2.SetAuthURLParam("max_age", strconv.Itoa(int(maxAge.Seconds()))))
	}
	return p.client(e).AuthCodeURL(state, options...), nil
}

// Exchange implements Provider.
func (p *openID) Exchange(ctx context.Context, code, nonce, verifier string) (models.Identity, ProviderTokens, error) {
	ctx = oidc.ClientContext(ctx, p.c.HTTP)
	e, err := p.discovery.get(ctx)
	if err != nil {
		return models.Identity{}, ProviderTokens{}, err
	}
	answer, err := p.client(e).Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		return models.Identity{}, ProviderTokens{}, refusal(err)
	}
	idToken, err := p.verify(ctx, e, answer)
	if err != nil {
		return models.Identity{}, ProviderTokens{}, err
	}
	if subtle.ConstantTimeCompare([]byte(idToken.Nonce), []byte(nonce)) != 1 {
		return models.Identity{}, ProviderTokens{}, models.Errorf(models.Unauthenticated, "the ID token is of another sign-in")
	}
	c, err := p.claims(ctx, e, idToken, answer)
	if err != nil {
		return models.Identity{}, ProviderTokens{}, err
	}
	return c.identity(p.c), ProviderTokens{
		Subject: idToken.Subject, ID: raw(answer), Access: answer.AccessToken, Refresh: answer.RefreshToken, AuthTime: authTime(idToken),
	}, nil
}

// Refresh implements Provider. Without a refresh token there is nothing to ask with.
func (p *openID) Refresh(ctx context.Context, t ProviderTokens) (ProviderTokens, error) {
	if t.Refresh == "" {
		return t, nil
	}
	ctx = oidc.ClientContext(ctx, p.c.HTTP)
	e, err := p.discovery.get(ctx)
	if err != nil {
		return t, err
	}
	answer, err := p.client(e).TokenSource(ctx, &oauth2.Token{RefreshToken: t.Refresh}).Token()
	if err != nil {
		return t, refusal(err)
	}
	if raw(answer) != "" {
		idToken, err := p.verify(ctx, e, answer)
		if err != nil {
			return t, err
		}
		if idToken.Subject != t.Subject {
			return t, models.Errorf(models.Unauthenticated, "the ID token is somebody else's")
		}
		t.ID = raw(answer)
	}
	t.Access, t.Refresh = answer.AccessToken, answer.RefreshToken
	return t, nil
}

// EndSessionURL implements Provider.
func (p *openID) EndSessionURL(ctx context.Context, t ProviderTokens, back string) (string, error) {
	e, err := p.discovery.get(oidc.ClientContext(ctx, p.c.HTTP))
	if err != nil || e.EndSession == "" {
		return "", err
	}
	u, ok := webURL(e.EndSession)
	if !ok {
		return "", models.Errorf(models.Unavailable, "the identity provider publishes no good address to sign out at")
	}
	q := u.Query()
	q.Set("client_id", p.c.ClientID)
	for key, value := range map[string]string{"id_token_hint": t.ID, "post_logout_redirect_uri": back} {
		if value != "" {
			q.Set(key, value)
		}
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// client is what we are to the provider.
func (p *openID) client(e *endpoints) *oauth2.Config {
	at := e.Endpoint()
	at.AuthStyle = oauth2.AuthStyleInHeader
	basic := len(e.AuthMethods) == 0 || slices.Contains(e.AuthMethods, "client_secret_basic")
	if p.c.ClientSecret.IsZero() || !basic {
		at.AuthStyle = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID: p.c.ClientID, ClientSecret: p.c.ClientSecret.Reveal(),
		Endpoint: at, RedirectURL: p.c.CallbackURL, Scopes: p.c.Scopes,
	}
}

// raw is the ID token in an answer; empty: there is none.
func raw(answer *oauth2.Token) string {
	token, _ := answer.Extra("id_token").(string)
	return token
}

// verify returns the ID token of an answer once its signature, issuer, audience and times are
// seen to be right. The provider's keys are read for each: sign-ins are rare, and a key that
// the provider has taken back is then no good at once.
func (p *openID) verify(ctx context.Context, e *endpoints, answer *oauth2.Token) (*oidc.IDToken, error) {
	keys := &keySet{RemoteKeySet: oidc.NewRemoteKeySet(ctx, e.KeySet)}
	verifier := oidc.NewVerifier(p.c.Issuer, keys, &oidc.Config{
		ClientID: p.c.ClientID, Now: p.now, SupportedSigningAlgs: asymmetric(e.Algorithms),
	})
	t, err := verifier.Verify(ctx, raw(answer))
	switch {
	case keys.err != nil:
		return nil, models.Wrap(models.Unavailable, keys.err, "the identity provider's keys cannot be read")
	case err != nil:
		return nil, models.Wrap(models.Unauthenticated, err, "the ID token is not good")
	}
	var party struct {
		AZP string `json:"azp"`
	}
	if err := t.Claims(&party); err != nil {
		return nil, models.Wrap(models.Unauthenticated, err, "the ID token is not good")
	}
	switch {
	case party.AZP != "" && party.AZP != p.c.ClientID, party.AZP == "" && len(t.Audience) > 1:
		return nil, models.Errorf(models.Unauthenticated, "the ID token was issued to another client")
	case t.Subject == "":
		return nil, models.Errorf(models.Unauthenticated, "the ID token names nobody")
	case t.AccessTokenHash != "" && t.VerifyAccessToken(answer.AccessToken) != nil:
		return nil, models.Errorf(models.Unauthenticated, "the ID token belongs to another access token")
	}
	return t, nil
}

// asymmetric are those of the algorithms that the provider alone can sign with: whoever knows
// our client secret could sign with the others, and anybody with none.
func asymmetric(algorithms []string) []string {
	known := []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}
	return slices.DeleteFunc(slices.Clone(algorithms), func(a string) bool { return !slices.Contains(known, a) })
}

// keySet remembers that the keys could not be read, which the verifier puts into words only.
type keySet struct {
	*oidc.RemoteKeySet
	err error
}

// VerifySignature implements oidc.KeySet.
func (k *keySet) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.RemoteKeySet.VerifySignature(ctx, jwt)
	if err != nil && strings.HasPrefix(err.Error(), "fetching keys") {
		k.err = err
	}
	return payload, err
}

// claims is what the ID token and the userinfo endpoint say together; the latter is the newer.
func (p *openID) claims(ctx context.Context, e *endpoints, idToken *oidc.IDToken, answer *oauth2.Token) (claims, error) {
	c := claims{}
	if err := idToken.Claims(&c); err != nil {
		return nil, models.Wrap(models.Unauthenticated, err, "the ID token is not good")
	}
	if e.UserInfoEndpoint() == "" {
		return c, nil
	}
	info, err := e.UserInfo(ctx, oauth2.StaticTokenSource(answer))
	if err != nil {
		return nil, models.Wrap(models.Unavailable, err, "the identity provider does not tell about you")
	}
	if info.Subject != idToken.Subject {
		return nil, models.Errorf(models.Unauthenticated, "the identity provider tells about somebody else")
	}
	more := claims{}
	if err := info.Claims(&more); err != nil {
		return nil, models.Wrap(models.Unavailable, err, "the identity provider does not tell about you")
	}
	return c.with(more), nil
}

// authTime is when somebody proved to the provider who he is; zero, if it does not say.
func authTime(t *oidc.IDToken) time.Time {
	var c struct {
		At int64 `json:"auth_time"`
	}
	if err := t.Claims(&c); err != nil || c.At == 0 {
		return time.Time{}
	}
	return time.Unix(c.At, 0)
}

// refusal is why the provider gave no tokens. What it answered may hold more than its word for
// it, so that only that word goes on.
func refusal(err error) error {
	e, answered := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case !answered:
		if _, ok := errors.AsType[*url.Error](err); ok {
			return models.Wrap(models.Unavailable, err, "the identity provider does not answer")
		}
		return models.Wrap(models.Unavailable, err, "the identity provider's answer cannot be read")
	case e.ErrorCode == "invalid_grant":
		return models.Errorf(models.Unauthenticated, "the identity provider does not vouch for this sign-in, or not any more")
	}
	why := strconv.Itoa(e.Response.StatusCode)
	if e.ErrorCode != "" {
		why += " " + strconv.Quote(e.ErrorCode)
	}
	return models.Wrap(models.Unavailable, errors.New(why), "the identity provider does not serve us")
}
