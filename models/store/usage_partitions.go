package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/litemaas/litemaas/models"
)

// usageDropped is the setting that holds the day from which on the ledger is kept; it is not there
// before something was dropped.
const usageDropped = "usage.dropped_until"

// usageKeptFrom is SQL for that day.
const usageKeptFrom = `coalesce((SELECT CAST(value ->> 0 AS timestamptz) FROM settings WHERE key = '` + usageDropped + `'), '-infinity')`

// EnsureUsagePartitions makes sure that today (UTC) and the given number of further days have a
// partition in the ledger of usage, and returns how many it made.
func (s *Store) EnsureUsagePartitions(ctx context.Context, ahead int) (int, error) {
	today, days := time.Now().UTC().Truncate(24*time.Hour), []time.Time{}
	for i := range ahead + 1 {
		days = append(days, today.AddDate(0, 0, i))
	}
	missing, err := s.missingUsageDays(ctx, days)
	if err != nil || len(missing) == 0 {
		return 0, err
	}
	return s.addUsagePartitions(ctx, missing)
}

// makeUsagePartitions makes the partitions that calls of these days need. It is a transaction of
// its own, and a short one, since nobody reads the ledger meanwhile.
func (s *Store) makeUsagePartitions(ctx context.Context, days []time.Time) error {
	missing, err := s.missingUsageDays(ctx, days)
	if err != nil || len(missing) == 0 {
		return err
	}
	_, err = s.addUsagePartitions(ctx, missing)
	return err
}

// missingUsageDays are those of the days that have no partition, and were not dropped.
func (s *Store) missingUsageDays(ctx context.Context, days []time.Time) ([]string, error) {
	var missing []string
	return missing, s.scan(ctx, "usage partitions", &missing, `
		SELECT day::text FROM unnest(CAST(? AS date[])) day
		WHERE day >= `+usageKeptFrom+` AND to_regclass('usage_events_' || to_char(day, 'YYYYMMDD')) IS NULL ORDER BY day`, dateArray(days))
}

func (s *Store) addUsagePartitions(ctx context.Context, days []string) (int, error) {
	var made int
	err := s.InTx(ctx, func(tx *Store) error {
		if err := tx.exec(ctx, "usage partitions", patience); err != nil {
			return err
		}
		if err := tx.lock(ctx, usageLock); err != nil {
			return err
		}
		for _, day := range days {
			var n int
			if err := tx.scan(ctx, "usage partitions", &n, "SELECT make_usage_partitions(?, ?)", day, day); err != nil {
				return err
			}
			made += n
		}
		return nil
	})
	return made, err
}

// dateArray is a list of days as a parameter for a date[].
func dateArray(days []time.Time) string {
	list := "{"
	for i, d := range days {
		if i > 0 {
			list += ","
		}
		list += d.Format(time.DateOnly)
	}
	return list + "}"
}

// DroppedUsage is what retention took away of the ledger of usage.
type DroppedUsage struct {
	Partitions []string `json:"partitions"`
	Before     string   `json:"before"` // the day from which on it is kept
}

// DropUsageBefore drops the days of the ledger before the given one (UTC). The sums stay. What is
// told later of a call of such a day is taken for known.
func (s *Store) DropUsageBefore(ctx context.Context, day time.Time, by models.Actor) (DroppedUsage, error) {
	day = day.UTC().Truncate(24 * time.Hour)
	d := DroppedUsage{Before: day.Format(time.DateOnly)}
	err := s.InTx(ctx, func(tx *Store) error {
		if err := tx.exec(ctx, "usage partitions", patience); err != nil {
			return err
		}
		if err := tx.lock(ctx, usageLock); err != nil {
			return err
		}
		err := tx.scan(ctx, "usage partitions", &d.Partitions, `
			SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
			WHERE i.inhparent = 'usage_events'::regclass AND c.relname < ? ORDER BY c.relname`, "usage_events_"+day.Format("20060102"))
		if err != nil || len(d.Partitions) == 0 {
			return err
		}
		if err := tx.keepUsageFrom(ctx, day, by); err != nil {
			return err
		}
		for _, name := range d.Partitions {
			if err := tx.exec(ctx, "usage partition "+name, "DROP TABLE "+name); err != nil {
				return err
			}
		}
		return tx.Audit(ctx, by, models.Event{
			Action: models.AuditUsageDrop, ResourceType: models.AuditOfUsage, ResourceID: d.Before, Detail: d,
		})
	})
	return d, err
}

// keepUsageFrom remembers that what began before a day is gone.
func (s *Store) keepUsageFrom(ctx context.Context, day time.Time, by models.Actor) error {
	raw, err := json.Marshal([]time.Time{day})
	if err != nil {
		return models.Wrap(models.Internal, err, "setting %s", usageDropped)
	}
	return s.exec(ctx, "setting "+usageDropped, `
		INSERT INTO settings AS s (key, value, updated_by) VALUES (?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET updated_by = excluded.updated_by, updated_at = now(), generation = s.generation + 1,
			value = CASE WHEN CAST(s.value ->> 0 AS timestamptz) > CAST(excluded.value ->> 0 AS timestamptz) THEN s.value ELSE excluded.value END`,
		usageDropped, string(raw), by.ID)
}

// What is not for ever, whatever the retention: the sums of hours, and what was read at LiteLLM.
const (
	usageHoursKept   = 400 * 24 * time.Hour
	usageWindowsKept = 100 * 24 * time.Hour
)

// cleanPage is how many rows one statement takes away.
const cleanPage = 10_000

// ForgottenUsage counts rows that nobody looks at any more.
type ForgottenUsage struct{ Hours, Recent, Windows int }

// ForgetUsage takes away sums of hours that are older than 400 days, of which the days remain; what
// was remembered of the last hour; and what was read at LiteLLM more than 100 days ago.
func (s *Store) ForgetUsage(ctx context.Context) (ForgottenUsage, error) {
	var f ForgottenUsage
	for _, of := range []struct {
		n      *int
		table  string
		column string
		kept   time.Duration
	}{
		{&f.Hours, "usage_hours", "bucket", usageHoursKept},
		{&f.Recent, "usage_recent", "at", recentKept},
		{&f.Windows, "usage_windows", "until_at", usageWindowsKept},
	} {
		for page := cleanPage; page == cleanPage; *of.n += page {
			err := s.InTx(ctx, func(tx *Store) error {
				if err := tx.lock(ctx, usageLock); err != nil { // who counts waits for no row of it, then
					return err
				}
				var err error
				page, err = tx.affect(ctx, of.table, "DELETE FROM "+of.table+" WHERE ctid = ANY (ARRAY(SELECT ctid FROM "+of.table+
					" WHERE "+of.column+" < ? LIMIT ?))", time.Now().Add(-of.kept), cleanPage)
				return err
			})
			if err != nil {
				return f, err
			}
		}
	}
	return f, nil
}
