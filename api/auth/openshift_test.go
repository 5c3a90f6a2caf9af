package auth_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
)

// cluster answers as the OAuth server and the API of an OpenShift cluster do.
type cluster struct {
	*httptest.Server
	challenge string // of the sign-in under way
	user      string // as the API tells it
	status    int    // of the API
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{status: http.StatusOK}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /oauth/authorize", func(w http.ResponseWriter, r *http.Request) {
		c.challenge = r.FormValue("code_challenge")
		back := url.Values{"code": {"sha256~code"}, "state": {r.FormValue("state")}}
		http.Redirect(w, r, r.FormValue("redirect_uri")+"?"+back.Encode(), http.StatusFound)
	})
	mux.HandleFunc("POST /oauth/token", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		good := r.FormValue("code") == "sha256~code" && r.FormValue("client_secret") == "the-secret" && base64.RawURLEncoding.EncodeToString(sum[:]) == c.challenge
		if !good {
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_grant", "error_description": "the-secret"})
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "sha256~token", "token_type": "Bearer", "expires_in": 86400, "scope": "user:info"})
	})
	mux.HandleFunc("GET /apis/user.openshift.io/v1/users/~", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer sha256~token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(c.status)
		_, _ = w.Write([]byte(c.user))
	})
	c.Server = httptest.NewServer(mux)
	t.Cleanup(c.Close)
	return c
}

func (c *cluster) config() auth.Config {
	return auth.Config{
		Provider: auth.ProviderOpenShift, Issuer: c.URL + "/", ClientID: "litemaas", ClientSecret: models.SecretOf("the-secret"),
		CallbackURL: callback, FrontendURL: frontend, OpenShiftAPI: c.URL,
	}
}

// OpenShift says by its API who signed in, in which groups.
func TestOpenShift(t *testing.T) {
	at := newCluster(t)
	at.user = `{"kind":"User","metadata":{"name":"ada@example.com","uid":"u-1"},"fullName":"Ada A","groups":["litemaas-readonly","system:authenticated"]}`
	p := provider(t, at.config())
	a := comeBack(t, p, newBrowser(t), ada)
	id, tokens, err := a.exchange(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, models.Identity{
		Provider: "openshift", Subject: "u-1", Username: "ada@example.com", Email: "ada@example.com", FullName: "Ada A",
		Roles: []string{models.RoleAdminReadonly, models.RoleUser},
	}, id)
	require.Equal(t, "u-1", tokens.Subject)
	where, err := p.EndSessionURL(t.Context(), tokens, frontend)
	require.NoError(t, err)
	require.Empty(t, where)

	again, err := p.Refresh(t.Context(), tokens)
	require.NoError(t, err)
	require.Equal(t, tokens, again)
	_, err = p.Refresh(t.Context(), auth.ProviderTokens{Subject: "u-1", Access: "sha256~over"})
	refused(t, models.Unauthenticated, err)
	_, err = p.Refresh(t.Context(), auth.ProviderTokens{Subject: "u-2", Access: tokens.Access})
	refused(t, models.Unauthenticated, err)
	at.status = http.StatusBadGateway
	_, err = p.Refresh(t.Context(), tokens)
	refused(t, models.Unavailable, err)
	at.status, at.user = http.StatusOK, "<html>"
	_, _, err = a.exchange(t.Context(), p)
	refused(t, models.Unavailable, err)

	_, _, err = p.Exchange(t.Context(), a.code, a.nonce, "another")
	refused(t, models.Unauthenticated, err)
	require.NotContains(t, err.Error(), "the-secret")
	_, err = p.AuthURL(t.Context(), "s", "n", verifier, new(time.Hour))
	refused(t, models.Invalid, err)
	at.Close()
	_, _, err = a.exchange(t.Context(), p)
	refused(t, models.Unavailable, err)
}

// What the cluster's own administrator lacks.
func TestOpenShiftWithoutUID(t *testing.T) {
	at := newCluster(t)
	at.user = `{"metadata":{"name":"kube:admin"},"groups":["system:cluster-admins"]}`
	p := provider(t, at.config())
	id, _, err := comeBack(t, p, newBrowser(t), ada).exchange(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, models.Identity{Provider: "openshift", Subject: "kube:admin", Username: "kube:admin", Roles: []string{models.RoleUser}}, id)
}

// The API of a cluster is where its OAuth server's name says, or where the setting does.
func TestOpenShiftAPI(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://oauth-openshift.apps.lab.example.com":     "https://api.lab.example.com:6443",
		"https://oauth-openshift.apps.lab.example.com:443": "https://api.lab.example.com:6443",
		"https://sso.example.com":                          "",
		"":                                                 "",
	} {
		require.Equal(t, want, auth.ClusterAPI(issuer), issuer)
	}
}
