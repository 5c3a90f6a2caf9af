// Package devstack runs what LiteMaaS needs on a machine that has none of it: a Postgres, a
// Temporal server and a LiteLLM, for `litemaas dev` and for the tests.
//
// Servers are children in a process group of their own, so a terminal's Ctrl-C reaches only
// us, and we stop them in order. A parent that is killed takes them along where the system can
// do that (Linux), and elsewhere the next start on the same directory stops them.
package devstack

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/litemaas/litemaas/models"
)

// Dir is the directory of one stack. While it is open nobody else can open it.
type Dir struct {
	path string
	lock *os.File
}

// files is everything that a stack puts into its directory. Nothing else is ever removed.
var files = []string{
	"postgres", "postgres.new", "postgres.new.password", "postgres.log",
	"temporal.db", "temporal.db-shm", "temporal.db-wal", "temporal.log", "temporal.pid",
	"litellm.json", "litemaas.log", "admin-key", "keyset.json",
}

// Open makes the directory if need be and takes it. It is a Conflict when another process
// holds it.
func Open(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, models.Wrap(models.Invalid, err, "the data directory %s cannot be used", path)
	}
	if err := makeDir(path); err != nil {
		return nil, models.Wrap(models.Invalid, err, "the data directory cannot be made: choose another with --data-dir")
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, models.Wrap(models.Invalid, err, "the data directory cannot be used")
	}
	lock, holder, err := tryLock(filepath.Join(path, "lock"))
	if err != nil {
		return nil, models.Wrap(models.Invalid, err, "the data directory %s cannot be used: choose another with --data-dir", path)
	}
	if lock == nil {
		return nil, models.Errorf(models.Conflict, "%s is in use by process %s: stop that, or choose another directory with --data-dir", path, holder)
	}
	return &Dir{path, lock}, nil
}

// makeDir makes a directory that an unprivileged Postgres of root's may pass through. One that
// was there before is left as it is.
func makeDir(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // as mkdir -p does; nothing secret in them
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	return os.Chmod(path, 0o711) //nolint:gosec // to pass through; each secret in it has its own mode
}

// Path is the absolute path of the directory.
func (d *Dir) Path() string { return d.path }

// File is the path of a file in the directory.
func (d *Dir) File(name string) string { return filepath.Join(d.path, name) }

// Close gives the directory back. What runs in it must be stopped first. What root made in a
// user's directory becomes the user's, who could not go on with it otherwise.
func (d *Dir) Close() error {
	if os.Geteuid() == 0 {
		d.giveBack()
	}
	return d.lock.Close()
}

func (d *Dir) giveBack() {
	info, err := os.Stat(d.path)
	if err != nil {
		return
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return
	}
	for _, name := range append([]string{"lock"}, files...) {
		if name != "postgres" { // is its own user's
			_ = os.Lchown(d.File(name), int(st.Uid), int(st.Gid)) // most are not there
		}
	}
}

// StopLeftovers stops the servers that a killed process left behind, and reports whether there
// were any.
func (d *Dir) StopLeftovers() bool {
	found := stopLeftover(d.File("temporal.pid"), stopTemporal)
	for _, place := range d.clusters() {
		found = stopLeftover(filepath.Join(place, "postmaster.pid"), stopPostgres) || found
	}
	return found
}

// Reset forgets everything but the files to keep. Leftovers must be stopped first.
func (d *Dir) Reset(keep ...string) error {
	for _, place := range d.clusters() {
		if err := os.RemoveAll(place); err != nil {
			return models.Wrap(models.Invalid, err, "the old data cannot be removed")
		}
	}
	for _, name := range files {
		if slices.Contains(keep, name) {
			continue
		}
		if err := os.RemoveAll(d.File(name)); err != nil {
			return models.Wrap(models.Invalid, err, "the old data cannot be removed")
		}
	}
	return nil
}

// Secret returns the secret kept in a file of the directory. The first time it is prefix and
// 192 random bits.
func (d *Dir) Secret(name, prefix string) (models.Secret, error) {
	raw, err := os.ReadFile(d.File(name))
	if text := strings.TrimSpace(string(raw)); text != "" {
		return models.SecretOf(text), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return models.Secret{}, models.Wrap(models.Invalid, err, "%s cannot be read", name)
	}
	text := prefix + random(24)
	if err := os.WriteFile(d.File(name), []byte(text+"\n"), 0o600); err != nil {
		return models.Secret{}, models.Wrap(models.Invalid, err, "%s cannot be kept", name)
	}
	return models.SecretOf(text), nil
}

// random is n random bytes as text.
func random(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // never fails
	return hex.EncodeToString(raw)
}

// tempPattern is how the directories of throw-away stacks are called.
const tempPattern = "litemaas-testenv-"

// OpenTemp makes and takes a directory for a stack that nobody needs afterwards; Remove ends
// it. It also removes those of killed processes.
func OpenTemp() (*Dir, error) {
	sweep()
	path, err := os.MkdirTemp("", "litemaas-new-")
	if err != nil {
		return nil, models.Wrap(models.Invalid, err, "no place for temporary data")
	}
	if os.Geteuid() == 0 {
		if err := os.Chmod(path, 0o711); err != nil { //nolint:gosec // see makeDir
			return nil, models.Wrap(models.Invalid, err, "no place for temporary data")
		}
	}
	d, err := Open(path)
	if err != nil {
		return nil, err
	}
	// Under its final name only once it is locked, or a sweep could take it for abandoned.
	final := filepath.Join(filepath.Dir(d.path), tempPattern+random(6))
	if err := os.Rename(d.path, final); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	d.path = final
	return d, nil
}

// Remove removes a directory of OpenTemp with all that is in it.
func (d *Dir) Remove() error {
	err := d.Reset()
	return errors.Join(err, os.RemoveAll(d.path), d.Close())
}

// sweep removes the temporary directories of processes that did not live to do it.
func sweep() {
	old, _ := filepath.Glob(filepath.Join(os.TempDir(), tempPattern+"*")) // errs only on a bad pattern
	for _, path := range old {
		d, err := Open(path)
		if err != nil {
			continue // in use, or another user's
		}
		d.StopLeftovers()
		_ = d.Remove()
	}
}

// tryLock locks a file until it is closed. When somebody else has it locked, the file is nil
// and holder is his process ID.
func tryLock(path string) (file *os.File, holder string, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, "", err
	}
	locked, err := flock(f)
	if err != nil || !locked {
		raw, _ := os.ReadFile(path)
		return nil, strings.TrimSpace(string(raw)), errors.Join(err, f.Close())
	}
	return f, "", writePID(f)
}

// waitLock is tryLock with patience.
func waitLock(ctx context.Context, path string) (*os.File, error) {
	for {
		f, _, err := tryLock(path)
		if f != nil || err != nil {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
