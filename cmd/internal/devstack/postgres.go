package devstack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/litemaas/litemaas/models"
)

// PostgresOptions says how to run a Postgres.
type PostgresOptions struct {
	Port      int
	ThrowAway bool // nobody needs the data afterwards: be fast rather than safe, and let many in
}

// Postgres is a running server with a database of our own.
type Postgres struct {
	*child
	URL   string // holds the password
	Place string // where its data is
}

// Our user, and the name of our database.
const ours = "litemaas"

// passwordFile lives with the data it opens.
const passwordFile = "litemaas.password"

// StartPostgres starts the server on the directory's data, which is made when there is none,
// and waits until it answers. It listens on 127.0.0.1 only, and asks for a password, because
// others may work on the same machine and a superuser of Postgres can run programs.
func (d *Dir) StartPostgres(ctx context.Context, programs PostgresPrograms, o PostgresOptions) (*Postgres, error) {
	place, err := d.cluster(ctx, programs, o)
	if err != nil {
		return nil, err
	}
	as, err := owner(place)
	if err != nil {
		return nil, err
	}
	password, err := os.ReadFile(filepath.Join(place, passwordFile))
	if err != nil {
		return nil, models.Wrap(models.Invalid, err, "the password of Postgres is gone: forget its data with --reset")
	}
	cmd := exec.Command(filepath.Join(programs.bin, "postgres"), arguments(place, o)...)
	cmd.Dir, cmd.Env = "/", environment()
	c, err := start("Postgres", cmd, d.File("postgres.log"), as, stopPostgres)
	if err != nil {
		return nil, err
	}
	address := url.URL{
		Scheme: "postgres", Host: "127.0.0.1:" + strconv.Itoa(o.Port), Path: "postgres",
		User: url.UserPassword(ours, strings.TrimSpace(string(password))), RawQuery: "sslmode=disable",
	}
	p := &Postgres{child: c, Place: place}
	if err := p.makeDatabase(ctx, address.String()); err != nil {
		c.Stop()
		return nil, err
	}
	address.Path = ours
	p.URL = address.String()
	return p, nil
}

func arguments(place string, o PostgresOptions) []string {
	args := []string{"-D", place, "-p", strconv.Itoa(o.Port)}
	settings := []string{"listen_addresses=127.0.0.1", "unix_socket_directories=", "timezone=UTC", "log_timezone=UTC"}
	if o.ThrowAway {
		settings = append(settings, "fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=500")
	}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	return args
}

// environment is what Postgres gets of ours: no settings of another server, and no secrets.
// On macOS it does not start without a locale.
func environment() []string { return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"} }

// makeDatabase waits for the server, and makes our database if it is not there.
func (p *Postgres) makeDatabase(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := p.connect(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "CREATE DATABASE "+ours)
	if pg, ok := errors.AsType[*pgconn.PgError](err); err != nil && (!ok || pg.Code != "42P04") { // is there already
		return models.Wrap(models.Unavailable, err, "Postgres did not make our database")
	}
	return nil
}

// connect tries until the server lets us in or has ended.
func (p *Postgres) connect(ctx context.Context, address string) (*pgx.Conn, error) {
	for {
		conn, err := pgx.Connect(ctx, address)
		if err == nil {
			return conn, nil
		}
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok && strings.HasPrefix(pg.Code, "28") {
			return nil, models.Errorf(models.Unavailable, "another Postgres answers at the port of ours")
		}
		select {
		case <-p.exited:
			return nil, p.Failure()
		case <-ctx.Done():
			return nil, models.Wrap(models.Unavailable, context.Cause(ctx), "Postgres does not answer; see %s", p.logFile)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// clusters are the places where the directory's data of Postgres may be.
func (d *Dir) clusters() (places []string) {
	if place, err := filepath.EvalSymlinks(d.File("postgres")); err == nil {
		places = append(places, place)
	}
	if os.Geteuid() == 0 && !slices.Contains(places, d.elsewhere()) {
		places = append(places, d.elsewhere())
	}
	return places
}

// elsewhere is where root's data of Postgres is when the user that Postgres runs as cannot
// enter the directory. The directory then holds a link to it.
func (d *Dir) elsewhere() string {
	sum := sha256.Sum256([]byte(d.path))
	return "/var/lib/litemaas-dev/" + hex.EncodeToString(sum[:6])
}

// cluster returns where the data is, and makes it if need be.
func (d *Dir) cluster(ctx context.Context, programs PostgresPrograms, o PostgresOptions) (string, error) {
	link := d.File("postgres")
	if place, err := filepath.EvalSymlinks(link); err == nil {
		return place, nil
	}
	as, err := unprivileged()
	if err != nil {
		return "", err
	}
	place := link
	if !enterable(ctx, d.path, as) {
		place = d.elsewhere()
		if err := makeDir(filepath.Dir(place)); err != nil {
			return "", models.Wrap(models.Invalid, err, "Postgres's user cannot enter %s, and there is no other place: choose another with --data-dir", d.path)
		}
	}
	for _, old := range []string{link, place} { // a link that leads nowhere, data whose directory was removed
		if err := os.RemoveAll(old); err != nil {
			return "", models.Wrap(models.Invalid, err, "what is left of older data cannot be removed")
		}
	}
	if err := initialise(ctx, programs, place, as, o); err != nil {
		return "", err
	}
	if place != link {
		err = os.Symlink(place, link)
	}
	return place, err
}

// initialise makes a cluster, whole or not at all.
func initialise(ctx context.Context, programs PostgresPrograms, place string, as *syscall.Credential, o PostgresOptions) error {
	fresh, password := place+".new", place+".new.password"
	err := errors.Join(os.RemoveAll(fresh), os.Mkdir(fresh, 0o700), give(fresh, as),
		os.WriteFile(password, []byte(random(12)+"\n"), 0o600), give(password, as))
	if err != nil {
		return models.Wrap(models.Invalid, err, "no place for Postgres's data")
	}
	args := []string{"-D", fresh, "-U", ours, "-A", "scram-sha-256", "--pwfile", password, "--encoding=UTF8", "--locale=C", "--lc-ctype=" + ctype()}
	if o.ThrowAway {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(programs.bin, "initdb"), args...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = "/", environment(), &syscall.SysProcAttr{Setpgid: true, Credential: as}
	if out, err := cmd.CombinedOutput(); err != nil {
		return models.Wrap(models.Unavailable, err, "Postgres's data cannot be made:\n%s", strings.TrimSpace(string(out)))
	}
	err = errors.Join(os.Rename(password, filepath.Join(fresh, passwordFile)), os.Rename(fresh, place))
	if err != nil {
		return models.Wrap(models.Invalid, err, "no place for Postgres's data")
	}
	return nil
}

// ctype tells letters apart in every language, while text sorts by its bytes.
func ctype() string {
	if runtime.GOOS == "darwin" {
		return "UTF-8"
	}
	return "C.UTF-8"
}
