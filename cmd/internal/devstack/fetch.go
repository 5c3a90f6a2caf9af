package devstack

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	embedded "github.com/fergusstrange/embedded-postgres"

	"github.com/litemaas/litemaas/models"
)

// fetchable is what Maven Central has, by major version; 0 is the one for new data.
var fetchable = map[int]embedded.PostgresVersion{
	0: embedded.V18, 18: embedded.V18, 17: embedded.V17, 16: embedded.V16, 15: embedded.V15, 14: embedded.V14,
}

// fetchPostgres fetches server programs, once, and keeps them where as can run them.
func fetchPostgres(ctx context.Context, p *Progress, wanted int, as *syscall.Credential) (PostgresPrograms, error) {
	version, ok := fetchable[wanted]
	if !ok {
		return PostgresPrograms{}, models.Errorf(models.Invalid,
			"the data was written by Postgres %d, which is not installed and cannot be fetched: install it, or forget the data with --reset", wanted)
	}
	cache := cacheDir(ctx, as)
	if err := makeDir(cache); err != nil {
		return PostgresPrograms{}, noPostgres(err)
	}
	lock, err := waitLock(ctx, filepath.Join(cache, "postgres.lock"))
	if err != nil {
		return PostgresPrograms{}, noPostgres(err)
	}
	defer lock.Close()
	home := filepath.Join(cache, "postgres-"+string(version))
	if !exists(home) {
		err := p.During(fmt.Sprintf("Fetching PostgreSQL %s from Maven Central, once", version), func(func(string)) error {
			return fetch(ctx, version, cache, home)
		})
		if err != nil {
			return PostgresPrograms{}, noPostgres(err)
		}
	}
	programs, err := examine(ctx, filepath.Join(home, "bin"), as)
	if err != nil {
		return PostgresPrograms{}, noPostgres(err)
	}
	return programs, nil
}

// fetch fetches and unpacks into home, which is there whole or not at all.
func fetch(ctx context.Context, version embedded.PostgresVersion, cache, home string) error {
	work, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	// The library can only fetch on the way to a start. We start the server ourselves, and not
	// always as the user we are; data that looks like a cluster and is none ends the library's
	// start where the programs are unpacked.
	data := filepath.Join(work, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte(version), 0o600); err != nil {
		return err
	}
	port, err := FreePort()
	if err != nil {
		return err
	}
	unpacked := filepath.Join(work, "unpacked")
	postgres := embedded.NewDatabase(embedded.DefaultConfig().Version(version).Port(uint32(port)).
		CachePath(filepath.Join(work, "download")).RuntimePath(filepath.Join(work, "run")).
		BinariesPath(unpacked).DataPath(data).Logger(io.Discard))
	defer syscall.Umask(syscall.Umask(0o022)) // what is unpacked is for others to run
	started := make(chan error, 1)
	go func() { started <- postgres.Start() }() // it cannot be cancelled
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case err = <-started:
	}
	if !exists(filepath.Join(unpacked, "bin", "initdb")) {
		return err
	}
	return os.Rename(unpacked, home)
}
