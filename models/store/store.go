// Package store reads and writes models in Postgres. Its errors carry a [models.Kind];
// nothing above it sees GORM.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/litemaas/litemaas/models"
)

// Config says where the database is.
type Config struct {
	URL      models.Secret `mapstructure:"url"` // holds the password
	MaxConns int32         `mapstructure:"max_conns"`
}

// Store is a handle on the database, or on one transaction of it.
type Store struct {
	db   *gorm.DB
	pool *pgxpool.Pool // nil in a transaction

	ledger *ledger // what the transaction has yet to write into the audit log; nil outside of one
}

// Open prepares a pool of at most cfg.MaxConns connections; it is bounded because a burst
// of requests otherwise runs into Postgres's own limit. It does not connect: see Ping. The
// schema is made by `litemaas migrate`, never here.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	pc, err := pgxpool.ParseConfig(cfg.URL.Reveal())
	if err != nil {
		// pgx's own text holds the address; it may hold the password too.
		return nil, models.Errorf(models.Invalid, "database.url is not a PostgreSQL address such as postgres://user:password@host:5432/database").On("database.url")
	}
	if cfg.MaxConns > 0 {
		pc.MaxConns = cfg.MaxConns
	}
	pc.MaxConnIdleTime = 5 * time.Minute
	pc.ConnConfig.RuntimeParams["timezone"] = "UTC"
	pc.ConnConfig.RuntimeParams["application_name"] = "litemaas"
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, models.Wrap(models.Unavailable, err, "open database")
	}
	db, err := gorm.Open(postgres.New(postgres.Config{Conn: stdlib.OpenDBFromPool(pool)}), &gorm.Config{
		TranslateError: true, SkipDefaultTransaction: true, DisableAutomaticPing: true,
		Logger: logger.NewSlogLogger(slog.Default(), logger.Config{LogLevel: logger.Silent, ParameterizedQueries: true}),
	})
	if err != nil {
		pool.Close()
		return nil, models.Wrap(models.Unavailable, err, "open database")
	}
	return &Store{db: db, pool: pool}, nil
}

// Close gives all connections back.
func (s *Store) Close() { s.pool.Close() }

// Ping is Unavailable when the database does not answer.
func (s *Store) Ping(ctx context.Context) error {
	return kinded("the database", s.pool.Ping(ctx))
}

// InTx runs fn in one transaction, rolled back if fn fails; inside of another, in a part of
// that. What fn audits is written last, see ledger.
func (s *Store) InTx(ctx context.Context, fn func(*Store) error) error {
	err := s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if s.ledger != nil {
			return s.ledger.keep(func() error { return fn(&Store{db: tx, ledger: s.ledger}) })
		}
		in := &Store{db: tx, ledger: &ledger{}}
		if err := fn(in); err != nil {
			return err
		}
		return in.writeLedger(ctx)
	})
	if err == nil || errors.As(err, new(*models.Error)) {
		return err
	}
	return kinded("transaction", err)
}

// lock makes transactions on the same thing wait for each other until they end.
func (s *Store) lock(ctx context.Context, thing string) error {
	return s.exec(ctx, "lock", "SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", thing)
}

// exec runs SQL that answers nothing.
func (s *Store) exec(ctx context.Context, what, sql string, args ...any) error {
	return kinded(what, s.db.WithContext(ctx).Exec(sql, args...).Error)
}

// affect runs SQL that changes rows, and says how many it changed.
func (s *Store) affect(ctx context.Context, what, sql string, args ...any) (int, error) {
	res := s.db.WithContext(ctx).Exec(sql, args...)
	return int(res.RowsAffected), kinded(what, res.Error)
}

// scan runs SQL that answers rows, into dst.
func (s *Store) scan(ctx context.Context, what string, dst any, sql string, args ...any) error {
	if !strings.Contains(sql, "@") && len(args) == 1 {
		if _, named := args[0].(map[string]any); named { // GORM would send it as an argument
			args = nil
		}
	}
	return kinded(what, s.db.WithContext(ctx).Raw(sql, args...).Scan(dst).Error)
}

// kinded gives a database error the kind the rest of the system speaks.
func kinded(what string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, gorm.ErrRecordNotFound) || errors.Is(err, pgx.ErrNoRows) {
		return models.Errorf(models.NotFound, "%s not found", what)
	}
	if errors.Is(err, gorm.ErrDuplicatedKey) {
		return models.Errorf(models.Conflict, "%s already exists", what)
	}
	if errors.Is(err, gorm.ErrForeignKeyViolated) || errors.Is(err, gorm.ErrCheckConstraintViolated) {
		return models.Wrap(models.Invalid, err, "%s is not valid", what)
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		if pg.Code == "42P01" || pg.Code == "42703" { // no such table, no such column
			return models.Wrap(models.Internal, err, "%s: the schema of the database is not that of this program: run `litemaas migrate`", what)
		}
		return models.Wrap(kindOfState(pg.Code), err, "%s", what)
	}
	return models.Wrap(models.Unavailable, err, "%s: the database does not answer", what)
}

// kindOfState sorts SQLSTATE codes (PostgreSQL documentation, appendix A): a value that no
// column can hold is the caller's, a schema that lacks something is ours, the rest passes.
func kindOfState(code string) models.Kind {
	switch {
	case code == "23505":
		return models.Conflict
	case strings.HasPrefix(code, "22"), strings.HasPrefix(code, "23"):
		return models.Invalid
	case strings.HasPrefix(code, "42"):
		return models.Internal
	default:
		return models.Unavailable
	}
}

// like makes a pattern that finds text anywhere, with the wildcards in it taken literally.
func like(text string) string {
	return fmt.Sprintf("%%%s%%", strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text))
}
