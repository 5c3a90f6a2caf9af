package store

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// sessionColumns are all but the provider's tokens, which lists have no use for.
const sessionColumns = `s.id, s.user_id, s.provider, s.auth_time, s.ip, s.user_agent, s.created_at, s.last_seen_at, s.expires_at, s.revoked_at, s.revoked_why`

// CreateSession begins a session of an active user, which ends at its ExpiresAt, with its first
// refresh token, if any. An ID is given to it unless it has one. Should the user have too many
// live ones then, the oldest end. It is Forbidden when the user is not active.
func (s *Store) CreateSession(ctx context.Context, in models.Session, first *models.RefreshToken, by models.Actor) (models.Session, error) {
	if in.ID == uuid.Nil {
		in.ID = uuid.New()
	}
	var out models.Session
	err := s.InTx(ctx, func(tx *Store) error {
		u, err := tx.lockedUser(ctx, in.UserID) // one session of a user after the other
		if err != nil {
			return err
		}
		if !u.Active() {
			return models.Errorf(models.Forbidden, "the account is deactivated")
		}
		err = tx.exec(ctx, "session", `
			INSERT INTO sessions (id, user_id, provider, provider_tokens, auth_time, created_at, ip, user_agent, last_seen_at, expires_at)
			SELECT ?, ?, ?, ?, ?, at, ?, ?, at, ? FROM clock_timestamp() at`,
			in.ID, in.UserID, in.Provider, in.ProviderTokens, in.AuthTime, text(in.IP, 64), text(in.UserAgent, 300), in.ExpiresAt)
		if err != nil {
			return err
		}
		if first != nil {
			if err := tx.addRefreshToken(ctx, in.ID, *first, nil); err != nil {
				return err
			}
		}
		displaced, err := tx.revokeSessions(ctx, models.SessionDisplaced, `id IN (
			SELECT id FROM sessions WHERE user_id = ? AND revoked_at IS NULL AND expires_at > now()
			ORDER BY created_at DESC OFFSET ?)`, in.UserID, models.MaxSessions)
		if err != nil {
			return err
		}
		if err := tx.auditSessions(ctx, by, displaced); err != nil {
			return err
		}
		if out, err = tx.Session(ctx, in.ID); err != nil {
			return err
		}
		return tx.Audit(ctx, by, out.Begun())
	})
	return out, err
}

// Session returns one session, live or not, with the provider's tokens.
func (s *Store) Session(ctx context.Context, id uuid.UUID) (models.Session, error) {
	var rows []models.Session
	err := s.scan(ctx, "session", &rows, "SELECT "+sessionColumns+", s.provider_tokens FROM sessions s WHERE s.id = ?", id)
	if err == nil && len(rows) == 0 {
		err = models.Errorf(models.NotFound, "session %s not found", id)
	}
	if err != nil {
		return models.Session{}, err
	}
	return rows[0], nil
}

// Sessions returns the live sessions of a user, the last used first, without the provider's
// tokens.
func (s *Store) Sessions(ctx context.Context, userID uuid.UUID) ([]models.Session, error) {
	rows := []models.Session{}
	err := s.scan(ctx, "sessions", &rows, "SELECT "+sessionColumns+` FROM sessions s
		WHERE s.user_id = ? AND s.revoked_at IS NULL AND s.expires_at > now() ORDER BY s.last_seen_at DESC, s.id`, userID)
	return rows, err
}

// SetProviderTokens replaces the sealed tokens of the identity provider. It is NotFound when
// the session is not live.
func (s *Store) SetProviderTokens(ctx context.Context, id uuid.UUID, sealed []byte) error {
	n, err := s.affect(ctx, "session", `
		UPDATE sessions SET provider_tokens = ? WHERE id = ? AND revoked_at IS NULL AND expires_at > now()`, sealed, id)
	if err == nil && n == 0 {
		return models.Errorf(models.NotFound, "session %s not found", id)
	}
	return err
}

// TouchSessions records that sessions were used, each at most once a minute. What another
// replica is writing just now is left out: it says the same.
func (s *Store) TouchSessions(ctx context.Context, seen []models.SessionSeen) error {
	seen = models.LastSeen(seen)
	ids, ats, ips := make([]uuid.UUID, len(seen)), make([]time.Time, len(seen)), make([]string, len(seen))
	for i, one := range seen {
		ids[i], ats[i], ips[i] = one.ID, one.At, text(one.IP, 64)
	}
	_, err := s.pool.Exec(ctx, `
		UPDATE sessions s SET last_seen_at = seen.at, ip = CASE WHEN seen.ip = '' THEN s.ip ELSE seen.ip END
		FROM (SELECT l.id, v.at, v.ip
		      FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) v(id, at, ip) JOIN sessions l ON l.id = v.id
		      WHERE v.at >= l.last_seen_at + $4::interval AND l.revoked_at IS NULL
		      FOR UPDATE OF l SKIP LOCKED) seen
		WHERE s.id = seen.id`, ids, ats, ips, models.SeenEvery)
	return kinded("sessions", err)
}

// RevokeSession ends a live session of that user, and with it every token of it, on every
// replica within a second. It is NotFound when the user has no such session.
func (s *Store) RevokeSession(ctx context.Context, userID, id uuid.UUID, why models.SessionEnd, by models.Actor) error {
	return s.InTx(ctx, func(tx *Store) error {
		gone, err := tx.revokeSessions(ctx, why, "id = ? AND user_id = ?", id, userID)
		if err == nil && len(gone) == 0 {
			err = models.Errorf(models.NotFound, "session %s not found", id)
		}
		if err != nil {
			return err
		}
		return tx.auditSessions(ctx, by, gone)
	})
}

// RevokeSessions ends all live sessions of a user but one (zero: all), and says how many.
func (s *Store) RevokeSessions(ctx context.Context, userID, but uuid.UUID, why models.SessionEnd, by models.Actor) (int, error) {
	var gone []models.EndedSession
	err := s.InTx(ctx, func(tx *Store) (err error) {
		if gone, err = tx.revokeSessions(ctx, why, "user_id = ? AND id <> ?", userID, but); err != nil {
			return err
		}
		return tx.auditSessions(ctx, by, gone)
	})
	return len(gone), err
}

// revokeSessions ends the live sessions that a condition selects, and tells of each.
func (s *Store) revokeSessions(ctx context.Context, why models.SessionEnd, where string, args ...any) ([]models.EndedSession, error) {
	var gone []models.EndedSession
	err := s.scan(ctx, "sessions", &gone, `
		WITH gone AS (
			UPDATE sessions SET revoked_at = now(), revoked_why = ? WHERE revoked_at IS NULL AND expires_at > now() AND `+where+`
			RETURNING id, user_id, revoked_why AS why)
		SELECT *, pg_notify(?, ? || ':' || id)::text FROM gone`, slices.Concat([]any{why}, args, []any{accessChannel, string(NoticeSession)})...)
	return gone, err
}

// auditSessions records that sessions were ended.
func (s *Store) auditSessions(ctx context.Context, by models.Actor, gone []models.EndedSession) error {
	for _, e := range gone {
		if err := s.Audit(ctx, by, e.Event()); err != nil {
			return err
		}
	}
	return nil
}

// Expired counts what ExpireSessions took away.
type Expired struct{ Sessions, LoginStates, SigningKeys int }

// expireAtOnce bounds how many rows one statement deletes.
const expireAtOnce = 5000

// ExpireSessions takes away what is of no use any more: sessions that ended longer than keep
// ago with their refresh tokens, login states nobody came back with, and signing keys whose
// signatures are no longer good.
func (s *Store) ExpireSessions(ctx context.Context, keep time.Duration) (Expired, error) {
	var e Expired
	before := time.Now().Add(-keep)
	for {
		n, err := s.affect(ctx, "sessions", `
			DELETE FROM sessions WHERE id IN (
				(SELECT id FROM sessions WHERE expires_at < ? LIMIT ?) UNION (SELECT id FROM sessions WHERE revoked_at < ? LIMIT ?))`,
			before, expireAtOnce, before, expireAtOnce)
		e.Sessions += n
		if err != nil {
			return e, err
		}
		if n < expireAtOnce {
			break
		}
	}
	var err error
	if e.LoginStates, err = s.affect(ctx, "login states", "DELETE FROM login_states WHERE expires_at < now()"); err != nil {
		return e, err
	}
	e.SigningKeys, err = s.affect(ctx, "signing keys", "DELETE FROM signing_keys WHERE expires_at < now()")
	return e, err
}
