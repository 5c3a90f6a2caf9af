// Package replicas runs servers of one system beside each other, and looks whether they agree.
package replicas_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/api/auth/redissessions"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// The replicas answer thousands of requests; a line for each would hide what failed.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// A session that one replica revokes is refused by both within a second, though both knew it
// by heart.
func TestRevocationIsHeardEverywhere(t *testing.T) {
	t.Run("sessions in Postgres", func(t *testing.T) { heardEverywhere(t, start(t, storetest.URL(t), inPostgres)) })
	t.Run("sessions in Redis", func(t *testing.T) { heardEverywhere(t, start(t, storetest.URL(t), inRedis(t))) })
}

func heardEverywhere(t *testing.T, s *system) {
	t.Helper()
	took := make([]time.Duration, 100)
	for i := range took {
		took[i] = s.revoke(t, i%2)
	}
	slices.Sort(took)
	worst := took[len(took)-1]
	t.Logf("from asking for a revocation until both replicas refuse, %d tries: median %s, worst %s", len(took), took[len(took)/2], worst)
	require.Less(t, worst, time.Second)
}

// It is so, too, when one of them hears nothing any more, and has not noticed yet.
func TestRevocationIsHeededByTheDeaf(t *testing.T) {
	t.Run("sessions in Postgres", func(t *testing.T) { heededByTheDeaf(t, inPostgres) })
	t.Run("sessions in Redis", func(t *testing.T) { heededByTheDeaf(t, inRedis(t)) })
}

func heededByTheDeaf(t *testing.T, kept func(*store.Store) api.People) {
	t.Helper()
	w := tap(t, storetest.URL(t))
	s := start(t, w.url, kept)
	var worst time.Duration
	for range 3 {
		for range 2 { // replicas
			<-w.hears
		}
		s.deafen = w.deafen
		worst = max(worst, s.revoke(t, 0))
	}
	t.Logf("from asking for a revocation until two deaf replicas refuse, 3 tries: worst %s", worst)
	require.Less(t, worst, time.Second)
}

// system is two replicas on one database.
type system struct {
	replicas [2]string // where they serve
	flow     *auth.Flow
	user     models.User
	deafen   func() // nil: both go on to hear
}

// inPostgres keeps sessions where all else is.
func inPostgres(st *store.Store) api.People { return st }

// inRedis keeps sessions in a Redis that the replicas share.
func inRedis(t *testing.T) func(*store.Store) api.People {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr(), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	return func(st *store.Store) api.People { return redissessions.New(st, client) }
}

func start(t *testing.T, database string, kept func(*store.Store) api.People) *system {
	t.Helper()
	var s system
	var running sync.WaitGroup
	for i := range s.replicas {
		st, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(database), MaxConns: 4})
		require.NoError(t, err)
		t.Cleanup(st.Close)
		people, err := api.NewAuth(auth.Config{}, nil, kept(st), open{})
		require.NoError(t, err)
		running.Go(func() { people.Run(t.Context()) })
		t.Cleanup(running.Wait)
		web := httptest.NewServer((&api.Server{Store: st, Auth: people, Config: api.Config{Verify: gateways}}).Handler())
		t.Cleanup(web.Close)
		s.replicas[i], s.flow = web.URL, people.Flow
		if i == 0 {
			s.user, err = st.SignIn(t.Context(), models.Identity{Provider: "oidc", Subject: "ada", Username: "ada"}, models.Initials{}, models.Origin{})
			require.NoError(t, err)
		}
	}
	return &s
}

// open seals nothing.
type open struct{}

func (open) Seal(plain, _ []byte) ([]byte, error)  { return plain, nil }
func (open) Open(sealed, _ []byte) ([]byte, error) { return sealed, nil }

// revoke lets the user in, shows him to both replicas, and revokes his session at one of them.
// It returns how long it takes from then until both have refused him.
func (s *system) revoke(t *testing.T, at int) time.Duration {
	t.Helper()
	g, err := s.flow.Mint(t.Context(), s.user, time.Hour)
	require.NoError(t, err)
	for range 2 { // once to learn it, once to know it
		for _, replica := range s.replicas {
			require.Equal(t, http.StatusOK, s.call(t, http.MethodGet, replica+"/api/v1/auth/me", g))
		}
	}
	if s.deafen != nil {
		s.deafen()
	}
	begun := time.Now()
	require.Equal(t, http.StatusOK, s.call(t, http.MethodDelete, s.replicas[at]+"/api/auth/sessions/"+g.Principal.SessionID.String(), g))
	var refused sync.WaitGroup
	for _, replica := range s.replicas {
		refused.Go(func() {
			for status := http.StatusOK; status == http.StatusOK && time.Since(begun) < time.Minute; {
				status = s.call(t, http.MethodGet, replica+"/api/v1/auth/me", g)
			}
		})
	}
	refused.Wait()
	took := time.Since(begun)
	for _, replica := range s.replicas {
		require.Equal(t, http.StatusUnauthorized, s.call(t, http.MethodGet, replica+"/api/v1/auth/me", g), "refused for good")
	}
	return took
}

// call sends a request with a token and returns the status of the answer.
func (s *system) call(t *testing.T, method, url string, g auth.Grant) int {
	t.Helper()
	return send(t, method, url, g.Access)
}

func send(t *testing.T, method, url string, bearer models.Secret) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+bearer.Reveal())
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	_, err = io.Copy(io.Discard, res.Body)
	require.NoError(t, err)
	return res.StatusCode
}
