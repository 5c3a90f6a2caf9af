package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/gorm"

	"github.com/litemaas/litemaas/models"
)

// usageLock is what those who write into the ledger of usage, or take away of it, wait for: there
// is one of them at a time, so that what is not in the ledger now is not a moment later either.
const usageLock = "usage"

// usageSlack is how far apart LiteLLM's words may be about when a call began. It bounds where
// another entry of the call is looked for.
const usageSlack = time.Hour

// usageTables are what a transaction writes that adds to the ledger: what it was told, the same
// with whose it is and what it cost, and the entries to be. They are the connection's, and made before
// the transaction: it would keep a lock on the ledger while it waits for usageLock, and who makes a
// partition meanwhile needs both.
const usageTables = `
	CREATE TEMPORARY TABLE IF NOT EXISTS usage_incoming (
		id uuid, at timestamptz, request_id text, call_id text, key_hash text, user_id uuid, team_id uuid, model_id text, provider text,
		requests int, failed int, prompt_tokens bigint, completion_tokens bigint, cost bigint, latency_ms bigint
	) ON COMMIT DELETE ROWS;
	CREATE TEMPORARY TABLE IF NOT EXISTS usage_told (LIKE usage_events) ON COMMIT DELETE ROWS;
	CREATE TEMPORARY TABLE IF NOT EXISTS usage_new (LIKE usage_events) ON COMMIT DELETE ROWS`

// usagePlans has plans made for the rows that are there, and not kept from when there were few.
const usagePlans = `
	SET LOCAL jit = off;
	SET LOCAL plan_cache_mode = force_custom_plan`

// usageIncoming are the columns of usage_incoming, as incomingRow has them.
var usageIncoming = []string{
	"id", "at", "request_id", "call_id", "key_hash", "user_id", "team_id", "model_id", "provider",
	"requests", "failed", "prompt_tokens", "completion_tokens", "cost", "latency_ms",
}

// RecordEvents puts calls into the ledger that are not there, in one transaction with their sums,
// the quotas of the subscriptions that they used, and the budgets that they count against. The same
// call may be told of any number of times, by any way: it counts once. What LiteLLM's own log says
// (models.UsagePulled, models.UsageDaily) counts more than what it pushed: where they differ, the
// difference is one more entry. What began on a day that retention has taken away counts as known,
// since nobody can say any more that it is not. The events must have passed Check. It cannot be
// part of another transaction.
func (s *Store) RecordEvents(ctx context.Context, events []models.UsageEvent, from models.UsageSource, by models.Actor) (models.Recorded, error) {
	rows, first, last := incomingRows(events)
	if len(rows) == 0 {
		return models.Recorded{}, nil
	}
	if err := s.makeUsagePartitions(ctx, daysOf(events)); err != nil {
		return models.Recorded{}, err
	}
	var done models.Recorded
	err := s.inLoadingTx(ctx, func(tx *Store, load loader) error {
		done = models.Recorded{}
		if err := tx.exec(ctx, "usage", usagePlans); err != nil {
			return err
		}
		if err := load(ctx, "usage_incoming", usageIncoming, rows); err != nil {
			return err
		}
		if err := tx.named(ctx, "usage", tellSQL, map[string]any{"source": from}); err != nil {
			return err
		}
		if err := tx.lock(ctx, usageLock); err != nil {
			return err
		}
		bounds := map[string]any{"first": first.Add(-usageSlack), "last": last.Add(usageSlack), "slack": usageSlack.Seconds(), "source": from}
		if err := tx.sortOut(ctx, from, bounds, &done); err != nil {
			return err
		}
		done.Known = len(events) - done.New - done.Corrected
		if done.New+done.Corrected == 0 {
			return nil
		}
		var err error
		done.Due, done.Follow, err = tx.enterUsage(ctx, by)
		return err
	})
	if err != nil {
		return models.Recorded{}, err
	}
	return done, nil
}

// sortOut puts into usage_new what the ledger has not got, and where what it has differs.
func (s *Store) sortOut(ctx context.Context, from models.UsageSource, bounds map[string]any, done *models.Recorded) error {
	var err error
	if done.New, err = s.affect(ctx, "usage", newUsageSQL, bounds); err != nil {
		return err
	}
	if from != models.UsagePulled && from != models.UsageDaily {
		return nil
	}
	return s.scan(ctx, "usage", &done.Corrected, correctSQL, bounds)
}

// enterUsage writes the entries in usage_new, and whatever has to be counted with them. It says
// whether some budget has to be judged, and the cascades on which LiteLLM has to follow.
func (s *Store) enterUsage(ctx context.Context, by models.Actor) (due bool, follow []models.Cascade, err error) {
	for _, sql := range []string{enterSQL, sumSQL, recentSQL} {
		if err := s.exec(ctx, "usage", sql); err != nil {
			return false, nil, err
		}
	}
	if follow, err = s.countQuotas(ctx, by); err != nil {
		return false, nil, err
	}
	due, err = s.chargeBudgets(ctx)
	return due, follow, err
}

// incomingRows are the events as usage_incoming takes them, of each call the first, and the times
// of the first and the last of them.
func incomingRows(events []models.UsageEvent) (rows [][]any, first, last time.Time) {
	seen := make(map[uuid.UUID]bool, len(events))
	rows = make([][]any, 0, len(events))
	for i := range events {
		e := &events[i]
		id, at := e.ID(), e.At.UTC().Truncate(time.Millisecond)
		if seen[id] {
			continue
		}
		seen[id] = true
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
		rows = append(rows, incomingRow(id, at, e))
	}
	return rows, first, last
}

// incomingRow is one event in the order of usageIncoming. LiteLLM's ids of users and teams may be
// anything; those that are not ours are nobody's.
func incomingRow(id uuid.UUID, at time.Time, e *models.UsageEvent) []any {
	userID, _ := uuid.Parse(e.UserID)
	teamID, _ := uuid.Parse(e.TeamID)
	var cost *int64
	if e.Cost != nil {
		cost = new(int64(*e.Cost))
	}
	return []any{
		[16]byte(id), at, text(e.RequestID, 500), text(e.CallID, 500), text(e.KeyHash, 100), [16]byte(userID), [16]byte(teamID),
		text(e.Model, 500), text(e.Provider, 100), e.Requests, e.Failed, e.Prompt, e.Completion, cost, e.Latency.Milliseconds(),
	}
}

// daysOf are the days (UTC) on which calls began.
func daysOf(events []models.UsageEvent) []time.Time {
	var days []time.Time
	seen := map[time.Time]bool{}
	for i := range events {
		day := events[i].At.UTC().Truncate(24 * time.Hour)
		if !seen[day] {
			seen[day] = true
			days = append(days, day)
		}
	}
	return days
}

// loader puts rows into a table.
type loader func(ctx context.Context, table string, columns []string, rows [][]any) error

// inLoadingTx is InTx with usageTables and a loader, which is part of the transaction; GORM knows no
// COPY.
func (s *Store) inLoadingTx(ctx context.Context, fn func(tx *Store, load loader) error) error {
	if s.pool == nil {
		return models.Errorf(models.Internal, "usage: it cannot be part of another transaction")
	}
	began := false
	err := s.db.WithContext(ctx).Connection(func(db *gorm.DB) error {
		began = true
		conn, ok := db.Statement.ConnPool.(*sql.Conn)
		if !ok {
			return models.Errorf(models.Internal, "usage: no connection to load by")
		}
		load := func(ctx context.Context, table string, columns []string, rows [][]any) error {
			return kinded(table, conn.Raw(func(driver any) error {
				_, err := driver.(*stdlib.Conn).Conn().CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromRows(rows))
				return err
			}))
		}
		on := &Store{db: db, pool: s.pool}
		if err := on.exec(ctx, "usage", usageTables); err != nil {
			return err
		}
		return on.InTx(ctx, func(tx *Store) error { return fn(tx, load) })
	})
	if !began {
		return kinded("connection", err)
	}
	return err
}
