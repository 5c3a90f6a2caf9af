package devstack

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"

	"github.com/litemaas/litemaas/models"
)

// unprivileged is the user that Postgres runs as for us: nobody when we are root, whom Postgres
// refuses to serve, else nil, which is we.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil // a Credential of nil changes nothing
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return nil, models.Wrap(models.Invalid, err, "Postgres does not run as root, and there is no user nobody to run it as: run this as an ordinary user, or set DATABASE_URL")
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	gid, gerr := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err, gerr); err != nil {
		return nil, models.Wrap(models.Internal, err, "the user nobody has no number")
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// owner is the user that a cluster must run as: the one it belongs to.
func owner(place string) (*syscall.Credential, error) {
	info, err := os.Stat(place)
	if err != nil {
		return nil, models.Wrap(models.Invalid, err, "the Postgres data cannot be read")
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, models.Errorf(models.Internal, "%s has no owner", place)
	}
	switch us := os.Geteuid(); {
	case us == int(st.Uid):
		return nil, nil // a Credential of nil changes nothing
	case us == 0:
		return &syscall.Credential{Uid: st.Uid, Gid: st.Gid}, nil
	}
	return nil, models.Errorf(models.Invalid, "%s belongs to another user: run this as that user, or choose another directory with --data-dir", place)
}

// give makes a file or a directory as's own.
func give(path string, as *syscall.Credential) error {
	if as == nil {
		return nil
	}
	return os.Chown(path, int(as.Uid), int(as.Gid))
}

// enterable reports whether as can work in a directory, by trying it.
func enterable(ctx context.Context, dir string, as *syscall.Credential) bool {
	if as == nil {
		return true
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", ":")
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: as}
	return cmd.Run() == nil
}

// exists reports whether there is something at path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
