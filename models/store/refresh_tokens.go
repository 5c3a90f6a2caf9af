package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

func (s *Store) addRefreshToken(ctx context.Context, sessionID uuid.UUID, t models.RefreshToken) error {
	return s.exec(ctx, "refresh token", "INSERT INTO refresh_tokens (hash, session_id, expires_at) VALUES (?, ?, ?)", t.Hash, sessionID, t.ExpiresAt)
}

// refreshed is a refresh token that was shown, with what became of it.
type refreshed struct {
	SessionID, UserID uuid.UUID
	UsedAt            *time.Time
	Live              bool // token and session are good, the user is active
}

// RotateRefreshToken takes a refresh token, by its hash, and puts the next one in its place;
// the session lives as long as that at least. It is Unauthenticated when the token is nobody's,
// has expired, or its session has ended. A token that comes a second time was copied: its
// session ends then, and with it whatever came from the token.
func (s *Store) RotateRefreshToken(ctx context.Context, hash string, next models.RefreshToken, from models.Origin) (models.Session, error) {
	var out models.Session
	var refused error // told when what it led to is committed
	err := s.InTx(ctx, func(tx *Store) error {
		var tokens []refreshed
		err := tx.scan(ctx, "refresh token", &tokens, `
			SELECT t.session_id, s.user_id, t.used_at,
			       t.expires_at > now() AND s.expires_at > now() AND s.revoked_at IS NULL AND u.is_active AS live
			FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id JOIN users u ON u.id = s.user_id
			WHERE t.hash = ? FOR NO KEY UPDATE OF t, s`, hash) // the second of two waits, and sees it used
		switch {
		case err != nil:
			return err
		case len(tokens) == 0:
			refused = models.Errorf(models.Unauthenticated, "the refresh token is not known")
			return tx.refuse(ctx, models.Nobody(from), uuid.Nil, refused)
		}
		t := tokens[0]
		by := models.Actor{ID: t.UserID.String(), Via: "api", Origin: from}
		switch {
		case t.UsedAt != nil:
			refused = models.Errorf(models.Unauthenticated, "the refresh token was used before; the session has ended")
			gone, err := tx.revokeSessions(ctx, models.SessionStolen, "id = ?", t.SessionID)
			if err != nil {
				return err
			}
			if err := tx.auditSessions(ctx, by, gone); err != nil {
				return err
			}
			return tx.refuse(ctx, by, t.SessionID, refused)
		case !t.Live:
			refused = models.Errorf(models.Unauthenticated, "the session has ended")
			return tx.refuse(ctx, by, t.SessionID, refused)
		}
		out, err = tx.rotate(ctx, t.SessionID, hash, next)
		return err
	})
	if err == nil {
		err = refused
	}
	return out, err
}

func (s *Store) rotate(ctx context.Context, sessionID uuid.UUID, hash string, next models.RefreshToken) (models.Session, error) {
	if err := s.exec(ctx, "refresh token", "UPDATE refresh_tokens SET used_at = now() WHERE hash = ?", hash); err != nil {
		return models.Session{}, err
	}
	if err := s.addRefreshToken(ctx, sessionID, next); err != nil {
		return models.Session{}, err
	}
	err := s.exec(ctx, "session", "UPDATE sessions SET last_seen_at = now(), expires_at = greatest(expires_at, ?) WHERE id = ?", next.ExpiresAt, sessionID)
	if err != nil {
		return models.Session{}, err
	}
	if err := s.tell(ctx, NoticeSession, sessionID.String()); err != nil { // it ends later than remembered
		return models.Session{}, err
	}
	return s.Session(ctx, sessionID)
}

// refuse records that somebody was not let in.
func (s *Store) refuse(ctx context.Context, by models.Actor, sessionID uuid.UUID, why error) error {
	e := models.Event{Action: models.AuditFailed, ResourceType: models.AuditOfAuth, Failure: why.Error()}
	if sessionID != uuid.Nil {
		e.ResourceID = sessionID.String()
	}
	return s.Audit(ctx, by, e)
}
