//go:build browser

package browser_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// What Keycloak's own pages are made of.
const (
	userField     chromedp.CSS = "#username"
	passwordField chromedp.CSS = "#password"
	submitButton  chromedp.CSS = "#kc-login"
	complaint     chromedp.CSS = "#input-error-username, #input-error, .pf-v5-c-alert__title, .pf-m-danger"
)

// password is that of a user of the test realm.
func password(user string) string {
	name, _, _ := strings.Cut(user, "@")
	return name
}

// disable makes a user one whom Keycloak lets in no more, until the test ends.
func disable(t *testing.T, user string) {
	t.Helper()
	var found []struct{ ID string }
	administer(t, http.MethodGet, "/users?exact=true&username="+url.QueryEscape(user), "", &found)
	require.Len(t, found, 1)
	administer(t, http.MethodPut, "/users/"+found[0].ID, `{"enabled":false}`, nil)
	t.Cleanup(func() { administer(t, http.MethodPut, "/users/"+found[0].ID, `{"enabled":true}`, nil) })
}

// administer calls Keycloak's own API, as its admin / admin.
func administer(t *testing.T, method, path, body string, out any) {
	t.Helper()
	base, realm, ok := strings.Cut(variable(t, "OIDC_ISSUER"), "/realms/")
	require.True(t, ok, "OIDC_ISSUER must be a realm of a Keycloak")
	res, err := http.PostForm(base+"/realms/master/protocol/openid-connect/token", url.Values{
		"grant_type": {"password"}, "client_id": {"admin-cli"}, "username": {"admin"}, "password": {"admin"},
	})
	require.NoError(t, err)
	defer res.Body.Close()
	var token struct {
		Access string `json:"access_token"`
	}
	require.NoError(t, json.NewDecoder(res.Body).Decode(&token))
	req, err := http.NewRequest(method, base+"/admin/realms/"+realm+path, strings.NewReader(body)) // the test's context may have ended
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token.Access)
	req.Header.Set("Content-Type", "application/json")
	res, err = http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Less(t, res.StatusCode, 300, "%s %s", method, path)
	if out != nil {
		require.NoError(t, json.NewDecoder(res.Body).Decode(out))
	}
}
