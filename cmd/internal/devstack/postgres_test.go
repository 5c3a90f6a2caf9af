package devstack

import (
	"bufio"
	"database/sql"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

func startPostgres(t *testing.T, d *Dir, port int) *Postgres {
	t.Helper()
	programs, err := d.FindPostgres(t.Context(), NewProgress(os.Stderr))
	require.NoError(t, err)
	p, err := d.StartPostgres(t.Context(), programs, PostgresOptions{Port: port})
	require.NoError(t, err)
	t.Cleanup(p.Stop)
	return p
}

func connect(t *testing.T, address string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func remember(t *testing.T, p *Postgres) {
	t.Helper()
	_, err := connect(t, p.URL).ExecContext(t.Context(), "CREATE TABLE memory AS SELECT 'é'::text AS word")
	require.NoError(t, err)
}

func requireMemory(t *testing.T, p *Postgres) {
	t.Helper()
	var word string
	require.NoError(t, connect(t, p.URL).QueryRowContext(t.Context(), "SELECT upper(word) FROM memory").Scan(&word))
	require.Equal(t, "É", word)
}

// A server that is stopped and started again, also at another port, has its data still; it
// lets nobody in without the password.
func TestPostgresKeepsItsData(t *testing.T) {
	d := newDir(t)
	first := startPostgres(t, d, freePort(t))
	remember(t, first)
	first.Stop()
	<-first.Exited()

	second := startPostgres(t, d, freePort(t))
	requireMemory(t, second)
	stranger, err := url.Parse(second.URL)
	require.NoError(t, err)
	stranger.User = url.UserPassword("litemaas", "guess")
	require.ErrorContains(t, connect(t, stranger.String()).PingContext(t.Context()), "password authentication failed")
}

// A server that still runs although its parent is gone is stopped, and its port is free again.
func TestPostgresIsTakenOver(t *testing.T) {
	d := newDir(t)
	port := freePort(t)
	lost := startPostgres(t, d, port)
	remember(t, lost)
	require.Error(t, CheckPorts(Port{Number: port}))

	require.True(t, d.StopLeftovers())
	<-lost.Exited()
	require.NoError(t, CheckPorts(Port{Number: port}))
	require.False(t, d.StopLeftovers())
	requireMemory(t, startPostgres(t, d, port))
}

// After a kill -9 of the parent nothing is in the way of the next start.
func TestPostgresAfterKill(t *testing.T) {
	d := newDir(t)
	port := freePort(t)
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, d.Close())
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), "DEVSTACK_PARENT="+d.Path(), "DEVSTACK_PORT="+strconv.Itoa(port))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)

	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())

	again, err := Open(d.Path())
	require.NoError(t, err)
	d.lock = again.lock
	d.StopLeftovers()
	require.NoError(t, CheckPorts(Port{Number: port}))
	startPostgres(t, d, port)
}

// A stale note of a process ID that is another's by now harms nobody.
func TestLeftoverThatIsAnother(t *testing.T) {
	d := newDir(t)
	note := strconv.Itoa(os.Getppid()) + "\n" + d.Path() + "\n"
	require.NoError(t, os.WriteFile(d.File("temporal.pid"), []byte(note), 0o600))
	require.False(t, d.StopLeftovers())
	require.NoFileExists(t, d.File("temporal.pid"))
}

// Where Postgres's user cannot enter the directory, as in root's home, the data is elsewhere,
// and a reset finds it there.
func TestPostgresInAPrivateDirectory(t *testing.T) {
	private := filepath.Join(t.TempDir(), "private")
	require.NoError(t, os.Mkdir(private, 0o700))
	d, err := Open(filepath.Join(private, ".dev"))
	require.NoError(t, err)
	p := startPostgres(t, d, freePort(t))
	remember(t, p)
	p.Stop()
	p = startPostgres(t, d, freePort(t))
	requireMemory(t, p)
	p.Stop()

	require.NoError(t, d.Reset())
	require.NoDirExists(t, p.Place)
	require.NoFileExists(t, d.File("postgres"))
	require.NoError(t, d.Close())
}

// A server that cannot start says why, in its own words.
func TestPostgresThatEnds(t *testing.T) {
	d, other := newDir(t), newDir(t)
	port := freePort(t)
	startPostgres(t, other, port)
	programs, err := d.FindPostgres(t.Context(), NewProgress(os.Stderr))
	require.NoError(t, err)
	_, err = d.StartPostgres(t.Context(), programs, PostgresOptions{Port: port})
	require.Equal(t, models.Unavailable, models.KindOf(err))
}

// Data is opened by programs of the version that wrote it, never by newer ones.
func TestNewest(t *testing.T) {
	as, err := unprivileged()
	require.NoError(t, err)
	root, err := os.MkdirTemp("", "litemaas-programs-") //nolint:usetesting // t.TempDir is closed to other users
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(root)) })
	require.NoError(t, os.Chmod(root, 0o755))
	var dirs []string
	for _, version := range []string{"9.6.24", "15.13 (Debian 15.13-0+deb12u1)", "17.5", "18beta1", ""} {
		dir := filepath.Join(root, strconv.Itoa(len(dirs)))
		require.NoError(t, os.Mkdir(dir, 0o755))
		dirs = append(dirs, dir)
		for _, name := range []string{"initdb", "postgres"} {
			script := "#!/bin/sh\necho '" + name + " (PostgreSQL) " + version + "'\n"
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
		}
	}
	for wanted, version := range map[int]string{0: "18beta1", 17: "17.5", 15: "15.13"} {
		best, ok := newest(t.Context(), dirs, wanted, as)
		require.True(t, ok)
		require.Equal(t, version, best.Version)
	}
	_, ok := newest(t.Context(), dirs, 9, as)
	require.False(t, ok)
}
