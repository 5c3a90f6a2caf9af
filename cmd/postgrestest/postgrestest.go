// Package postgrestest gives a test a Postgres server of its own, which it may kill. Where a
// database will do, see storetest.
package postgrestest

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/cmd/internal/devstack"
)

// Server is a Postgres that keeps what is committed, as one in production does.
type Server struct {
	URL string // of an empty database; it stays the same

	dir      *devstack.Dir
	programs devstack.PostgresPrograms
	options  devstack.PostgresOptions
	running  *devstack.Postgres
}

// patience bounds how long a killed server may take to be let go of, and to recover.
const patience = 30 * time.Second

// Start starts a server on a port of 127.0.0.1. It is gone with its data when the test ends.
func Start(tb testing.TB, port int) *Server {
	tb.Helper()
	dir, err := devstack.OpenTemp()
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, dir.Remove()) })
	programs, err := dir.FindPostgres(tb.Context(), devstack.NewProgress(os.Stderr))
	require.NoError(tb, err)
	s := &Server{dir: dir, programs: programs, options: devstack.PostgresOptions{Port: port}}
	s.Restart(tb)
	tb.Cleanup(func() { s.running.Stop() })
	s.URL = s.running.URL
	return s
}

// Kill ends the server as kill -9 does. Its other processes end by themselves when they notice.
func (s *Server) Kill() { s.running.Kill() }

// Restart starts a killed server on the same data, and returns when it has recovered and answers.
// As long as a process of the old one has not noticed, Postgres refuses to start.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		p, err := s.dir.StartPostgres(tb.Context(), s.programs, s.options)
		if err == nil {
			s.running = p
			return
		}
		require.True(tb, time.Now().Before(end), "Postgres does not start: %s", err)
	}
}
