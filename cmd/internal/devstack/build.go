package devstack

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/litemaas/litemaas/models"
)

// devserver is where our Temporal server is in the source tree, a module of its own.
const devserver = "temporal/devserver"

// buildDevserver returns the program of our Temporal server, built from the source tree unless
// that has happened before: the user's cache has one for each state of the sources.
func buildDevserver(ctx context.Context, p *Progress) (string, error) {
	tree, ok := sourceTree()
	if !ok {
		return "", models.Errorf(models.Unavailable,
			"no Temporal server: install the `temporal` CLI, or set TEMPORAL_ADDRESS, or run this in LiteMaaS's source tree, where one is built")
	}
	module := filepath.Join(tree, devserver)
	version, err := goVersion(ctx, module)
	if err != nil {
		return "", err
	}
	key, err := buildKey(module, version)
	if err != nil {
		return "", models.Wrap(models.Unavailable, err, "the sources of the Temporal server cannot be read")
	}
	cache := cacheDir(ctx, nil)
	program := filepath.Join(cache, "temporal-devserver-"+key)
	if exists(program) {
		_ = os.Chtimes(program, time.Time{}, time.Now()) // see prune; another user's may not be touched
		return program, nil
	}
	if err := makeDir(cache); err != nil {
		return "", models.Wrap(models.Unavailable, err, "no place for the Temporal server")
	}
	var lock *os.File
	err = p.During("Waiting for another build of the Temporal server", func(func(string)) error {
		lock, err = waitLock(ctx, filepath.Join(cache, "temporal-devserver.lock"))
		return err
	})
	if err != nil {
		return "", models.Wrap(models.Unavailable, err, "no place for the Temporal server")
	}
	defer lock.Close()
	if exists(program) {
		return program, nil
	}
	err = p.During("Building the Temporal server, once", func(say func(string)) error {
		return build(ctx, module, program, say)
	})
	return program, err
}

// sourceTree finds LiteMaaS's source tree: from the working directory upwards, from the program
// upwards, or where this file was compiled.
func sourceTree() (string, bool) {
	var from []string
	if dir, err := os.Getwd(); err == nil {
		from = append(from, dir)
	}
	if path, err := os.Executable(); err == nil {
		from = append(from, filepath.Dir(path))
	}
	if _, file, _, ok := runtime.Caller(0); ok {
		from = append(from, filepath.Dir(file))
	}
	for _, dir := range from {
		for ; ; dir = filepath.Dir(dir) {
			mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
			if err == nil && bytes.HasPrefix(mod, []byte("module github.com/litemaas/litemaas\n")) && exists(filepath.Join(dir, devserver, "go.mod")) {
				return dir, true
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", false
}

// goVersion is the version of Go that builds the module.
func goVersion(ctx context.Context, module string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOVERSION")
	cmd.Dir = module
	out, err := cmd.Output()
	if err != nil {
		return "", models.Wrap(models.Unavailable, err, "no Temporal server: building it needs Go on PATH; or install the `temporal` CLI, or set TEMPORAL_ADDRESS")
	}
	return strings.TrimSpace(string(out)), nil
}

// buildKey names the program that the module's sources make: it differs whenever the program
// would. Tests are no part of it.
func buildKey(module, goVersion string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, goVersion, runtime.GOOS, runtime.GOARCH)
	sources := os.DirFS(module)
	err := fs.WalkDir(sources, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || strings.HasSuffix(path, "_test.go") {
			return err
		}
		raw, err := fs.ReadFile(sources, path)
		fmt.Fprintf(h, "%q %d\n%s", path, len(raw), raw)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)[:8]), err
}

// build builds the module into program, which is there whole or not at all.
func build(ctx context.Context, module, program string, say func(string)) error {
	fresh := program + ".new"
	packages := list(ctx, module, say)
	cmd := exec.CommandContext(ctx, "go", "build", "-v", "-ldflags=-s -w", "-o", fresh, ".")
	cmd.Dir, cmd.Env = module, append(os.Environ(), "GOWORK=off")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) } // its compilers, too
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return models.Wrap(models.Unavailable, err, "the Temporal server cannot be built")
	}
	said := follow(out, packages, say)
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return models.Wrap(models.Unavailable, err, "the Temporal server cannot be built:\n%s", said)
	}
	if err := os.Rename(fresh, program); err != nil {
		return models.Wrap(models.Unavailable, err, "no place for the Temporal server")
	}
	prune(filepath.Dir(program))
	return nil
}

// prune removes the programs that nobody used for a month; each takes some 150 MB.
func prune(cache string) {
	old, _ := filepath.Glob(filepath.Join(cache, "temporal-devserver-*")) // errs only on a bad pattern
	for _, path := range old {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > 30*24*time.Hour {
			_ = os.Remove(path)
		}
	}
}

// list counts the packages that the module is made of, and fetches what is missing; 0 when
// that does not work, which the build will explain.
func list(ctx context.Context, module string, say func(string)) int {
	say("looking at what there is to compile")
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", ".")
	cmd.Dir, cmd.Env = module, append(os.Environ(), "GOWORK=off")
	var packages bytes.Buffer
	cmd.Stdout = &packages
	fetching, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return 0
	}
	follow(fetching, 0, say)
	if cmd.Wait() != nil {
		return 0
	}
	return bytes.Count(packages.Bytes(), []byte("\n"))
}

// follow reads what `go build -v` says, tells how far it is, and returns what was no progress.
func follow(out io.Reader, packages int, say func(string)) string {
	var said []string
	compiled := 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "go: downloading "):
			say("fetching " + strings.TrimPrefix(line, "go: downloading "))
		case !strings.ContainsAny(line, " \t:#"):
			compiled++
			say(fmt.Sprintf("compiled %d of at most %d packages", compiled, packages))
		default:
			said = append(said, line)
		}
	}
	return strings.Join(said[max(0, len(said)-20):], "\n")
}
