package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// ending is how some keys end together.
type ending struct {
	why    string
	action models.AuditAction
	news   string // empty: their owners are not told
	by     models.Actor
}

// endedKey is what is told of a key that ended.
type endedKey struct {
	ID, UserID           uuid.UUID
	Name, Prefix         string
	ExpiresAt, RevokedAt *time.Time
	At                   time.Time // when it will expire, or be rotated
	Failure              string
}

// endKeys revokes the keys k that a condition selects and that are not revoked: from the commit on
// they are refused here, and LiteLLM is to let go of them.
func (s *Store) endKeys(ctx context.Context, e ending, where string, args map[string]any) ([]endedKey, error) {
	args["by"], args["why"] = e.by.ID, e.why
	var rows []endedKey
	err := s.scan(ctx, "API keys", &rows, `
		UPDATE api_keys k SET revoked_at = clock_timestamp(), revoked_by = @by, revoked_why = @why, generation = k.generation + 1, updated_at = now()
		FROM (SELECT k.id FROM api_keys k WHERE k.revoked_at IS NULL AND (`+where+`) ORDER BY k.id FOR NO KEY UPDATE) due
		WHERE k.id = due.id RETURNING k.id, k.user_id, k.name, k.prefix, k.expires_at`, args)
	if err != nil {
		return nil, err
	}
	news := make([]models.Announcement, len(rows))
	for i, r := range rows {
		news[i] = keyNews(e.news, r.ID, r.UserID, map[string]any{"name": r.Name, "prefix": r.Prefix, "expiresAt": r.ExpiresAt})
		err := s.Audit(ctx, e.by, models.Event{
			Action: e.action, ResourceType: models.AuditOfKey, ResourceID: r.ID.String(),
			Detail: map[string]any{"userId": r.UserID, "name": r.Name, "prefix": r.Prefix, "reason": e.why},
		})
		if err != nil {
			return nil, err
		}
	}
	if e.news == "" {
		return rows, nil
	}
	return rows, s.announce(ctx, news...)
}

// keyNews is an announcement about a key.
func keyNews(kind string, id, userID uuid.UUID, data map[string]any) models.Announcement {
	return models.Announcement{Type: kind, SubjectType: "api_key", SubjectID: id.String(), UserID: &userID, Data: data}
}

// clockLate is how long the run of a rotation may be late before the clock does its work.
const clockLate = time.Minute

// EndDueKeys revokes up to limit keys whose time is over: those that expire, and those whose
// successor should be alone by now, which their rotation has overlooked. LiteLLM has to follow on
// those it returns.
func (s *Store) EndDueKeys(ctx context.Context, limit int, by models.Actor) (ids []uuid.UUID, err error) {
	err = s.InTx(ctx, func(tx *Store) error {
		args := map[string]any{"limit": limit, "late": time.Now().Add(-clockLate)}
		expired, err := tx.endKeys(ctx, ending{models.KeyEndExpired, models.AuditUserKeyExpire, models.KeyExpiredNews, by}, `k.id IN (
			SELECT id FROM api_keys WHERE revoked_at IS NULL AND expires_at <= clock_timestamp() ORDER BY expires_at LIMIT @limit)`, args)
		if err != nil {
			return err
		}
		retired, err := tx.endKeys(ctx, ending{models.KeyEndRotated, models.AuditUserKeyRetire, models.KeyRetired, by}, heirHeld+` AND k.id IN (
			SELECT id FROM api_keys WHERE revoked_at IS NULL AND retires_at <= @late ORDER BY retires_at LIMIT @limit)`, args)
		for _, k := range append(expired, retired...) {
			ids = append(ids, k.ID)
		}
		return err
	})
	return ids, err
}

// heirHeld is SQL for a key k whose successor LiteLLM was seen to hold: until then nobody can use
// that one.
const heirHeld = `EXISTS (SELECT FROM api_keys h WHERE h.predecessor = k.id AND h.observed_generation > 0)`

// NextKeyEnd returns how long it is until the next key expires, or one was revoked for so long that
// the alarm is due, if that is within a while; else nil.
func (s *Store) NextKeyEnd(ctx context.Context, within, alarm time.Duration) (*time.Duration, error) {
	var rows []struct{ Micros *int64 }
	err := s.scan(ctx, "API keys", &rows, `
		SELECT CAST(extract(epoch FROM min(due) - clock_timestamp()) * 1000000 AS bigint) AS micros FROM (
			SELECT min(expires_at) AS due FROM api_keys WHERE revoked_at IS NULL AND expires_at <= clock_timestamp() + make_interval(secs => @within)
			UNION ALL
			SELECT min(revoked_at) + make_interval(secs => @alarm) FROM api_keys
			WHERE observed_generation < generation AND alarmed_at IS NULL AND revoked_at <= clock_timestamp() + make_interval(secs => @ago)) ends`,
		map[string]any{"within": within.Seconds(), "alarm": alarm.Seconds(), "ago": (within - alarm).Seconds()})
	if err != nil || len(rows) == 0 || rows[0].Micros == nil {
		return nil, err
	}
	return new(max(0, time.Duration(*rows[0].Micros)*time.Microsecond)), nil
}

// NoticeKeys tells the owners of up to limit keys that these will expire, or be rotated by policy:
// once each when it is 30, 7 and 1 days ahead, as far as it was not known before. Who is told of
// the nearer is not told of the farther any more. It returns of how many.
func (s *Store) NoticeKeys(ctx context.Context, limit int) (n int, err error) {
	for _, days := range noticeDays {
		for kind, end := range map[string]string{models.KeyExpires: "k.expires_at", models.KeyRotates: "k.created_at + k.rotate_every"} {
			told, err := s.noticeKeys(ctx, kind, end, days, limit-n)
			if n += told; err != nil || n >= limit {
				return n, err
			}
		}
	}
	return n, nil
}

// noticeKeys tells of the ends that so many days are left to. A key that lives for less is not
// told of: its owner knows.
func (s *Store) noticeKeys(ctx context.Context, kind, end string, days, limit int) (n int, err error) {
	given := map[string]string{models.KeyExpires: "k.expires_at IS NOT NULL", models.KeyRotates: "k.rotate_every IS NOT NULL AND k.retires_at IS NULL"}[kind]
	err = s.InTx(ctx, func(tx *Store) error {
		var rows []endedKey
		err := tx.scan(ctx, "API keys", &rows, `
			UPDATE api_keys k SET noticed_days = @days WHERE k.id IN (
				SELECT k.id FROM api_keys k
				WHERE k.revoked_at IS NULL AND `+given+` AND `+end+` > now() AND `+end+` <= now() + make_interval(days => @days)
				  AND k.created_at < `+end+` - make_interval(days => @days) AND (k.noticed_days IS NULL OR k.noticed_days > @days)
				ORDER BY `+end+` LIMIT @limit FOR NO KEY UPDATE SKIP LOCKED)
			RETURNING k.id, k.user_id, k.name, k.prefix, k.expires_at, `+end+` AS at`, map[string]any{"days": days, "limit": limit})
		if n = len(rows); err != nil || n == 0 {
			return err
		}
		news := make([]models.Announcement, n)
		for i, r := range rows {
			news[i] = keyNews(kind, r.ID, r.UserID, map[string]any{"name": r.Name, "prefix": r.Prefix, "at": r.At, "days": days})
		}
		return tx.announce(ctx, news...)
	})
	return n, err
}

// overdue is SQL for the keys that LiteLLM still takes though they were revoked so many seconds (?)
// ago.
const overdue = `revoked_at <= now() - make_interval(secs => ?) AND observed_generation < generation`

// AlarmRevocations has people told, once, of up to limit keys that were revoked so long ago, and of
// which it is not proved that LiteLLM refuses them. It returns of how many.
func (s *Store) AlarmRevocations(ctx context.Context, after time.Duration, limit int, by models.Actor) (n int, err error) {
	err = s.InTx(ctx, func(tx *Store) error {
		var rows []endedKey
		err := tx.scan(ctx, "API keys", &rows, `
			UPDATE api_keys k SET alarmed_at = now() WHERE k.id IN (
				SELECT id FROM api_keys WHERE alarmed_at IS NULL AND `+overdue+`
				ORDER BY revoked_at LIMIT ? FOR NO KEY UPDATE SKIP LOCKED)
			RETURNING k.id, k.user_id, k.name, k.prefix, k.revoked_at, k.failure`, after.Seconds(), limit)
		if n = len(rows); err != nil || n == 0 {
			return err
		}
		news := make([]models.Announcement, n)
		for i, r := range rows {
			data := map[string]any{"name": r.Name, "prefix": r.Prefix, "revokedAt": r.RevokedAt, "failure": r.Failure}
			news[i] = keyNews(models.KeyRevocationOverdue, r.ID, r.UserID, data)
			err := tx.Audit(ctx, by, models.Event{
				Action: models.AuditUserKeyOverdue, ResourceType: models.AuditOfKey, ResourceID: r.ID.String(), Detail: data,
			})
			if err != nil {
				return err
			}
		}
		return tx.announce(ctx, news...)
	})
	return n, err
}

// OverdueRevocations counts the keys of which it is not proved that LiteLLM refuses them, so long
// after they were revoked.
func (s *Store) OverdueRevocations(ctx context.Context, after time.Duration) (n int, err error) {
	err = s.scan(ctx, "API keys", &n, "SELECT count(*) FROM api_keys WHERE "+overdue, after.Seconds())
	return n, err
}
