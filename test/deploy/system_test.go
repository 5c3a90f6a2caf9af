// Package deploy holds the examples in deploy/ against what they are to work with.
package deploy_test

import (
	"database/sql"
	"log/slog"
	"net/http/httptest"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

const gatewaySecret = "a-secret-of-gateways"

// system is LiteMaaS that gateways may ask, with a key of somebody who is subscribed to gpt-4o.
type system struct {
	url string
	db  *sql.DB
	key models.Key
	sk  string // its plaintext
}

func start(t *testing.T) *system {
	t.Helper()
	address := storetest.URL(t)
	st, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(address), MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(st.Close)
	people, err := api.NewAuth(auth.Config{}, nil, st, storetest.Sealer{})
	require.NoError(t, err)
	var running sync.WaitGroup
	running.Go(func() { people.Run(t.Context()) })
	t.Cleanup(running.Wait)
	verify := api.VerifyConfig{ExtAuthz: true, Prefix: "/ext-authz", Secret: models.SecretOf(gatewaySecret)}
	web := httptest.NewServer((&api.Server{Store: st, Auth: people, Config: api.Config{Verify: verify}}).Handler())
	t.Cleanup(web.Close)

	s := &system{url: web.URL, db: storetest.SQL(t, address)}
	u, err := st.SignIn(t.Context(), models.Identity{Provider: "oidc", Subject: "ada", Username: "ada", Roles: []string{models.RoleUser}}, models.Initials{}, models.Origin{})
	require.NoError(t, err)
	storetest.LLMs(t, st, "gpt-4o", "o3")
	s.key = storetest.Key(t, st, u.ID, nil, "gpt-4o", "o3")
	s.sk = storetest.Secret(t, s.key).Reveal()
	s.exec(t, `INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, reset_at)
		VALUES (gen_random_uuid(), $1, 'gpt-4o', 'active', 'test', now() + interval '1 hour')`, u.ID)
	return s
}

func (s *system) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := s.db.ExecContext(t.Context(), sql, args...)
	require.NoError(t, err)
}
