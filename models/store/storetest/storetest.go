// Package storetest gives a test its own migrated database.
package storetest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"sync"
	"testing"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/migrations"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// New returns a store on a fresh database, dropped when the test ends.
func New(tb testing.TB) *store.Store {
	tb.Helper()
	s, err := store.Open(context.Background(), store.Config{URL: models.SecretOf(URL(tb)), MaxConns: 8})
	require.NoError(tb, err)
	tb.Cleanup(s.Close)
	return s
}

// URL returns the address of a fresh migrated database, dropped when the test ends. A test
// never skips for want of a server: `make test` starts one.
func URL(tb testing.TB) string {
	tb.Helper()
	base := os.Getenv("TEST_DATABASE_URL")
	if base == "" {
		tb.Fatal("TEST_DATABASE_URL is not set: run the tests through `make test`, or `go run ./cmd/testenv -- go test ./...`")
	}
	admin, err := sql.Open("pgx", base)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = admin.Close() })
	template := template(tb, admin, base)
	name := "test_" + uuid.NewString()
	exec(tb, admin, fmt.Sprintf("CREATE DATABASE %q TEMPLATE %q", name, template))
	tb.Cleanup(func() { exec(tb, admin, fmt.Sprintf("DROP DATABASE %q WITH (FORCE)", name)) })
	return address(tb, base, name)
}

// SQL returns a plain connection to the database at url, for what the store does not offer.
func SQL(tb testing.TB, url string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("pgx", url)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

var templateOnce sync.Mutex

// template returns the name of a migrated database to clone: migrating takes 100 times as
// long as cloning. Its name holds a hash of the migrations, so a changed file makes a new one.
func template(tb testing.TB, admin *sql.DB, base string) string {
	tb.Helper()
	templateOnce.Lock()
	defer templateOnce.Unlock()
	name := "template_" + hash(tb)
	conn, err := admin.Conn(context.Background())
	require.NoError(tb, err)
	defer conn.Close()
	// Test binaries of several packages run at once.
	_, err = conn.ExecContext(context.Background(), "SELECT pg_advisory_lock(7417)")
	require.NoError(tb, err)
	defer func() { _, _ = conn.ExecContext(context.Background(), "SELECT pg_advisory_unlock(7417)") }()
	var there bool
	require.NoError(tb, admin.QueryRow("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there))
	if there {
		return name
	}
	raw := name + "_raw" // renamed when migrated, so that a half-made one is never cloned
	exec(tb, admin, fmt.Sprintf("DROP DATABASE IF EXISTS %q WITH (FORCE)", raw))
	exec(tb, admin, fmt.Sprintf("CREATE DATABASE %q", raw))
	db, err := sql.Open("pgx", address(tb, base, raw))
	require.NoError(tb, err)
	_, err = migrations.Up(context.Background(), db)
	require.NoError(tb, err)
	require.NoError(tb, db.Close())
	exec(tb, admin, fmt.Sprintf("ALTER DATABASE %q RENAME TO %q", raw, name))
	return name
}

func hash(tb testing.TB) string {
	tb.Helper()
	h := sha256.New()
	files, err := fs.Glob(migrations.FS, "*.sql")
	require.NoError(tb, err)
	for _, f := range files {
		raw, err := migrations.FS.ReadFile(f)
		require.NoError(tb, err)
		h.Write(raw)
	}
	return fmt.Sprintf("%x", h.Sum(nil))[:16]
}

func address(tb testing.TB, base, database string) string {
	tb.Helper()
	u, err := url.Parse(base)
	require.NoError(tb, err)
	u.Path = "/" + database
	return u.String()
}

func exec(tb testing.TB, db *sql.DB, q string) {
	tb.Helper()
	_, err := db.Exec(q)
	require.NoError(tb, err)
}
