package migrations_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"testing"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/migrations"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// empty returns an empty database and its address, dropped when the test ends.
func empty(t *testing.T) (*sql.DB, string) {
	t.Helper()
	base := os.Getenv("TEST_DATABASE_URL")
	require.NotEmpty(t, base, "TEST_DATABASE_URL is not set: run the tests through `make test`")
	admin, err := sql.Open("pgx", base)
	require.NoError(t, err)
	t.Cleanup(func() { _ = admin.Close() })
	name := "test_" + uuid.NewString()
	_, err = admin.Exec(fmt.Sprintf("CREATE DATABASE %q", name))
	require.NoError(t, err)
	u, err := url.Parse(base)
	require.NoError(t, err)
	u.Path = "/" + name
	query := u.Query()
	query.Set("timezone", "Europe/Berlin") // months are those of UTC all the same
	u.RawQuery = query.Encode()
	db, err := sql.Open("pgx", u.String())
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = db.Close()
		_, err := admin.Exec(fmt.Sprintf("DROP DATABASE %q WITH (FORCE)", name))
		require.NoError(t, err)
	})
	return db, u.String()
}

// The log that was there becomes the beginning of the chain, in its order, and comes back out
// of it; all of the schema can be taken back and made again.
func TestAuditChainTakesTheOldLogOver(t *testing.T) {
	db, address := empty(t)
	p, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS)
	require.NoError(t, err)
	_, err = p.UpTo(t.Context(), 8)
	require.NoError(t, err)
	_, err = db.Exec(`INSERT INTO audit (at, actor, via, action, resource_type, resource_id, detail)
		SELECT now() - make_interval(months => 3) + make_interval(hours => CASE n WHEN 5 THEN 0 ELSE n END), 'ada', 'test', 'OLD', 'TEST', n::text, '{"n": 1}'
		FROM generate_series(1, 10) n`)
	require.NoError(t, err)
	_, err = p.Up(t.Context())
	require.NoError(t, err)

	s, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(address), MaxConns: 2})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	report, err := s.VerifyAudit(t.Context(), models.AuditMark{})
	require.NoError(t, err)
	require.Empty(t, report.Breaks)
	require.Equal(t, 10, report.Rows)
	var order string
	require.NoError(t, db.QueryRow("SELECT string_agg(resource_id, ',' ORDER BY id) FROM audit").Scan(&order))
	require.Equal(t, "1,2,3,4,5,6,7,8,9,10", order)
	var stray, parts int
	require.NoError(t, db.QueryRow("SELECT (SELECT count(*) FROM audit_default), (SELECT count(*) FROM audit_partitions)").Scan(&stray, &parts))
	require.Zero(t, stray)
	require.Equal(t, 6, parts, "from the oldest row's month to two months ahead")

	_, err = p.DownTo(t.Context(), 8)
	require.NoError(t, err)
	require.NoError(t, db.QueryRow("SELECT string_agg(resource_id, ',' ORDER BY id) FROM audit").Scan(&order))
	require.Equal(t, "1,2,3,4,5,6,7,8,9,10", order)
	_, err = db.Exec("INSERT INTO audit (actor, via, action, resource_type, resource_id, detail) VALUES ('a', 'b', 'c', 'd', 'e', '{}')")
	require.NoError(t, err, "as the version before writes it")
	_, err = p.DownTo(t.Context(), 0)
	require.NoError(t, err)
	applied, err := migrations.Up(t.Context(), db)
	require.NoError(t, err)
	require.NotEmpty(t, applied)
}
