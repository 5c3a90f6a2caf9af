package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
	"github.com/spf13/cobra"

	"github.com/litemaas/litemaas/migrations"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/temporal"
)

// connectWithin is how long a server may take to let us in.
const connectWithin = 10 * time.Second

func migrateCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "migrate", Short: "Bring the schema and Temporal's search attributes up to date", GroupID: groupRun, Args: cobra.NoArgs,
		Long: `Bring the database's schema to this version, and give Temporal's namespace the
search attributes that workflows set. Running it again, or several at once, is harmless.
Run it before "litemaas serve" whenever the version changes.`,
		Example: `  litemaas migrate
  litemaas migrate --schema-only      # Temporal's namespace is somebody else's to change

Then: litemaas serve`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd, needsDatabase)
			if err != nil {
				return err
			}
			schemaOnly, err := cmd.Flags().GetBool("schema-only")
			if err != nil {
				return err
			}
			if err := migrateSchema(cmd.Context(), cfg, cmd.OutOrStdout()); err != nil || schemaOnly {
				return err
			}
			return migrateTemporal(cmd.Context(), cfg, cmd.OutOrStdout())
		},
	}
	cmd.Flags().Bool("schema-only", false, "leave Temporal alone")
	return cmd
}

// openDatabase connects to the database for the few things that the store does not offer.
func openDatabase(ctx context.Context, cfg config) (*sql.DB, error) {
	db, err := sql.Open("pgx", cfg.Database.URL.Reveal())
	if err != nil { // its text may hold the password
		return nil, models.Errorf(models.Invalid, "database.url cannot be used: it must be %s", databaseURL.right).On("database.url")
	}
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close() // the ping says more
		return nil, models.Wrap(models.Unavailable, err, "the database does not answer: check database.url (DATABASE_URL), and that the server runs and lets us in")
	}
	return db, nil
}

func migrateSchema(ctx context.Context, cfg config, out io.Writer) error {
	db, err := openDatabase(ctx, cfg)
	if err != nil {
		return err
	}
	defer db.Close()
	applied, err := migrations.Up(ctx, db)
	for _, file := range applied {
		fmt.Fprintln(out, "applied", file)
	}
	if err == nil && len(applied) == 0 {
		fmt.Fprintln(out, "the schema is up to date")
	}
	return err
}

func migrateTemporal(ctx context.Context, cfg config, out io.Writer) error {
	c, err := temporal.Dial(ctx, cfg.Temporal, slog.Default())
	if err != nil {
		return err
	}
	defer c.Close()
	added, err := temporal.RegisterSearchAttributes(ctx, c, cfg.Temporal.Namespace)
	if err != nil {
		return err
	}
	for _, name := range added {
		fmt.Fprintln(out, "registered search attribute", name)
	}
	if len(added) == 0 {
		fmt.Fprintln(out, "Temporal's search attributes are up to date")
	}
	return nil
}
