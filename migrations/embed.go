// Package migrations holds the schema, one numbered goose file per change.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"fmt"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// FS holds the SQL files.
//
//go:embed *.sql
var FS embed.FS

// Up brings the schema of db to the newest version and returns the files it applied. Several
// callers at once wait for each other. A failed file leaves the schema as it was before it.
func Up(ctx context.Context, db *sql.DB) (applied []string, err error) {
	p, err := provider(db)
	if err != nil {
		return nil, err
	}
	results, err := p.Up(ctx)
	for _, r := range results {
		applied = append(applied, r.Source.Path)
	}
	if err != nil {
		return applied, fmt.Errorf("migrate: %w", err)
	}
	return applied, nil
}

// Version returns the version that db has and the newest there is.
func Version(ctx context.Context, db *sql.DB) (has, newest int64, err error) {
	p, err := provider(db)
	if err != nil {
		return 0, 0, err
	}
	has, newest, err = p.GetVersions(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("schema version: %w", err)
	}
	return has, newest, nil
}

func provider(db *sql.DB) (*goose.Provider, error) {
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, FS, goose.WithSessionLocker(locker))
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	return p, nil
}
