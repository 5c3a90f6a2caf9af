package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/cmd/internal/keyset"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

func newKeyset(t *testing.T) string {
	t.Helper()
	text, err := keyset.New()
	require.NoError(t, err)
	return text.Reveal()
}

// The names by which LiteMaaS operators say how people sign in work.
func TestSignInAliases(t *testing.T) {
	for _, tc := range []aliased{
		{"AUTH_PROVIDER", "oidc", "oidc", func(c config) any { return c.Auth.Provider }},
		{"OAUTH_MOCK_ENABLED", "true", "mock", func(c config) any { return c.Auth.Provider }},
		{"OAUTH_MOCK_ENABLED", "false", "", func(c config) any { return c.Auth.Provider }},
		{"OAUTH_CLIENT_ID", "litemaas", "litemaas", func(c config) any { return c.Auth.ClientID }},
		{"OAUTH_CLIENT_ID", "litemaas", "openshift", func(c config) any { return c.Auth.Provider }},
		{"OAUTH_CLIENT_SECRET", "x", "x", func(c config) any { return c.Auth.ClientSecret.Reveal() }},
		{"OAUTH_ISSUER", "https://sso.example/", "https://sso.example/", func(c config) any { return c.Auth.Issuer }},
		{"OAUTH_CALLBACK_URL", "https://maas.example/api/auth/callback", "https://maas.example/api/auth/callback", func(c config) any { return c.Auth.CallbackURL }},
		{"OAUTH_CALLBACK_URL", "https://maas.example/api/auth/callback", "https://maas.example", func(c config) any { return c.Auth.FrontendURL }},
		{"FRONTEND_URL", "https://ui.example/maas", "https://ui.example/maas", func(c config) any { return c.Auth.FrontendURL }},
		{"OIDC_SCOPES", "openid profile email groups", []string{"openid", "profile", "email", "groups"}, func(c config) any { return c.Auth.Scopes }},
		{"OIDC_GROUPS_CLAIM", "realm_access.roles", "realm_access.roles", func(c config) any { return c.Auth.GroupsClaim }},
		{"OPENSHIFT_API_URL", "https://api.example:6443", "https://api.example:6443", func(c config) any { return c.Auth.OpenShiftAPI }},
		{"INITIAL_ADMIN_USERS", "ada, bob", []string{"ada", "bob"}, func(c config) any { return c.Auth.InitialAdmins }},
		{"JWT_SECRET", "x", "x", func(c config) any { return c.Auth.JWTSecret.Reveal() }},
		{"JWT_EXPIRES_IN", "12h", 12 * time.Hour, func(c config) any { return c.Auth.WebLifetime }},
		{"JWT_EXPIRES_IN", "7d", 7 * 24 * time.Hour, func(c config) any { return c.Auth.WebLifetime }},
		{"JWT_EXPIRES_IN", "3600", time.Hour, func(c config) any { return c.Auth.WebLifetime }},
		{"DEFAULT_USER_MAX_BUDGET", "99.5", 99*models.Dollar + models.Dollar/2, func(c config) any { return *c.Auth.UserLimits.MaxBudget }},
		{"DEFAULT_USER_TPM_LIMIT", "0", int64(0), func(c config) any { return *c.Auth.UserLimits.TPM }},
		{"DEFAULT_USER_RPM_LIMIT", "unlimited", (*int64)(nil), func(c config) any { return c.Auth.UserLimits.RPM }},
	} {
		t.Run(tc.name+"="+tc.value, tc.test)
	}
}

// What is wrong with how people sign in is told at the start, with the setting.
func TestWrongSignIn(t *testing.T) {
	for name, tc := range map[string]struct {
		set  []string
		want string
	}{
		"no keyset":              {[]string{"auth.provider=oidc"}, "secrets.keyset is not set"},
		"a keyset that is none":  {[]string{"secrets.keyset={}"}, "secrets.keyset is not good (flag --set): it must be a keyset in JSON"},
		"a file that is none":    {[]string{"secrets.keyset_file=none.json"}, "secrets.keyset_file: the keyset cannot be read"},
		"another file":           {[]string{"secrets.keyset_file=litemaas.yaml"}, "secrets.keyset_file: the keyset is no keyset"},
		"no issuer":              {[]string{"auth.provider=oidc", "secrets.keyset_file=keyset.json"}, "auth.issuer: the issuer must be an address"},
		"no client":              {[]string{"auth.provider=oidc", "auth.issuer=https://sso.example", "secrets.keyset_file=keyset.json"}, "auth.client_id: the client ID"},
		"the mock in production": {[]string{"auth.provider=mock", "secrets.keyset_file=keyset.json"}, "auth.provider: the mock identity provider lets everybody be an admin"},
		"a short secret":         {[]string{"auth.accept_hs256=true", "auth.jwt_secret=short"}, "auth.jwt_secret: the secret of LiteMaaS's tokens must have at least 32 bytes"},
		"no such provider":       {[]string{"auth.provider=ldap"}, `auth.provider is "ldap" (flag --set): it must be oidc, openshift or mock`},
		"a budget in euros":      {[]string{"users.max_budget=100€"}, "users.max_budget"},
	} {
		t.Run(name, func(t *testing.T) {
			clean(t)
			writeFile(t, "litemaas.yaml", "log:\n  level: error\n")
			writeFile(t, "keyset.json", newKeyset(t)+"\n")
			args := []string{"serve", "--set", "database.url=postgres://h/d"}
			for _, set := range tc.set {
				args = append(args, "--set", set)
			}
			status, _, errs := cli(t, args...)
			require.Equal(t, exitUsage, status)
			require.Contains(t, errs, tc.want)
		})
	}
}

// A keyset can be made, and changed without anybody noticing.
func TestKeyset(t *testing.T) {
	clean(t)
	status, first, _ := cli(t, "keyset", "new")
	require.Zero(t, status)
	change := func(verb, text string) string {
		t.Helper()
		cmd := rootCmd()
		var out bytes.Buffer
		cmd.SetArgs([]string{"keyset", verb})
		cmd.SetIn(strings.NewReader(text))
		cmd.SetOut(&out)
		require.NoError(t, cmd.ExecuteContext(context.WithoutCancel(t.Context())))
		return out.String()
	}
	old, err := keyset.Parse(models.SecretOf(first))
	require.NoError(t, err)
	sealed, err := old.Seal([]byte("hush"), nil)
	require.NoError(t, err)
	promoted, err := keyset.Parse(models.SecretOf(change("promote", change("widen", first))))
	require.NoError(t, err)
	plain, err := promoted.Open(sealed, nil)
	require.NoError(t, err)
	require.Equal(t, "hush", string(plain))
	sealed, err = promoted.Seal([]byte("hush"), nil)
	require.NoError(t, err)
	_, err = old.Open(sealed, nil)
	require.Error(t, err)
}

// An operator makes a token of a user, whom it lets in until the operator ends it; he may give a
// role with it, and make an account for who has none.
func TestToken(t *testing.T) {
	clean(t)
	url := storetest.URL(t)
	writeFile(t, "keyset.json", newKeyset(t))
	set := []string{"--set", "database.url=" + url, "--set", "secrets.keyset_file=keyset.json"}
	token := func(args ...string) (int, string, string) {
		return cli(t, append(append([]string{"token"}, args...), set...)...)
	}
	status, _, errs := token("--user", "ada")
	require.Equal(t, exitFailed, status)
	require.Contains(t, errs, "there is no user ada: he signs in first, or gets an account by --role")
	status, _, errs = token("--user", "ada", "--role", "king")
	require.Equal(t, exitFailed, status)
	require.Contains(t, errs, "role king not found")
	status, out, errs := token("--user", "ada", "--role", "user")
	require.Zero(t, status, errs)
	require.Contains(t, errs, "ada with the roles [user], until ")
	require.NotContains(t, errs, strings.TrimSpace(out))
	status, admin, errs := token("--user", "ada", "--role", "admin", "--for", "10m")
	require.Zero(t, status, errs)

	cfg, err := read(t, append(set, "--set", "temporal.address=127.0.0.1:1", "--set", "litellm.url=http://127.0.0.1:1")...)
	require.NoError(t, err)
	p, err := assemble(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(p.close)
	l := listen(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, p, l, false) }()
	me := func(token string) (int, map[string]any) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/api/v1/auth/me", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		var body map[string]any
		require.NoError(t, json.NewDecoder(res.Body).Decode(&body))
		return res.StatusCode, body
	}
	for _, made := range []string{out, admin} {
		status, body := me(made)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, []any{"admin", "user"}, body["roles"], "they are looked up")
	}
	stop()
	require.NoError(t, <-ended)

	minted, _, err := p.store.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 10, Action: models.AuditSessionCreate})
	require.NoError(t, err)
	require.Len(t, minted, 2)
	require.Equal(t, "cli", minted[0].Via)
	for _, wrong := range [][]string{{"--user", "ada", "--for", "25h"}, {"--user", "ada", "--for", "1s"}, {}} {
		status, _, _ := token(wrong...)
		require.Equal(t, exitUsage, status, wrong)
	}
	status, _, errs = cli(t, "token", "--user", "ada", "--set", "database.url="+url)
	require.Equal(t, exitUsage, status)
	require.Contains(t, errs, "secrets.keyset is not set")
}

// A log that nobody touched holds; one that somebody changed does not, and the row is named.
func TestAuditVerify(t *testing.T) {
	clean(t)
	url := storetest.URL(t)
	st, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(url)})
	require.NoError(t, err)
	t.Cleanup(st.Close)
	for range 3 {
		require.NoError(t, st.Audit(t.Context(), operator, models.Event{Action: "TEST", ResourceType: "TEST"}))
	}
	verify := func(args ...string) (int, string, string) {
		return cli(t, append([]string{"audit", "verify", "--set", "database.url=" + url}, args...)...)
	}
	status, out, errs := verify()
	require.Zero(t, status, errs)
	require.Contains(t, out, "3 rows of the audit log hold together")
	_, mark, _ := strings.Cut(strings.TrimSpace(out), "mark ")
	require.Regexp(t, `^3:[0-9a-f]{64}$`, mark)

	require.NoError(t, st.Audit(t.Context(), operator, models.Event{Action: "TEST", ResourceType: "TEST"}))
	status, out, _ = verify("--from", mark)
	require.Zero(t, status)
	require.Contains(t, out, "2 rows")
	db := storetest.SQL(t, url)
	_, err = db.ExecContext(t.Context(), "ALTER TABLE audit DISABLE TRIGGER USER")
	require.NoError(t, err)
	for _, tc := range []struct{ tamper, mend, found, rows string }{
		{"UPDATE audit SET actor = 'nobody' WHERE id = 2", "UPDATE audit SET actor = 'system' WHERE id = 2", "row 2: changed: ", "1 row"},
		{"UPDATE audit SET id = 5 - id WHERE id IN (2, 3)", "UPDATE audit SET id = 5 - id WHERE id IN (2, 3)", "row 2: reordered: ", "3 rows"},
		{"DELETE FROM audit WHERE id = 3", "", "row 3: missing: ", "1 row"},
	} {
		_, err = db.ExecContext(t.Context(), tc.tamper)
		require.NoError(t, err)
		status, out, errs = verify()
		require.Equal(t, exitFailed, status)
		require.Contains(t, out, tc.found)
		require.Contains(t, errs, "the audit log does not hold: see the "+tc.rows+" above")
		if tc.mend != "" {
			_, err = db.ExecContext(t.Context(), tc.mend)
			require.NoError(t, err)
			status, _, errs = verify()
			require.Zero(t, status, errs)
		}
	}
	for _, bad := range []string{"3", "3:ab", "x:" + mark[2:], "0:" + mark[2:]} {
		status, _, _ := verify("--from", bad)
		require.Equal(t, exitUsage, status, bad)
	}
}

// `litemaas doctor` looks at the identity provider too.
func TestDoctorSignIn(t *testing.T) {
	clean(t)
	require.NoError(t, os.WriteFile("keyset.json", []byte(newKeyset(t)), 0o600))
	check := func(set ...string) finding {
		var args []string
		for _, s := range append(set, "secrets.keyset_file=keyset.json") {
			args = append(args, "--set", s)
		}
		cfg, err := read(t, args...)
		require.NoError(t, err)
		return checkSignIn(t.Context(), cfg)[0]
	}
	require.Equal(t, "nobody can: there are only admin keys", check().saw)
	require.NoError(t, check("auth.provider=mock", "environment=development").err)
	require.ErrorContains(t, check("auth.provider=mock").err, "for development only")
	away := check("auth.provider=oidc", "auth.client_id=x", "auth.issuer=http://127.0.0.1:1")
	require.Error(t, away.err)
	require.Contains(t, away.hint, "OAUTH_ISSUER")
}
