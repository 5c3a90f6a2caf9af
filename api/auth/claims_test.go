package auth_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
)

// Providers say who somebody is in several ways.
func TestIdentity(t *testing.T) {
	for name, tc := range map[string]struct {
		claims, info string // of the ID token, and of userinfo
		claim        string // of the groups
		want         models.Identity
	}{
		"everything": {
			`{"sub":"1","preferred_username":"ada","email":"ada@example.com","email_verified":true,"name":"Ada A","groups":["litemaas-admins"]}`, `{}`, "",
			models.Identity{Username: "ada", Email: "ada@example.com", EmailVerified: true, FullName: "Ada A", Roles: []string{"admin", "user"}},
		},
		"nothing but a subject":     {`{"sub":"1"}`, `{}`, "", models.Identity{Username: "1", Roles: []string{"user"}}},
		"an address for a name":     {`{"sub":"1","email":"a@b.c"}`, `{}`, "", models.Identity{Username: "a@b.c", Email: "a@b.c", Roles: []string{"user"}}},
		"verified as a text":        {`{"sub":"1","email":"a@b.c","email_verified":"true"}`, `{}`, "", models.Identity{Username: "a@b.c", Email: "a@b.c", EmailVerified: true, Roles: []string{"user"}}},
		"not verified as a text":    {`{"sub":"1","email":"a@b.c","email_verified":"false"}`, `{}`, "", models.Identity{Username: "a@b.c", Email: "a@b.c", Roles: []string{"user"}}},
		"a name in two parts":       {`{"sub":"1","given_name":"Ada","family_name":"A"}`, `{}`, "", models.Identity{Username: "1", FullName: "Ada A", Roles: []string{"user"}}},
		"groups of userinfo":        {`{"sub":"1"}`, `{"sub":"1","groups":["/viewers","x"]}`, "", models.Identity{Username: "1", Roles: []string{"admin-readonly", "user"}}},
		"newer groups of userinfo":  {`{"sub":"1","groups":["administrators"]}`, `{"sub":"1","groups":[]}`, "", models.Identity{Username: "1", Roles: []string{"user"}}},
		"one group":                 {`{"sub":"1","groups":"administrators"}`, `{}`, "", models.Identity{Username: "1", Roles: []string{"admin", "user"}}},
		"groups that are none":      {`{"sub":"1","groups":[1,{"a":"administrators"},null]}`, `{}`, "", models.Identity{Username: "1", Roles: []string{"user"}}},
		"another claim":             {`{"sub":"1","roles":["administrators"],"groups":["viewers"]}`, `{}`, "roles", models.Identity{Username: "1", Roles: []string{"admin", "user"}}},
		"a claim within":            {`{"sub":"1","realm_access":{"roles":["administrators"]}}`, `{}`, "realm_access.roles", models.Identity{Username: "1", Roles: []string{"admin", "user"}}},
		"a claim with a dot":        {`{"sub":"1","https://x.y/groups":["administrators"]}`, `{}`, "https://x.y/groups", models.Identity{Username: "1", Roles: []string{"admin", "user"}}},
		"a claim that is not there": {`{"sub":"1","a":"b"}`, `{}`, "a.b.c", models.Identity{Username: "1", Roles: []string{"user"}}},
		"verified is another address": {
			`{"sub":"1","email":"a@b.c","email_verified":true}`, `{"sub":"1","email":"x@y.z"}`, "", models.Identity{Username: "x@y.z", Email: "x@y.z", Roles: []string{"user"}},
		},
		"verified is the same address": {
			`{"sub":"1","email":"a@b.c","email_verified":true}`, `{"sub":"1","email":"a@b.c"}`, "",
			models.Identity{Username: "a@b.c", Email: "a@b.c", EmailVerified: true, Roles: []string{"user"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var claims, info map[string]any
			require.NoError(t, json.Unmarshal([]byte(tc.claims), &claims))
			require.NoError(t, json.Unmarshal([]byte(tc.info), &info))
			tc.want.Provider, tc.want.Subject = auth.ProviderOIDC, "1"
			require.Equal(t, tc.want, auth.IdentityOf(auth.Config{GroupsClaim: tc.claim}, claims, info))
		})
	}
}

// What a provider gave cannot be printed or logged.
func TestProviderTokensStaySecret(t *testing.T) {
	tokens := auth.ProviderTokens{Subject: "hush", ID: "hush", Access: "hush", Refresh: "hush"}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "tokens", tokens)
	for _, s := range []string{fmt.Sprint(tokens), fmt.Sprintf("%v %+v %#v %s", tokens, tokens, tokens, tokens), log.String()} {
		require.NotContains(t, s, "hush")
	}
}
