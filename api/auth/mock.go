package auth

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// Mock is a provider for development that believes everybody. Its code is the number of one of
// its users, and its page is served by ourselves, at mock-login beside the callback.
type Mock struct {
	callback, page url.URL

	mu      sync.Mutex
	granted map[uuid.UUID]Grant // by user, for Flow.DevToken
}

// newMock refuses to be anywhere but in development: whoever reaches it is an admin.
func newMock(c Config) (*Mock, error) {
	if !c.Development {
		return nil, models.Errorf(models.Invalid, "the mock identity provider lets everybody be an admin: it is for development only").On("provider")
	}
	callback, _ := webURL(c.CallbackURL)
	return &Mock{callback: *callback, page: *callback.ResolveReference(&url.URL{Path: "mock-login"}), granted: map[uuid.UUID]Grant{}}, nil
}

// Users are whom one can be, in the order of their codes.
func (m *Mock) Users() []models.Identity {
	return []models.Identity{
		m.user("admin@example.com", []string{models.RoleAdmin, models.RoleUser}),
		m.user("user@example.com", []string{models.RoleUser}),
		m.user("readonly@example.com", []string{models.RoleAdminReadonly, models.RoleUser}),
	}
}

// user is somebody of that name.
func (*Mock) user(name string, roles []string) models.Identity {
	called, domain, _ := strings.Cut(name, "@")
	id := models.Identity{Provider: ProviderMock, Subject: name, Username: name, FullName: called, Roles: roles}
	if domain != "" {
		id.Email, id.EmailVerified = name, true
	}
	return id
}

// Name implements Provider.
func (*Mock) Name() string { return ProviderMock }

// AuthURL implements Provider. The page asks each time.
func (m *Mock) AuthURL(_ context.Context, state, _, _ string, _ *time.Duration) (string, error) {
	return with(m.page, url.Values{"state": {state}}), nil
}

// Exchange implements Provider.
func (m *Mock) Exchange(_ context.Context, code, _, _ string) (models.Identity, ProviderTokens, error) {
	users := m.Users()
	i, err := strconv.Atoi(code)
	if err != nil || i < 0 || i >= len(users) {
		return models.Identity{}, ProviderTokens{}, models.Errorf(models.Unauthenticated, "the mock knows no user %q", code)
	}
	return users[i], ProviderTokens{Subject: users[i].Subject, AuthTime: time.Now()}, nil
}

// Refresh implements Provider.
func (*Mock) Refresh(_ context.Context, t ProviderTokens) (ProviderTokens, error) { return t, nil }

// EndSessionURL implements Provider.
func (*Mock) EndSessionURL(context.Context, ProviderTokens, string) (string, error) { return "", nil }

var mockPage = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sign in</title></head>
<body>
<h1>Who do you want to be?</h1>
<p>This page is there in development only.</p>
<ul>{{range .}}
<li><a href="{{.URL}}">{{.Name}}</a> ({{.Roles}})</li>{{end}}
</ul>
</body>
</html>
`))

// ServeHTTP is the page that AuthURL leads to: one picks who one is. With the parameter user,
// the number of a user, that is done already.
func (m *Mock) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	state := r.FormValue("state")
	if code := r.FormValue("user"); code != "" {
		http.Redirect(w, r, with(m.callback, url.Values{"code": {code}, "state": {state}}), http.StatusFound)
		return
	}
	type choice struct{ URL, Name, Roles string }
	var choices []choice
	for i, u := range m.Users() {
		choices = append(choices, choice{with(m.callback, url.Values{"code": {strconv.Itoa(i)}, "state": {state}}), u.Username, strings.Join(u.Roles, ", ")})
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = mockPage.Execute(w, choices) // fails when the browser has gone
}

// with is an address with these parameters.
func with(u url.URL, q url.Values) string {
	u.RawQuery = q.Encode()
	return u.String()
}
