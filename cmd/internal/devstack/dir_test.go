package devstack

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// A directory belongs to one process at a time, and the second is told which.
func TestOpenTakesTheDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", ".dev")
	d, err := Open(path)
	require.NoError(t, err)

	_, err = Open(path)
	require.Equal(t, models.Conflict, models.KindOf(err))
	require.ErrorContains(t, err, "process "+strconv.Itoa(os.Getpid()))
	require.ErrorContains(t, err, "--data-dir")

	require.NoError(t, d.Close())
	again, err := Open(path)
	require.NoError(t, err)
	require.NoError(t, again.Close())
}

// A secret is drawn once, and is nobody else's to read.
func TestSecret(t *testing.T) {
	d := newDir(t)
	first, err := d.Secret("admin-key", "ltm_admin_")
	require.NoError(t, err)
	require.Regexp(t, "^ltm_admin_[0-9a-f]{48}$", first.Reveal())
	info, err := os.Stat(d.File("admin-key"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	second, err := d.Secret("admin-key", "ltm_admin_")
	require.NoError(t, err)
	require.Equal(t, first, second)
}

// A reset removes what a stack made, and nothing else.
func TestReset(t *testing.T) {
	d := newDir(t)
	for _, name := range []string{"temporal.db", "admin-key", "mine.txt"} {
		require.NoError(t, os.WriteFile(d.File(name), nil, 0o600))
	}
	require.NoError(t, d.Reset())
	require.NoFileExists(t, d.File("temporal.db"))
	require.NoFileExists(t, d.File("admin-key"))
	require.FileExists(t, d.File("mine.txt"))
}

// A temporary directory that nobody holds any more goes when the next one is made.
func TestOpenTempSweeps(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dead, held := newDirIn(t), newDirIn(t)
	require.NoError(t, dead.Close())
	next := newDirIn(t)
	require.NoDirExists(t, dead.Path())
	require.DirExists(t, held.Path())
	require.DirExists(t, next.Path())
}

func newDirIn(t *testing.T) *Dir {
	t.Helper()
	d, err := OpenTemp()
	require.NoError(t, err)
	return d
}
