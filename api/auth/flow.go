package auth

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Store keeps users and their sessions; *store.Store does, *redissessions.Sessions too.
type Store interface {
	PutLoginState(ctx context.Context, l models.LoginState) error
	TakeLoginState(ctx context.Context, stateHash, browserHash string) (models.LoginState, error)
	SignIn(ctx context.Context, id models.Identity, initials models.Initials, from models.Origin) (models.User, error)
	UserNamed(ctx context.Context, username string) (models.User, error)
	CreateSession(ctx context.Context, in models.Session, first *models.RefreshToken, by models.Actor) (models.Session, error)
	Session(ctx context.Context, id uuid.UUID) (models.Session, error)
	SetProviderTokens(ctx context.Context, id uuid.UUID, sealed []byte) error
	RevokeSession(ctx context.Context, userID, id uuid.UUID, why models.SessionEnd, by models.Actor) error
	RotateRefreshToken(ctx context.Context, hash string, next models.RefreshToken, from models.Origin) (s models.Session, again bool, err error)
	Principal(ctx context.Context, sessionID uuid.UUID) (models.Principal, error)
	Audit(ctx context.Context, by models.Actor, e models.Event) error
}

var _ Store = (*store.Store)(nil)

// Flow is how people come and go. What it refuses is in the audit log when it returns. It is
// safe for use by many goroutines, and any replica can go on with what another began.
type Flow struct {
	c         Config
	provider  Provider
	store     Store
	tokens    *Tokens
	sealer    models.Sealer
	redirects redirects
	now       func() time.Time
}

// NewFlow returns a flow by that provider. Without one nobody signs in: it can Mint, and go on
// with and end what there is. What is wrong with the configuration is Invalid and blames the
// setting.
func NewFlow(c Config, p Provider, s Store, t *Tokens, sealer models.Sealer) (*Flow, error) {
	f := &Flow{c: c.withDefaults(), provider: p, store: s, tokens: t, sealer: sealer, now: time.Now}
	if p == nil {
		return f, nil
	}
	var err error
	f.redirects, err = newRedirects(f.c)
	return f, err
}

// loginLifetime is how long a sign-in may take at the provider.
const loginLifetime = 5 * time.Minute

// providerLeeway is how far apart the provider's clock and ours may be.
const providerLeeway = time.Minute

// The pages of the web UI, where sign-ins end.
const (
	callbackPage = "auth/callback"
	loginPage    = "login"
)

// Ask is what a browser asks for that wants to sign in.
type Ask struct {
	Page    string // that it shows, as its header Origin or Referer says; empty: the web UI
	Cookie  string // of CookieName, if it has one
	Refresh bool   // whether it refreshes its token; the web UI does not

	// MaxAge is how long ago the person may have proved at the provider who he is, for what he
	// is about to do; 0: he has to do it again. nil: as configured, as is a longer one.
	MaxAge *time.Duration
}

// Begun is a sign-in that goes off to the provider.
type Begun struct {
	URL    string
	Cookie *http.Cookie // that the browser has to come back with
}

// refreshes starts the state of a sign-in that is to end with a refresh token.
const refreshes = "r."

// Begin sends a browser to the provider. It is Forbidden when the sign-in would end at another
// site than ours.
func (f *Flow) Begin(ctx context.Context, ask Ask, from models.Origin) (Begun, error) {
	target, err := f.redirects.to(ask.Page, callbackPage)
	if err != nil {
		return Begun{}, f.refuse(ctx, from, err, map[string]any{"page": clip(ask.Page)})
	}
	state, nonce, verifier, browser := random(), random(), random(), ask.Cookie
	if ask.Refresh {
		state = refreshes + state
	}
	if !wellFormed(browser) { // else it has another sign-in under way, which may go on
		browser = random()
	}
	maxAge := f.maxAge(ask.MaxAge)
	at, err := f.provider.AuthURL(ctx, state, nonce, verifier, maxAge)
	if err != nil {
		return Begun{}, err
	}
	err = f.store.PutLoginState(ctx, models.LoginState{
		StateHash: hash(state), BrowserHash: hash(browser), Provider: f.provider.Name(), Nonce: nonce, Verifier: verifier,
		Redirect: target, MaxAge: maxAge, ExpiresAt: f.now().Add(loginLifetime),
	})
	if err != nil {
		return Begun{}, err
	}
	return Begun{URL: at, Cookie: f.cookie(browser)}, nil
}

// maxAge is how old a sign-in at the provider may be, if somebody asks for that; nil: any.
func (f *Flow) maxAge(asked *time.Duration) *time.Duration {
	if f.c.MaxAge > 0 && (asked == nil || *asked > f.c.MaxAge) {
		return &f.c.MaxAge
	}
	return asked
}

// CookieName is the name of the cookie that binds a sign-in to its browser. No other host can
// set the one that is for https.
func (f *Flow) CookieName() string {
	if f.secure() {
		return "__Host-litemaas-login"
	}
	return "litemaas-login"
}

func (f *Flow) secure() bool { return strings.HasPrefix(f.c.CallbackURL, "https:") }

func (f *Flow) cookie(value string) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // it is Secure wherever the callback is
		Name: f.CookieName(), Value: value, Path: "/", MaxAge: int(loginLifetime.Seconds()),
		Secure: f.secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode, // it comes along from the provider's page
	}
}

// Grant is what somebody has who was let in.
type Grant struct {
	Principal models.Principal // without permissions; those are looked up
	Access    models.Secret
	Lifetime  time.Duration // of the access token
	Refresh   models.Secret // zero: none
}

// Finish lets in whom the provider sent back, with query, in the browser that has the cookie,
// and returns where the browser goes: to the page that it began at, with the tokens where no
// server sees them. A refusal is Unauthenticated, Forbidden or Conflict; see Failed.
func (f *Flow) Finish(ctx context.Context, query url.Values, cookie string, from models.Origin) (Grant, string, error) {
	state := query.Get("state")
	login, code, err := f.take(ctx, state, query, cookie)
	if err != nil {
		return Grant{}, "", f.refuse(ctx, from, err, nil)
	}
	id, given, err := f.provider.Exchange(ctx, code, login.Nonce, login.Verifier)
	if err != nil {
		return Grant{}, "", f.refuse(ctx, from, err, nil)
	}
	if given.AuthTime, err = f.authTime(login, given.AuthTime); err != nil {
		return Grant{}, "", f.refuse(ctx, from, err, nil)
	}
	u, err := f.store.SignIn(ctx, id, models.Initials{Admins: f.c.InitialAdmins, Limits: f.c.UserLimits}, from)
	if err != nil {
		return Grant{}, "", err
	}
	g, err := f.enter(ctx, u, entry{given: &given, refresh: strings.HasPrefix(state, refreshes)}, from)
	if err != nil {
		return Grant{}, "", err
	}
	return g, login.Redirect + "#" + g.fragment(), nil
}

// take checks what a browser comes back with, and takes the state, so that none is good twice.
func (f *Flow) take(ctx context.Context, state string, query url.Values, cookie string) (models.LoginState, string, error) {
	login, err := f.store.TakeLoginState(ctx, hash(state), hash(cookie))
	if err != nil {
		return login, "", err
	}
	code := query.Get("code")
	switch {
	case login.Provider != f.provider.Name():
		return login, "", models.Errorf(models.Unauthenticated, "this sign-in was begun at another identity provider")
	case query.Has("error"):
		return login, "", models.Errorf(models.Unauthenticated, "the identity provider refused: %q", clip(query.Get("error")))
	case code == "":
		return login, "", models.Errorf(models.Unauthenticated, "the identity provider sent no code")
	}
	return login, code, nil
}

// authTime is when the person proved who he is: when the provider says that he did, or now, if
// it does not say. It has to where that matters, and to have asked him if it was too long before
// he went off.
func (f *Flow) authTime(login models.LoginState, said time.Time) (time.Time, error) {
	switch {
	case login.MaxAge == nil && said.IsZero():
		return f.now(), nil
	case login.MaxAge == nil:
		return said, nil
	case said.IsZero():
		return said, models.Errorf(models.Unauthenticated, "the identity provider does not say when you signed in there")
	case said.Before(login.ExpiresAt.Add(-loginLifetime - *login.MaxAge - providerLeeway)):
		return said, models.Errorf(models.Unauthenticated, "the sign-in at the identity provider is too old")
	}
	return said, nil
}

// fragment is a grant as the web UI reads it.
func (g Grant) fragment() string {
	s := "token=" + url.QueryEscape(g.Access.Reveal()) + "&expires_in=" + strconv.Itoa(int(g.Lifetime.Seconds()))
	if !g.Refresh.IsZero() {
		s += "&refresh_token=" + url.QueryEscape(g.Refresh.Reveal())
	}
	return s
}

// Failed is where a browser goes whose sign-in failed: the web UI's own page for it, which is
// told the kind of the failure.
func (f *Flow) Failed(err error) string {
	q := url.Values{"error": {"auth_failed"}, "reason": {string(models.KindOf(err))}}
	return f.redirects[0].JoinPath(loginPage).String() + "?" + q.Encode()
}

// refuse writes into the audit log that somebody was not let in, and returns why. A failure
// that is nobody's fault is not written.
func (f *Flow) refuse(ctx context.Context, from models.Origin, why error, detail map[string]any) error {
	switch models.KindOf(why) {
	case models.Unauthenticated, models.Forbidden, models.Invalid, models.Conflict:
	default:
		return why
	}
	e := models.Event{Action: models.AuditFailed, ResourceType: models.AuditOfAuth, Failure: why.Error()}
	if detail != nil {
		e.Detail = detail
	}
	if err := f.store.Audit(context.WithoutCancel(ctx), models.Nobody(from), e); err != nil {
		return err
	}
	return why
}

// clip bounds what a stranger sent before it goes on.
func clip(s string) string { return s[:min(len(s), 200)] }

// seal makes what the provider gave fit to be kept with a session.
func (f *Flow) seal(t ProviderTokens, session uuid.UUID) ([]byte, error) {
	plain, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	return f.sealer.Seal(plain, tokenContext(session))
}

// unseal is what the provider gave.
func (f *Flow) unseal(s models.Session) (ProviderTokens, error) {
	var t ProviderTokens
	plain, err := f.sealer.Open(s.ProviderTokens, tokenContext(s.ID))
	if err == nil {
		err = json.Unmarshal(plain, &t)
	}
	if err != nil {
		return t, models.Errorf(models.Internal, "the identity provider's tokens of session %s cannot be opened", s.ID)
	}
	return t, nil
}

// tokenContext is what the provider's tokens are sealed to.
func tokenContext(session uuid.UUID) []byte { return []byte("sessions/" + session.String()) }
