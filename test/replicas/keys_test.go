package replicas_test

import (
	"database/sql"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// gateways on this machine may ask the replicas.
var gateways = api.VerifyConfig{ExtAuthz: true, Prefix: "/ext-authz", Gateways: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

// A key that is revoked is refused by both replicas within a second, though both knew it by heart.
func TestKeyRevocationIsHeardEverywhere(t *testing.T) {
	url := storetest.URL(t)
	s := start(t, url, inPostgres)
	k := newKeys(t, s, url)
	took := make([]time.Duration, 100)
	for i := range took {
		took[i] = k.revoke(t)
	}
	slices.Sort(took)
	worst := took[len(took)-1]
	t.Logf("from the revocation of a key until both replicas refuse it, %d tries: median %s, worst %s", len(took), took[len(took)/2], worst)
	require.Less(t, worst, time.Second)
}

// It is so, too, when one of them hears nothing any more, and has not noticed yet.
func TestKeyRevocationIsHeededByTheDeaf(t *testing.T) {
	url := storetest.URL(t)
	w := tap(t, url)
	s := start(t, w.url, inPostgres)
	k := newKeys(t, s, url)
	var worst time.Duration
	for range 3 {
		for range 2 { // replicas
			<-w.hears
		}
		s.deafen = w.deafen
		worst = max(worst, k.revoke(t))
	}
	t.Logf("from the revocation of a key until two deaf replicas refuse it, 3 tries: worst %s", worst)
	require.Less(t, worst, time.Second)
}

// keys makes keys of the user of a system, and revokes them.
type keys struct {
	*system
	st *store.Store
	db *sql.DB
}

// newKeys lets the user call gpt.
func newKeys(t *testing.T, s *system, database string) keys {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(database), MaxConns: 2})
	require.NoError(t, err)
	t.Cleanup(st.Close)
	k := keys{s, st, storetest.SQL(t, database)}
	storetest.LLMs(t, st, "gpt")
	k.exec(t, "INSERT INTO user_roles (user_id, role_id, source, granted_by) VALUES ($1, 'user', 'manual', 'test')", s.user.ID)
	k.exec(t, `INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, reset_at)
		VALUES (gen_random_uuid(), $1, 'gpt', 'active', 'test', now() + interval '1 hour')`, s.user.ID)
	return k
}

func (k keys) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := k.db.ExecContext(t.Context(), sql, args...)
	require.NoError(t, err)
}

// revoke makes a key, shows it to both replicas, and revokes it. It returns how long it takes
// from then until both have refused it.
func (k keys) revoke(t *testing.T) time.Duration {
	t.Helper()
	key := storetest.Key(t, k.st, k.user.ID, nil, "gpt")
	secret := storetest.Secret(t, key)
	for range 2 { // once to learn it, once to know it
		for _, replica := range k.replicas {
			require.Equal(t, http.StatusOK, send(t, http.MethodGet, replica+"/ext-authz/v1/models", secret))
		}
	}
	if k.deafen != nil {
		k.deafen()
	}
	begun := time.Now()
	k.exec(t, "UPDATE api_keys SET revoked_at = now(), generation = generation + 1 WHERE id = $1", key.ID)
	var refused sync.WaitGroup
	for _, replica := range k.replicas {
		refused.Go(func() {
			for status := http.StatusOK; status == http.StatusOK && time.Since(begun) < time.Minute; {
				status = send(t, http.MethodGet, replica+"/ext-authz/v1/models", secret)
			}
		})
	}
	refused.Wait()
	took := time.Since(begun)
	for _, replica := range k.replicas {
		require.Equal(t, http.StatusUnauthorized, send(t, http.MethodGet, replica+"/ext-authz/v1/models", secret), "refused for good")
	}
	return took
}
