package auth_test

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// browser walks through the pages of a provider as a person's would, by its forms.
type browser struct{ http.Client }

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &browser{http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if ours(r.URL.String()) {
			return http.ErrUseLastResponse // nothing listens there
		}
		return nil
	}}}
}

func ours(at string) bool { return strings.HasPrefix(at, callback) || strings.HasPrefix(at, frontend) }

var formAction = regexp.MustCompile(`<form[^>]*\saction="([^"]+)"`)

// open goes to an address, and returns where of ours that leads; empty: to the page.
func (b *browser) open(t *testing.T, at string) (back, page string) {
	t.Helper()
	return b.send(t, http.MethodGet, at, nil)
}

// send sends a form.
func (b *browser) send(t *testing.T, method, to string, form url.Values) (back, page string) {
	t.Helper()
	req, err := http.NewRequest(method, to, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := b.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.Header.Get("Location"), string(body)
}

// signIn goes where a sign-in leads, fills in the form there, and returns with what the
// provider sends back; nil, if it lets nobody in.
func (b *browser) signIn(t *testing.T, at, user string) url.Values {
	t.Helper()
	back, page := b.open(t, at)
	if back == "" {
		password, _, _ := strings.Cut(user, "@")
		action := formAction.FindStringSubmatch(page)
		require.NotNil(t, action, "no form in %s", page)
		to, err := url.Parse(at)
		require.NoError(t, err)
		to, err = to.Parse(html.UnescapeString(action[1]))
		require.NoError(t, err)
		back, page = b.send(t, http.MethodPost, to.String(), url.Values{"username": {user}, "password": {password}})
	}
	if back == "" {
		t.Logf("not let in: %.200q", page)
		return nil
	}
	require.True(t, strings.HasPrefix(back, callback), back)
	u, err := url.Parse(back)
	require.NoError(t, err)
	return u.Query()
}
