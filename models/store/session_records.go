package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// Sessions may be kept elsewhere. Here is what they need of the database all the same.

// AdmitSession returns a session that is to be kept elsewhere as it begins now, and since when
// sessions of its user count: those that began until then have ended. An ID is given to it unless
// it has one. It is Forbidden when the user is not active. Not for use in a transaction.
func (s *Store) AdmitSession(ctx context.Context, in models.Session) (models.Session, time.Time, error) {
	if in.ID == uuid.Nil {
		in.ID = uuid.New()
	}
	var active bool
	var since time.Time
	// Whoever deactivates the user now has the row locked: wait for him, or he for us.
	err := s.pool.QueryRow(ctx, `
		SELECT is_active, coalesce(sessions_since, 'epoch'), clock_timestamp() FROM users WHERE id = $1 FOR SHARE`,
		in.UserID).Scan(&active, &since, &in.CreatedAt)
	if err != nil {
		return in, since, kinded("user "+in.UserID.String(), err)
	}
	if !active {
		return in, since, models.Errorf(models.Forbidden, "the account is deactivated")
	}
	in.LastSeenAt, in.IP, in.UserAgent = in.CreatedAt, text(in.IP, 64), text(in.UserAgent, 300)
	return in, since, nil
}

// SessionsSince returns since when sessions of a user count. Not for use in a transaction.
func (s *Store) SessionsSince(ctx context.Context, userID uuid.UUID) (time.Time, error) {
	var since time.Time
	err := s.pool.QueryRow(ctx, "SELECT coalesce((SELECT sessions_since FROM users WHERE id = $1), 'epoch')", userID).Scan(&since)
	return since, kinded("user", err)
}

// RecordSessions records in one transaction what became of sessions that are kept elsewhere: it
// tells of those that were ended, audits each, and then the further events.
func (s *Store) RecordSessions(ctx context.Context, by models.Actor, gone []models.EndedSession, events ...models.Event) error {
	return s.InTx(ctx, func(tx *Store) error {
		for _, e := range gone {
			if err := tx.tell(ctx, NoticeSession, e.ID.String()); err != nil {
				return err
			}
		}
		if err := tx.auditSessions(ctx, by, gone); err != nil {
			return err
		}
		for _, e := range events {
			if err := tx.Audit(ctx, by, e); err != nil {
				return err
			}
		}
		return nil
	})
}
