package auth_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
)

// keycloaks runs a suite at the Keycloak of OIDC_ISSUER, OIDC_CLIENT_ID and OIDC_CLIENT_SECRET,
// if there is one. It must have the users and clients of these tests, be fresh, and let
// admin / admin administer it.
func keycloaks(t *testing.T, suite func(*testing.T, func(*testing.T) idp)) {
	t.Helper()
	issuer := os.Getenv("OIDC_ISSUER")
	if issuer == "" {
		return
	}
	base, realm, ok := strings.Cut(issuer, "/realms/")
	require.True(t, ok, "OIDC_ISSUER must be a realm of a Keycloak")
	k := keycloak{issuer: issuer, base: base, realm: realm}
	t.Run("Keycloak", func(t *testing.T) { suite(t, func(*testing.T) idp { return k }) })
}

type keycloak struct{ issuer, base, realm string }

func (k keycloak) client() auth.Config {
	return auth.Config{
		Provider: auth.ProviderOIDC, Issuer: k.issuer, ClientID: os.Getenv("OIDC_CLIENT_ID"), ClientSecret: models.SecretOf(os.Getenv("OIDC_CLIENT_SECRET")),
		CallbackURL: callback, FrontendURL: frontend,
	}
}

func (k keycloak) stranger() auth.Config {
	c := k.client()
	c.ClientID, c.ClientSecret = "somebody-else", models.SecretOf("other-secret")
	return c
}

const keyProvider = "org.keycloak.keys.KeyProvider"

type component struct {
	ID           string              `json:"id,omitempty"`
	Name         string              `json:"name"`
	ProviderID   string              `json:"providerId"`
	ProviderType string              `json:"providerType"`
	Config       map[string][]string `json:"config"`
}

func (k keycloak) rotate(t *testing.T) {
	t.Helper()
	var old []component
	k.admin(t, http.MethodGet, "/components?type="+keyProvider, nil, &old)
	k.admin(t, http.MethodPost, "/components", component{
		Name: "rsa-" + strconv.FormatInt(time.Now().UnixNano(), 36), ProviderID: "rsa-generated", ProviderType: keyProvider,
		Config: map[string][]string{"priority": {"200"}, "enabled": {"true"}, "active": {"true"}, "algorithm": {"RS256"}, "keySize": {"2048"}},
	}, nil)
	for _, c := range old {
		if c.ProviderID == "rsa-generated" {
			k.admin(t, http.MethodDelete, "/components/"+c.ID, nil, nil)
		}
	}
}

func (k keycloak) disable(t *testing.T, user string) {
	t.Helper()
	var found []struct{ ID string }
	k.admin(t, http.MethodGet, "/users?exact=true&username="+url.QueryEscape(user), nil, &found)
	require.Len(t, found, 1)
	enable := func(enabled bool) {
		k.admin(t, http.MethodPut, "/users/"+found[0].ID, map[string]bool{"enabled": enabled}, nil)
	}
	enable(false)
	t.Cleanup(func() { enable(true) })
}

// admin calls Keycloak's own API.
func (k keycloak) admin(t *testing.T, method, path string, in, out any) {
	t.Helper()
	res, err := http.PostForm(k.base+"/realms/master/protocol/openid-connect/token", url.Values{
		"grant_type": {"password"}, "client_id": {"admin-cli"}, "username": {"admin"}, "password": {"admin"},
	})
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	var token struct {
		Access string `json:"access_token"`
	}
	require.NoError(t, json.NewDecoder(res.Body).Decode(&token))
	body, err := json.Marshal(in)
	require.NoError(t, err)
	req, err := http.NewRequest(method, k.base+"/admin/realms/"+k.realm+path, bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token.Access)
	req.Header.Set("Content-Type", "application/json")
	res, err = http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	require.Less(t, res.StatusCode, 300, "%s %s", method, path)
	if out != nil {
		require.NoError(t, json.NewDecoder(res.Body).Decode(out))
	}
}
