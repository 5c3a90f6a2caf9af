package store

import (
	"context"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// addRefreshToken gives a session a token, in the place of another (nil: it is the first).
func (s *Store) addRefreshToken(ctx context.Context, sessionID uuid.UUID, t models.RefreshToken, replaces *string) error {
	return s.exec(ctx, "refresh token", "INSERT INTO refresh_tokens (hash, session_id, expires_at, replaces) VALUES (?, ?, ?, ?)",
		t.Hash, sessionID, t.ExpiresAt, replaces)
}

// refreshed is a refresh token that was shown, with what became of it.
type refreshed struct {
	SessionID, UserID uuid.UUID
	Used              bool
	Again             bool // used just now, and nothing came of it: the answer was lost
	Live              bool // token and session are good, the user is active
}

// RotateRefreshToken takes a refresh token, by its hash, and puts the next one in its place;
// the session lives as long as that at least. It is Unauthenticated when the token is nobody's,
// has expired, or its session has ended. A token that comes a second time was copied: its
// session ends then, and with it whatever came from the token. Within models.RefreshGrace it is
// taken for a client that lost the answer, unless what it was answered has been used: there is
// a further token then, and again says so. Whichever of them is used first uses up the others.
func (s *Store) RotateRefreshToken(ctx context.Context, hash string, next models.RefreshToken, from models.Origin) (out models.Session, again bool, err error) {
	var refused error // told when what it led to is committed
	err = s.InTx(ctx, func(tx *Store) error {
		t, err := tx.shown(ctx, hash)
		if models.KindOf(err) == models.NotFound {
			refused = models.Errorf(models.Unauthenticated, "the refresh token is not known")
			return tx.refuse(ctx, models.Nobody(from), uuid.Nil, refused)
		}
		if err != nil {
			return err
		}
		by := models.Actor{ID: t.UserID.String(), Via: "api", Origin: from}
		switch {
		case t.Used && !t.Again:
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
		again = t.Again
		out, err = tx.rotate(ctx, t.SessionID, hash, next)
		return err
	})
	if err == nil {
		err = refused
	}
	return out, again, err
}

// shown is the refresh token with that hash. Those who show one of the same session wait for
// each other, and each sees what the one before it did. It is NotFound when there is none.
func (s *Store) shown(ctx context.Context, hash string) (refreshed, error) {
	err := s.exec(ctx, "session", "SELECT FROM sessions WHERE id = (SELECT session_id FROM refresh_tokens WHERE hash = ?) FOR NO KEY UPDATE", hash)
	if err != nil {
		return refreshed{}, err
	}
	var tokens []refreshed
	err = s.scan(ctx, "refresh token", &tokens, `
		SELECT t.session_id, s.user_id, t.used_at IS NOT NULL AS used,
		       coalesce(t.used_at > now() - make_interval(secs => ?) AND (
		           SELECT bool_and(n.used_at IS NULL) FROM refresh_tokens n
		           WHERE n.session_id = t.session_id AND n.replaces = t.hash), false) AS again,
		       t.expires_at > now() AND s.expires_at > now() AND s.revoked_at IS NULL AND u.is_active AS live
		FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id JOIN users u ON u.id = s.user_id
		WHERE t.hash = ?`, models.RefreshGrace.Seconds(), hash)
	if err == nil && len(tokens) == 0 {
		err = models.Errorf(models.NotFound, "refresh token not found")
	}
	if err != nil {
		return refreshed{}, err
	}
	return tokens[0], nil
}

func (s *Store) rotate(ctx context.Context, sessionID uuid.UUID, hash string, next models.RefreshToken) (models.Session, error) {
	err := s.exec(ctx, "refresh token", `
		UPDATE refresh_tokens t SET used_at = now() FROM refresh_tokens shown
		WHERE shown.hash = ? AND t.session_id = shown.session_id AND t.used_at IS NULL
		  AND (t.hash = shown.hash OR t.replaces = shown.replaces)`, hash)
	if err != nil {
		return models.Session{}, err
	}
	if err := s.addRefreshToken(ctx, sessionID, next, &hash); err != nil {
		return models.Session{}, err
	}
	err = s.exec(ctx, "session", "UPDATE sessions SET last_seen_at = now(), expires_at = greatest(expires_at, ?) WHERE id = ?", next.ExpiresAt, sessionID)
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
	return s.Audit(ctx, by, models.RefusedSession(sessionID, why))
}
