package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// rotateSQL makes the successor: every attribute of the key, by what LiteLLM and we bound it. What
// a cascade took from the key, and may give back, is owed to the successor too.
const rotateSQL = `
	WITH heir AS (
		INSERT INTO api_keys (id, alias, hash, prefix, sealed, predecessor, created_by,
		       user_id, team_id, name, holds, max_budget, budget_duration, tpm_limit, rpm_limit, max_parallel, model_tpm, model_rpm, metadata,
		       expires_at, soft_budget, model_max_budget, tags, permissions, guardrails, subscription_id, rotate_every)
		SELECT CAST(@id AS uuid), @alias, @hash, @prefix, @sealed, k.id, @by,
		       k.user_id, k.team_id, k.name, k.holds, k.max_budget, k.budget_duration, k.tpm_limit, k.rpm_limit, k.max_parallel, k.model_tpm, k.model_rpm, k.metadata,
		       k.expires_at, k.soft_budget, k.model_max_budget, k.tags, k.permissions, k.guardrails, k.subscription_id, k.rotate_every
		FROM api_keys k WHERE k.id = @old
	), llms AS (
		INSERT INTO api_key_models (api_key_id, model_id) SELECT @id, model_id FROM api_key_models WHERE api_key_id = @old
	), owed AS (
		INSERT INTO cascade_keys (cascade_id, api_key_id, model_id)
		SELECT cascade_id, @id, model_id FROM cascade_keys WHERE api_key_id = @old AND NOT restored
	), counted AS (
		UPDATE cascades c SET keys = c.keys + 1
		FROM (SELECT id FROM cascades WHERE id IN (SELECT cascade_id FROM cascade_keys WHERE api_key_id = @old AND NOT restored) ORDER BY id FOR NO KEY UPDATE) l
		WHERE c.id = l.id
	)
	UPDATE api_keys SET retires_at = @retires, retire_silent = make_interval(secs => @silent), noticed_days = NULL, updated_at = now() WHERE id = @old`

// RotateKey gives a key a successor, which has all that the key has, and says when the key goes.
// It is Conflict when the key cannot be rotated: see models.Key.MayRotate. Who loses a race for
// the same key is told so.
func (s *Store) RotateKey(ctx context.Context, id uuid.UUID, heir models.Heir, how models.HowToRotate, by models.Actor) (old, made models.Key, err error) {
	if err := how.Check(); err != nil {
		return old, made, err
	}
	err = s.InTx(ctx, func(tx *Store) error {
		if old, err = tx.lockedForRotation(ctx, id); err != nil {
			return err
		}
		var before *models.Key
		if old.Predecessor != nil {
			k, err := tx.Key(ctx, *old.Predecessor)
			if err != nil {
				return err
			}
			before = &k
		}
		if err := old.MayRotate(before); err != nil {
			return err
		}
		var silent *float64
		if how.Silent != nil {
			silent = new(how.Silent.Seconds())
		}
		retires := how.RetiresBy(old, time.Now())
		err := tx.named(ctx, "successor of the API key", rotateSQL, map[string]any{
			"old": id, "id": heir.ID, "alias": heir.Alias, "hash": heir.Hash, "prefix": heir.Prefix, "sealed": heir.Sealed, "by": by.ID,
			"retires": retires, "silent": silent,
		})
		if err != nil {
			return err
		}
		if err := tx.inheritBudgets(ctx, id, heir.ID); err != nil {
			return err
		}
		if old, err = tx.Key(ctx, id); err != nil {
			return err
		}
		if made, err = tx.Key(ctx, heir.ID); err != nil {
			return err
		}
		return tx.tellRotation(ctx, models.KeyRotated, models.AuditUserKeyRotate, old, made, by)
	})
	return old, made, err
}

// lockedForRotation returns a key that stays as it is until the transaction ends, and so do its
// owner and his subscriptions: what is taken from them later is taken from a successor too.
func (s *Store) lockedForRotation(ctx context.Context, id uuid.UUID) (models.Key, error) {
	k, err := s.Key(ctx, id)
	if err != nil {
		return k, err
	}
	for _, sql := range []string{
		"SELECT id FROM users WHERE id = ? FOR SHARE", "SELECT id FROM subscriptions WHERE user_id = ? ORDER BY id FOR SHARE",
	} {
		if err := s.exec(ctx, "the owner of the API key", sql, k.UserID); err != nil {
			return k, err
		}
	}
	return s.rotatingKey(ctx, id)
}

// rotatingKey returns a key that stays as it is until the transaction ends. It is read by a
// statement of its own, which sees what those have written who held the lock.
func (s *Store) rotatingKey(ctx context.Context, id uuid.UUID) (models.Key, error) {
	if err := s.exec(ctx, "API key", "SELECT id FROM api_keys WHERE id = ? OR predecessor = ? ORDER BY id FOR NO KEY UPDATE", id, id); err != nil {
		return models.Key{}, err
	}
	return s.Key(ctx, id)
}

// tellRotation writes what became of a rotation into the audit log, and tells the owner.
func (s *Store) tellRotation(ctx context.Context, news string, action models.AuditAction, old, heir models.Key, by models.Actor) error {
	data := map[string]any{
		"userId": old.UserID, "name": old.Name, "oldPrefix": old.Prefix, "prefix": heir.Prefix, "successorId": heir.ID, "retiresAt": old.RetiresAt,
	}
	err := s.announce(ctx, keyNews(news, old.ID, old.UserID, data))
	if err != nil {
		return err
	}
	return s.Audit(ctx, by, models.Event{Action: action, ResourceType: models.AuditOfKey, ResourceID: old.ID.String(), Detail: data})
}

// heirOf returns the successor of a key; it is Conflict when there is none.
func (s *Store) heirOf(ctx context.Context, id uuid.UUID) (models.Key, error) {
	var ids []uuid.UUID
	if err := s.scan(ctx, "API keys", &ids, "SELECT id FROM api_keys WHERE predecessor = ?", id); err != nil {
		return models.Key{}, err
	}
	if len(ids) == 0 {
		return models.Key{}, models.Errorf(models.Conflict, "The API key is not being rotated")
	}
	return s.Key(ctx, ids[0])
}

// HastenRetirement has a key go now that is being rotated, as far as its successor works. It is
// Conflict when the key is not being rotated; one that has gone already stays so.
func (s *Store) HastenRetirement(ctx context.Context, id uuid.UUID, by models.Actor) (k models.Key, err error) {
	err = s.InTx(ctx, func(tx *Store) error {
		if k, err = tx.rotatingKey(ctx, id); err != nil {
			return err
		}
		if _, err := tx.heirOf(ctx, id); err != nil {
			return err
		}
		if k.RevokedAt != nil {
			return nil
		}
		err := tx.exec(ctx, "API key", "UPDATE api_keys SET retires_at = least(retires_at, clock_timestamp()), updated_at = now() WHERE id = ?", id)
		if err != nil {
			return err
		}
		if k, err = tx.Key(ctx, id); err != nil {
			return err
		}
		return tx.Audit(ctx, by, models.Event{
			Action: models.AuditUserKeyRetire, ResourceType: models.AuditOfKey, ResourceID: id.String(), Detail: map[string]any{"userId": k.UserID, "early": true},
		})
	})
	return k, err
}

// UndoRotation lets a key live on whose successor shall not be, for the reason given. It is
// Conflict when the key is not being rotated, or has gone.
func (s *Store) UndoRotation(ctx context.Context, id uuid.UUID, why string, by models.Actor) (old, heir models.Key, err error) {
	err = s.InTx(ctx, func(tx *Store) error {
		if old, err = tx.rotatingKey(ctx, id); err != nil {
			return err
		}
		if heir, err = tx.heirOf(ctx, id); err != nil {
			return err
		}
		switch {
		case old.RevokedAt != nil:
			return models.Errorf(models.Conflict, "The API key has gone already: its successor is alone")
		case heir.RetiresAt != nil:
			return models.Errorf(models.Conflict, "The successor of the API key is being rotated itself")
		}
		e := ending{why: models.KeyEndUndone, action: models.AuditUserKeyUndo, by: by}
		if _, err := tx.endKeys(ctx, e, "k.id = @id", map[string]any{"id": heir.ID}); err != nil {
			return err
		}
		err := tx.exec(ctx, "API keys", `
			UPDATE api_keys SET predecessor = CASE WHEN id = ? THEN predecessor END, retires_at = NULL, retire_silent = NULL, updated_at = now() WHERE id IN ?`,
			id, []uuid.UUID{id, heir.ID})
		if err != nil {
			return err
		}
		if err := tx.tellRotation(ctx, models.KeyRotationUndone, models.AuditUserKeyUndo, old, heir, by); err != nil {
			return err
		}
		if old, err = tx.Key(ctx, id); err != nil {
			return err
		}
		heir, err = tx.Key(ctx, heir.ID)
		return err
	})
	return old, heir, err
}

// KeyRotation says how far the rotation of a key has come.
func (s *Store) KeyRotation(ctx context.Context, id uuid.UUID) (models.KeyRotation, error) {
	var rows []struct {
		Heir             *uuid.UUID
		Held, Over       bool
		End              string
		RetireIn, Silent *float64 // seconds
	}
	err := s.scan(ctx, "rotation", &rows, `
		SELECT h.id AS heir, coalesce(h.observed_generation > 0, false) AS held, k.revoked_at IS NOT NULL OR k.retires_at IS NULL AS over,
		       CASE WHEN k.revoked_at IS NULL THEN '' ELSE coalesce(nullif(k.revoked_why, ''), 'revoked') END AS end,
		       extract(epoch FROM k.retires_at - clock_timestamp()) AS retire_in,
		       extract(epoch FROM greatest(k.last_used_at, h.created_at) + k.retire_silent - clock_timestamp()) AS silent
		FROM api_keys k LEFT JOIN api_keys h ON h.predecessor = k.id WHERE k.id = ?`, id)
	switch {
	case err != nil:
		return models.KeyRotation{}, err
	case len(rows) == 0:
		return models.KeyRotation{}, models.Errorf(models.NotFound, "API key %s not found", id)
	}
	r := rows[0]
	out := models.KeyRotation{Held: r.Held, Over: r.Over || r.Heir == nil, End: r.End}
	if r.Heir != nil {
		out.Heir = *r.Heir
	}
	if r.RetireIn != nil {
		out.RetireIn = seconds(*r.RetireIn)
	}
	if r.Silent != nil {
		out.SilentIn = new(seconds(*r.Silent))
	}
	return out, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// RetireKey ends a key that is being rotated, if it is to go by now, or was silent for so long as
// it may be; and if its successor works. It reports whether the key has gone, then or before.
func (s *Store) RetireKey(ctx context.Context, id uuid.UUID, by models.Actor) (gone bool, err error) {
	err = s.InTx(ctx, func(tx *Store) error {
		ended, err := tx.endKeys(ctx, ending{models.KeyEndRotated, models.AuditUserKeyRetire, models.KeyRetired, by}, heirHeld+` AND k.id = @id AND (
			k.retires_at <= clock_timestamp() OR k.retires_at IS NOT NULL AND greatest(k.last_used_at, (SELECT h.created_at FROM api_keys h WHERE h.predecessor = k.id)) + k.retire_silent <= clock_timestamp())`,
			map[string]any{"id": id})
		if gone = len(ended) > 0; gone || err != nil {
			return err
		}
		k, err := tx.Key(ctx, id)
		gone = k.RevokedAt != nil
		return err
	})
	return gone, err
}

// NoteKeyUse records that a key was used then, unless it was used later.
func (s *Store) NoteKeyUse(ctx context.Context, id uuid.UUID, at time.Time) error {
	return s.exec(ctx, "API key", "UPDATE api_keys SET last_used_at = greatest(last_used_at, ?) WHERE id = ?", at, id)
}

// SetRotationPolicy has a key rotated each time that it is so old; nil: never. It is Conflict when
// the key is revoked.
func (s *Store) SetRotationPolicy(ctx context.Context, id uuid.UUID, every *time.Duration, by models.Actor) error {
	if every != nil && (*every < models.MinRotateEvery || *every > models.MaxRotateEvery) {
		return models.Errorf(models.Invalid, "a key is rotated every 1 to %d days", models.MaxExpirationDays).On("rotateEvery")
	}
	return s.InTx(ctx, func(tx *Store) error {
		var secs *float64
		if every != nil {
			secs = new(every.Seconds())
		}
		n, err := tx.affect(ctx, "API key", `
			UPDATE api_keys SET rotate_every = make_interval(secs => ?), noticed_days = NULL, updated_at = now()
			WHERE id = ? AND revoked_at IS NULL`, secs, id)
		if err != nil {
			return err
		}
		if n == 0 {
			return models.Errorf(models.Conflict, "The API key is revoked")
		}
		return tx.Audit(ctx, by, models.Event{
			Action: models.AuditUserKeyPolicy, ResourceType: models.AuditOfKey, ResourceID: id.String(), After: map[string]any{"rotateEverySeconds": secs},
		})
	})
}

// KeysToRotate returns up to limit keys that are to be rotated by policy, the longest due first.
// One that is held waits until it may be used again.
func (s *Store) KeysToRotate(ctx context.Context, limit int) ([]models.Key, error) {
	var rows []models.Key
	err := s.scan(ctx, "API keys", &rows, "SELECT "+keyColumns+` FROM api_keys k
		LEFT JOIN api_keys before ON before.id = k.predecessor AND before.revoked_at IS NULL AND before.retires_at IS NOT NULL
		WHERE k.revoked_at IS NULL AND k.rotate_every IS NOT NULL AND k.created_at + k.rotate_every <= now()
		  AND k.retires_at IS NULL AND before.id IS NULL AND k.observed_generation > 0 AND k.holds = '[]'
		  AND (k.expires_at IS NULL OR k.expires_at > now() + interval '1 hour')
		ORDER BY k.created_at + k.rotate_every LIMIT ?`, limit)
	return rows, err
}

// NewRotations returns up to limit keys whose rotation began in the last while: its run may never
// have been started.
func (s *Store) NewRotations(ctx context.Context, within time.Duration, limit int) ([]uuid.UUID, error) {
	ids := []uuid.UUID{}
	err := s.scan(ctx, "rotations", &ids, `
		SELECT k.id FROM api_keys k JOIN api_keys h ON h.predecessor = k.id
		WHERE k.revoked_at IS NULL AND k.retires_at IS NOT NULL AND h.created_at > now() - make_interval(secs => ?)
		ORDER BY h.created_at LIMIT ?`, within.Seconds(), limit)
	return ids, err
}
