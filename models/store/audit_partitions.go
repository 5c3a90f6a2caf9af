package store

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/litemaas/litemaas/models"
)

// patience is how long a change of the audit log's partitions waits for those who read or
// write the log, who wait for it meanwhile. Past it, the change is Unavailable and may be tried
// again.
const patience = "SET LOCAL lock_timeout = '3s'"

// EnsureAuditPartitions makes sure that this month and the given number of further ones have a
// partition, and returns how many it made. Without one, rows are kept all the same, and get
// theirs at the next call.
func (s *Store) EnsureAuditPartitions(ctx context.Context, ahead int) (int, error) {
	var made int
	err := s.InTx(ctx, func(tx *Store) error {
		if err := tx.exec(ctx, "audit partitions", patience); err != nil {
			return err
		}
		return tx.scan(ctx, "audit partitions", &made, "SELECT make_audit_partitions(?)", ahead)
	})
	return made, err
}

// Dropped is what retention took away of the audit log.
type Dropped struct {
	Partitions []string `json:"partitions"`
	Rows       int      `json:"rows"`
	LastID     int64    `json:"lastId,omitempty"` // of the last row that is gone
	LastHash   string   `json:"lastHash,omitempty"`
}

// DropAuditBefore drops the partitions that hold nothing of the given month (UTC) or later. What
// is left is verified from the last row that went, which an entry of the log itself names.
func (s *Store) DropAuditBefore(ctx context.Context, month time.Time, by models.Actor) (Dropped, error) {
	month = time.Date(month.UTC().Year(), month.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
	var d Dropped
	err := s.InTx(ctx, func(tx *Store) error {
		if err := tx.exec(ctx, "audit partitions", patience); err != nil {
			return err
		}
		if err := tx.exec(ctx, "audit partitions", "SELECT make_audit_partitions(0)"); err != nil { // no old row is outside of one
			return err
		}
		err := tx.scan(ctx, "audit partitions", &d.Partitions, "SELECT name FROM audit_partitions WHERE until <= ? ORDER BY first", month)
		if err != nil || len(d.Partitions) == 0 {
			return err
		}
		var last struct {
			ID   int64
			Hash []byte
			Rows int
		}
		err = tx.scan(ctx, "audit log", &last, `
			SELECT id, hash, count(*) OVER () AS rows FROM audit
			WHERE at < (SELECT max(until) FROM audit_partitions WHERE until <= ?) ORDER BY id DESC LIMIT 1`, month)
		if err != nil {
			return err
		}
		d.Rows, d.LastID, d.LastHash = last.Rows, last.ID, hex.EncodeToString(last.Hash)
		for _, name := range d.Partitions {
			if err := tx.exec(ctx, "audit partition "+name, "DROP TABLE "+name); err != nil {
				return err
			}
		}
		return tx.Audit(ctx, by, models.Event{
			Action: models.AuditDrop, ResourceType: models.AuditOfLog, ResourceID: month.Format("2006-01"), Detail: d,
		})
	})
	return d, err
}
