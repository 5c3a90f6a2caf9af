package auth

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// entry is how somebody is let in.
type entry struct {
	provider string          // who vouches; empty: ours
	given    *ProviderTokens // nil: none
	refresh  bool            // give a refresh token, and a short-lived access token
	lifetime time.Duration   // of the access token; 0: as configured
}

// enter begins a session of a user.
func (f *Flow) enter(ctx context.Context, u models.User, e entry, from models.Origin) (Grant, error) {
	now := f.now()
	s := models.Session{ID: uuid.New(), UserID: u.ID, Provider: e.provider, AuthTime: now, IP: from.IP, UserAgent: from.UserAgent}
	if s.Provider == "" {
		s.Provider = f.provider.Name()
	}
	if e.given != nil {
		s.AuthTime = e.given.AuthTime
		var err error
		if s.ProviderTokens, err = f.seal(*e.given, s.ID); err != nil {
			return Grant{}, err
		}
	}
	g := Grant{Lifetime: e.lifetime}
	var first *models.RefreshToken
	if e.refresh {
		token, row := newRefreshToken(now.Add(f.c.RefreshLifetime))
		g.Refresh, g.Lifetime, first, s.ExpiresAt = token, f.c.TokenLifetime, &row, row.ExpiresAt
	} else {
		g.Lifetime = cmp.Or(g.Lifetime, f.c.WebLifetime)
		s.ExpiresAt = now.Add(g.Lifetime)
	}
	from.SessionID = s.ID
	s, err := f.store.CreateSession(ctx, s, first, models.Actor{ID: u.ID.String(), Via: via(s.Provider), Origin: from})
	if err != nil {
		return Grant{}, err
	}
	g.Principal = models.Principal{
		UserID: u.ID, SessionID: s.ID, Username: u.Username, Email: u.Email, Name: u.FullName, Roles: u.Roles,
		Active: true, AuthTime: s.AuthTime, ExpiresAt: s.ExpiresAt, Via: "api",
	}
	if g.Principal.Name == "" {
		g.Principal.Name = u.Username
	}
	g.Access, err = f.tokens.Issue(ctx, g.Principal, g.Lifetime)
	return g, err
}

// cli is the provider of a session that an operator made.
const cli = "cli"

func via(provider string) string {
	if provider == cli {
		return cli
	}
	return "api"
}

// Mint lets a user in on an operator's word, for that long. It is Forbidden when the user is
// not active. The flow needs no provider for it.
func (f *Flow) Mint(ctx context.Context, u models.User, lifetime time.Duration) (Grant, error) {
	return f.enter(ctx, u, entry{provider: cli, lifetime: lifetime}, models.Origin{UserAgent: "litemaas token"})
}

// DevToken lets in the user of that name, in development. If there is none yet, he becomes one
// with these roles; one that is not built in is Invalid. A session that he has in this way goes
// on. With any provider but the mock it is NotFound.
func (f *Flow) DevToken(ctx context.Context, username string, roles []string, from models.Origin) (Grant, error) {
	m, ok := f.provider.(*Mock)
	if !ok {
		return Grant{}, models.Errorf(models.NotFound, "there are no tokens for development here")
	}
	for _, role := range roles {
		if _, ok := models.BuiltInRoles().Role(role); !ok {
			return Grant{}, models.Errorf(models.Invalid, "there is no role %q", clip(role)).On("roles")
		}
	}
	u, err := f.store.UserNamed(ctx, username)
	if models.KindOf(err) == models.NotFound {
		u, err = f.store.SignIn(ctx, m.user(username, roles), models.Initials{Limits: f.c.UserLimits}, from)
	}
	if err != nil {
		return Grant{}, err
	}
	m.mu.Lock() // the web UI asks before each request, and for many at once
	defer m.mu.Unlock()
	if g, ok := m.granted[u.ID]; ok {
		p, err := f.store.Principal(ctx, g.Principal.SessionID)
		if left := p.ExpiresAt.Sub(f.now()); err == nil && left > g.Lifetime/2 {
			g.Principal, g.Lifetime = p, left
			return g, nil
		}
	}
	g, err := f.enter(ctx, u, entry{}, from)
	if err == nil {
		m.granted[u.ID] = g
	}
	return g, err
}

// Refresh turns a refresh token into an access token and the next refresh token, while the
// identity provider stands by the user. It is Unauthenticated when the token is not good, and
// when the provider does not: the session has ended then. A provider that does not answer
// changes nothing. A token that comes again at once, as the answer was lost, is good once more.
func (f *Flow) Refresh(ctx context.Context, token string, from models.Origin) (Grant, error) {
	if !isRefreshToken(token) {
		return Grant{}, f.refuse(ctx, from, models.Errorf(models.Unauthenticated, "the refresh token is not known"), nil)
	}
	next, row := newRefreshToken(f.now().Add(f.c.RefreshLifetime))
	s, again, err := f.store.RotateRefreshToken(ctx, hash(token), row, from)
	if err != nil {
		return Grant{}, err
	}
	if !again { // else it was asked just now, and its own token may be under way
		if err := f.ask(ctx, s, from); err != nil {
			return Grant{}, err
		}
	}
	g := Grant{Lifetime: f.c.TokenLifetime, Refresh: next}
	if g.Principal, err = f.store.Principal(ctx, s.ID); err != nil {
		return Grant{}, err
	}
	g.Access, err = f.tokens.Issue(ctx, g.Principal, g.Lifetime)
	return g, err
}

// vouched reports whether the provider can be asked about a session: whether it is the one
// that let the user in, and left tokens.
func (f *Flow) vouched(s models.Session) bool {
	return f.provider != nil && s.Provider == f.provider.Name() && len(s.ProviderTokens) > 0
}

// ask asks the provider whether it still stands by the user of a session, and ends the session
// if not. It goes on when the client hangs up: the provider may take back its old token as soon
// as it has given a new one.
func (f *Flow) ask(ctx context.Context, s models.Session, from models.Origin) error {
	if !f.vouched(s) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	t, err := f.unseal(s)
	if err != nil {
		return err
	}
	t, err = f.provider.Refresh(ctx, t)
	switch {
	case models.KindOf(err) == models.Unauthenticated:
		by := models.System("identity-provider")
		by.Origin = from
		if err := f.store.RevokeSession(ctx, s.UserID, s.ID, models.SessionRevoked, by); err != nil && models.KindOf(err) != models.NotFound {
			return err
		}
		return f.refuse(ctx, from, err, nil)
	case models.KindOf(err) == models.Unavailable:
		return nil
	case err != nil:
		return err
	}
	sealed, err := f.seal(t, s.ID)
	if err != nil {
		return err
	}
	err = f.store.SetProviderTokens(context.WithoutCancel(ctx), s.ID, sealed) // however long the provider took
	if models.KindOf(err) == models.NotFound {
		return models.Errorf(models.Unauthenticated, "the session has ended")
	}
	return err
}

// Logout ends the session of a principal, and returns where his browser has to go to sign out
// at the identity provider, too; empty: nowhere. It returns that also when the session has
// ended already.
func (f *Flow) Logout(ctx context.Context, p models.Principal, from models.Origin) (string, error) {
	if p.SessionID == uuid.Nil {
		return "", nil
	}
	s, err := f.store.Session(ctx, p.SessionID)
	if models.KindOf(err) == models.NotFound { // as Redis may lose one that is still remembered
		return "", nil
	}
	if err != nil {
		return "", err
	}
	err = f.store.RevokeSession(ctx, p.UserID, p.SessionID, models.SessionLoggedOut, p.Actor(from))
	if err != nil && models.KindOf(err) != models.NotFound {
		return "", err
	}
	if !f.vouched(s) {
		return "", nil
	}
	t, err := f.unseal(s)
	if err != nil {
		return "", err
	}
	back := f.redirects[0].JoinPath(loginPage).String()
	at, err := f.provider.EndSessionURL(ctx, t, back)
	if models.KindOf(err) == models.Unavailable { // he is out here, whatever it says
		return "", nil
	}
	return at, err
}
