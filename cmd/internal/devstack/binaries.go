package devstack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/litemaas/litemaas/models"
)

// oldestPostgres is the oldest major version that our schema was seen to run on.
const oldestPostgres = 14

// PostgresPrograms is an installation of Postgres.
type PostgresPrograms struct {
	bin     string // the directory
	major   int
	Version string // as in 15.13
}

// installed are the places of an installation besides PATH: Debian, Red Hat, Alpine, Homebrew,
// Postgres.app, and built from source.
var installed = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/usr/libexec/postgresql*",
	"/opt/homebrew/opt/postgresql*/bin",
	"/usr/local/opt/postgresql*/bin",
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
	"/usr/local/pgsql/bin",
}

// FindPostgres returns the newest installed server programs, or fetches some. A directory that
// has data of Postgres already gets the version that wrote it. It is Unavailable when there is
// none to be had.
func (d *Dir) FindPostgres(ctx context.Context, p *Progress) (PostgresPrograms, error) {
	as, err := unprivileged()
	if err != nil {
		return PostgresPrograms{}, err
	}
	wanted := d.postgresMajor()
	if best, ok := newest(ctx, candidates(), wanted, as); ok {
		return best, nil
	}
	return fetchPostgres(ctx, p, wanted, as)
}

// postgresMajor is the major version of the data in the directory; 0 when there is none.
func (d *Dir) postgresMajor() int {
	raw, err := os.ReadFile(filepath.Join(d.File("postgres"), "PG_VERSION"))
	if err != nil {
		return 0
	}
	major, _ := strconv.Atoi(strings.TrimSpace(string(raw))) // 0 is what a broken file means, too
	return major
}

// candidates are the directories that may hold installed server programs, each once.
func candidates() []string {
	var dirs []string
	if path, ok := lookPath("initdb"); ok {
		if program, err := filepath.EvalSymlinks(path); err == nil { // Debian's are links to it
			dirs = append(dirs, filepath.Dir(program))
		}
	}
	for _, pattern := range installed {
		found, _ := filepath.Glob(pattern) // errs only on a bad pattern
		dirs = append(dirs, found...)
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// newest is the newest of the programs in dirs that as can run; of major version wanted, if
// that is not 0.
func newest(ctx context.Context, dirs []string, wanted int, as *syscall.Credential) (best PostgresPrograms, ok bool) {
	for _, dir := range dirs {
		p, err := examine(ctx, dir, as)
		if err != nil || p.major < oldestPostgres || wanted != 0 && p.major != wanted {
			continue
		}
		if !ok || p.major > best.major {
			best, ok = p, true
		}
	}
	return best, ok
}

var versionOf = regexp.MustCompile(`\(PostgreSQL\) ((\d+)[.\w]*)`)

// examine asks the programs in a directory what they are.
func examine(ctx context.Context, dir string, as *syscall.Credential) (PostgresPrograms, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, name := range []string{"initdb", "postgres"} {
		cmd := exec.CommandContext(ctx, filepath.Join(dir, name), "--version")
		cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: as}
		out, err := cmd.Output()
		if err != nil {
			return PostgresPrograms{}, err
		}
		if name != "postgres" {
			continue
		}
		if m := versionOf.FindSubmatch(out); m != nil {
			major, err := strconv.Atoi(string(m[2]))
			return PostgresPrograms{bin: dir, major: major, Version: string(m[1])}, err
		}
	}
	return PostgresPrograms{}, fmt.Errorf("%s holds no Postgres", dir)
}

// cacheDir is where what is fetched and built once is kept: the user's, save that what an
// unprivileged user must run cannot lie in root's home.
func cacheDir(ctx context.Context, as *syscall.Credential) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = filepath.Join(os.TempDir(), "cache-"+strconv.Itoa(os.Getuid()))
	}
	dir = filepath.Join(dir, "litemaas")
	there := dir
	for !exists(there) {
		there = filepath.Dir(there)
	}
	if enterable(ctx, there, as) {
		return dir
	}
	return "/var/cache/litemaas"
}

func noPostgres(err error) error {
	return models.Wrap(models.Unavailable, err,
		"no Postgres: none is installed, and fetching one did not work; install it (apt install postgresql, brew install postgresql), or set DATABASE_URL")
}
