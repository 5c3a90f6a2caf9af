package postgrestest_test

import (
	"database/sql"
	"net"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/cmd/postgrestest"
)

// What was committed is there after a kill; what was not is not. A commit is written to the disk
// before it is answered.
func TestKilledServerKeepsWhatWasCommitted(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	s := postgrestest.Start(t, port)
	db, err := sql.Open("pgx", s.URL)
	require.NoError(t, err)
	defer db.Close()
	for _, setting := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		var is string
		require.NoError(t, db.QueryRowContext(t.Context(), "SHOW "+setting).Scan(&is))
		require.Equal(t, "on", is, setting)
	}
	_, err = db.ExecContext(t.Context(), "CREATE TABLE memory AS SELECT 1 AS n")
	require.NoError(t, err)
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO memory VALUES (2)")
	require.NoError(t, err)

	s.Kill()
	s.Restart(t)
	require.Error(t, tx.Commit())
	var sum int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT sum(n) FROM memory").Scan(&sum))
	require.Equal(t, 1, sum)
}
