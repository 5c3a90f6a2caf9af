package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/litemaas/litemaas/models"
)

// strangeKeys are the staged keys s of a run that are not ours, and no sessions of LiteLLM's own
// UI; suspectKeys those of them that claim to be ours, or are of our users.
const (
	strangeKeys = `NOT s.own AND NOT EXISTS (SELECT FROM api_keys k WHERE k.hash = s.hash) AND s.hash ~ '^[0-9a-f]{64}$'`
	suspectKeys = strangeKeys + ` AND (s.suspect OR EXISTS (SELECT FROM users u WHERE u.id::text = s.user_id))`
)

// recordOrphansSQL keeps the list of keys that are not ours. One that was deleted, or was ours, and
// is there nevertheless is seen anew; one that is not there any more is forgotten, or counts as
// deleted if somebody had decided about it.
var recordOrphansSQL = []string{
	`INSERT INTO sync_orphans AS o (hash, alias, user_id, suspect, was_blocked, seen)
	 SELECT s.hash, s.alias, s.user_id, EXISTS (SELECT FROM sync_staged_keys t WHERE t.run_id = s.run_id AND t.hash = s.hash AND (t.suspect
	        OR EXISTS (SELECT FROM users u WHERE u.id::text = t.user_id))), s.blocked, s.seen
	 FROM sync_staged_keys s WHERE s.run_id = @run AND ` + strangeKeys + ` ORDER BY s.hash
	 ON CONFLICT (hash) DO UPDATE SET alias = excluded.alias, user_id = excluded.user_id, suspect = excluded.suspect, seen = excluded.seen,
	     last_seen = now(), failure = '',
	     was_blocked = CASE WHEN o.settled AND o.state IN ('seen', 'adopted', 'deleted') THEN excluded.was_blocked ELSE o.was_blocked END,
	     first_seen = CASE WHEN o.settled AND o.state IN ('adopted', 'deleted') THEN now() ELSE o.first_seen END,
	     decided_by = CASE WHEN o.settled AND o.state IN ('adopted', 'deleted') THEN '' ELSE o.decided_by END,
	     decided_at = CASE WHEN o.settled AND o.state IN ('adopted', 'deleted') THEN NULL ELSE o.decided_at END,
	     key_id = NULL,
	     settled = o.settled AND NOT (o.state = 'quarantined' AND NOT excluded.was_blocked),
	     state = CASE WHEN o.settled AND o.state IN ('adopted', 'deleted') THEN 'seen' ELSE o.state END`,
	`UPDATE sync_orphans o SET state = 'adopted', settled = true, failure = '', delete_after = NULL, key_id = k.id
	 FROM sync_runs run, api_keys k WHERE run.id = @run AND k.hash = o.hash AND o.state <> 'adopted'`,
	`UPDATE sync_orphans o SET state = 'deleted', settled = true, failure = '', delete_after = NULL
	 WHERE (o.state IN ('quarantined', 'released') OR o.state = 'deleted' AND NOT o.settled)
	   AND NOT EXISTS (SELECT FROM sync_staged_keys s WHERE s.run_id = @run AND s.hash = o.hash)`,
	`DELETE FROM sync_orphans o WHERE NOT EXISTS (SELECT FROM sync_staged_keys s WHERE s.run_id = @run AND s.hash = o.hash)
	   AND (o.state = 'seen' OR o.state IN ('deleted', 'adopted') AND o.settled AND o.last_seen < now() - interval '90 days')`,
}

// orphans records the keys of a run that are not ours, and quarantines those that claim to be, if
// the rules say so. If they are more than the guard lets go at once, it spares them, and says how
// many.
func (c keyComparison) orphans(ctx context.Context) (spared int, err error) {
	if err := c.do(ctx, recordOrphansSQL...); err != nil || c.rules.Orphans != models.OrphansQuarantined {
		return 0, err
	}
	var n struct{ Ours, Suspects int }
	err = c.tx.scan(ctx, "orphans", &n, `
		SELECT (SELECT count(*) FROM api_keys WHERE revoked_at IS NULL) AS ours,
		       (SELECT count(*) FROM sync_orphans WHERE state = 'seen' AND suspect) AS suspects`)
	if err != nil {
		return 0, err
	}
	if c.rules.Guard.Many(n.Ours, n.Suspects) {
		return n.Suspects, nil
	}
	return 0, c.tx.exec(ctx, "orphans", `
		UPDATE sync_orphans SET state = 'quarantined', settled = false, delete_after = ?, decided_by = 'system', decided_at = now()
		WHERE state = 'seen' AND suspect`, time.Now().Add(c.rules.OrphanDelay))
}

// KeyOrphanQuery selects a page of LiteLLM's keys that are not ours.
type KeyOrphanQuery struct {
	Page, Limit int                // both from 1
	State       models.OrphanState // "": any
	Suspect     *bool              // nil: either
}

// KeyOrphans returns a page of them, the newest first, and how many there are.
func (s *Store) KeyOrphans(ctx context.Context, q KeyOrphanQuery) (page []models.KeyOrphan, total int, err error) {
	where := gorm.G[models.KeyOrphan](s.db).Where("true")
	if q.State != "" {
		where = where.Where("state = ?", q.State)
	}
	if q.Suspect != nil {
		where = where.Where("suspect = ?", *q.Suspect)
	}
	n, err := where.Count(ctx, "hash")
	if err != nil {
		return nil, 0, kinded("keys that are not ours", err)
	}
	page, err = where.Order("first_seen DESC, hash").Offset((q.Page - 1) * q.Limit).Limit(q.Limit).Find(ctx)
	return page, int(n), kinded("keys that are not ours", err)
}

// KeyOrphan returns one of LiteLLM's keys that are not ours, by its hash.
func (s *Store) KeyOrphan(ctx context.Context, hash string) (models.KeyOrphan, error) {
	o, err := gorm.G[models.KeyOrphan](s.db).Where("hash = ?", hash).Take(ctx)
	return o, kinded("a key "+hash+" that is not ours", err)
}

// DueOrphans first has those deleted whose quarantine is over, then returns up to limit of those
// that LiteLLM does not follow, from after a hash on.
func (s *Store) DueOrphans(ctx context.Context, after string, limit int) ([]string, error) {
	err := s.InTx(ctx, func(tx *Store) error {
		var over []string
		err := tx.scan(ctx, "keys that are not ours", &over, `
			UPDATE sync_orphans SET state = 'deleted', settled = false, failure = '', delete_after = NULL, decided_by = 'system', decided_at = now()
			WHERE hash IN (SELECT hash FROM sync_orphans WHERE delete_after <= now() ORDER BY delete_after LIMIT ? FOR UPDATE SKIP LOCKED)
			RETURNING hash`, limit)
		if err != nil {
			return err
		}
		for _, hash := range over {
			err := tx.Audit(ctx, models.System("QuarantineOrphans"), models.Event{
				Action: models.AuditOrphanDelete, ResourceType: models.AuditOfOrphan, ResourceID: hash, Detail: map[string]any{"why": "its quarantine is over"},
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	hashes := []string{}
	err = s.scan(ctx, "keys that are not ours", &hashes,
		"SELECT hash FROM sync_orphans WHERE NOT settled AND failure = '' AND hash > ? ORDER BY hash LIMIT ?", after, limit)
	return hashes, err
}

// UnsettledOrphans returns those of the keys that LiteLLM does not follow. What has become one of
// ours is none of them.
func (s *Store) UnsettledOrphans(ctx context.Context, hashes []string) ([]models.KeyOrphan, error) {
	var rows []models.KeyOrphan
	err := s.scan(ctx, "keys that are not ours", &rows, `
		SELECT * FROM sync_orphans o WHERE hash IN ? AND NOT settled AND NOT EXISTS (SELECT FROM api_keys k WHERE k.hash = o.hash)`, hashes)
	return rows, err
}

// ObserveOrphans records what became of keys that are not ours at LiteLLM. Whose state has changed
// since is left as it is.
func (s *Store) ObserveOrphans(ctx context.Context, seen []models.OrphanProof) error {
	hashes, states, failures := make([]string, len(seen)), make([]string, len(seen)), make([]string, len(seen))
	for i, p := range seen {
		hashes[i], states[i], failures[i] = p.Hash, string(p.State), text(p.Failure, 500)
	}
	_, err := s.pool.Exec(ctx, `
		UPDATE sync_orphans o SET settled = v.failure = '', failure = v.failure
		FROM unnest($1::text[], $2::text[], $3::text[]) v (hash, state, failure)
		WHERE o.hash = v.hash AND o.state = v.state AND NOT o.settled`, hashes, states, failures)
	return kinded("keys that are not ours", err)
}

// decideOrphan gives an orphan another state. It is Conflict when it is not in one of those from
// which there is a way there; to decide the same again changes nothing.
func (s *Store) decideOrphan(ctx context.Context, hash string, to models.OrphanState, action models.AuditAction, by models.Actor) (models.KeyOrphan, error) {
	var o models.KeyOrphan
	err := s.InTx(ctx, func(tx *Store) error {
		n, err := tx.affect(ctx, "a key that is not ours", `
			UPDATE sync_orphans SET settled = (state = 'seen' AND ? = 'released'), state = ?, failure = '', delete_after = NULL, decided_by = ?, decided_at = now()
			WHERE hash = ? AND state IN ('seen', 'quarantined', 'released') AND state <> ?`, to, to, by.ID, hash, to)
		if err != nil {
			return err
		}
		o, err = tx.KeyOrphan(ctx, hash)
		switch {
		case err != nil:
			return err
		case n == 0 && o.State == to:
			return nil
		case n == 0:
			return models.Errorf(models.Conflict, "the key is %s already", o.State)
		}
		return tx.Audit(ctx, by, models.Event{
			Action: action, ResourceType: models.AuditOfOrphan, ResourceID: hash, Detail: map[string]any{"alias": o.Alias, "userId": o.UserID},
		})
	})
	return o, err
}

// ReleaseOrphan has LiteLLM take an orphan again, and every sync leave it alone.
func (s *Store) ReleaseOrphan(ctx context.Context, hash string, by models.Actor) (models.KeyOrphan, error) {
	return s.decideOrphan(ctx, hash, models.OrphanReleased, models.AuditOrphanRelease, by)
}

// DeleteOrphan has an orphan deleted at LiteLLM.
func (s *Store) DeleteOrphan(ctx context.Context, hash string, by models.Actor) (models.KeyOrphan, error) {
	return s.decideOrphan(ctx, hash, models.OrphanDeleted, models.AuditOrphanDelete, by)
}
