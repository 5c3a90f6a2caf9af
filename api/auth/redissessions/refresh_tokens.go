package redissessions

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/litemaas/litemaas/models"
)

// RotateRefreshToken takes a refresh token, by its hash, and puts the next one in its place; the
// session lives as long as that at least. It is Unauthenticated when the token is nobody's, has
// expired, or its session has ended. A token that comes a second time was copied: its session
// ends then, and with it whatever came from the token. Within models.RefreshGrace it is taken for
// a client that lost the answer, unless what it was answered has been used: there is a further
// token then, and again says so. Whichever of them is used first uses up the others.
func (s *Sessions) RotateRefreshToken(ctx context.Context, hash string, next models.RefreshToken, from models.Origin) (out models.Session, again bool, err error) {
	in, err := s.sessionOfToken(ctx, hash)
	step := s.step(in.UserID)
	if models.KindOf(err) == models.NotFound {
		return out, false, step.refuse(ctx, models.Nobody(from), uuid.Nil, "the refresh token is not known")
	}
	if err != nil {
		return out, false, err
	}
	by := models.Actor{ID: in.UserID.String(), Via: "api", Origin: from}
	if _, err := s.PrincipalIn(ctx, in); models.KindOf(err) == models.Unauthenticated {
		return out, false, step.refuse(ctx, by, in.ID, "the session has ended")
	} else if err != nil {
		return out, false, err
	}
	step.keys = append(step.keys, refreshKey(hash), refreshKey(next.Hash))
	answer, err := step.run(ctx, rotate, in.ID.String(), models.RefreshGrace.Microseconds(), next.ExpiresAt.UnixMicro(), next.ExpiresAt.UnixMilli())
	if err != nil {
		return out, false, err
	}
	switch answer[0] {
	case "rotated", "again": // nobody is told: who remembers the session looks again when it would have ended
		out, err = s.Session(ctx, in.ID)
		return out, answer[0] == "again", err
	case "used":
		return out, false, step.refuse(ctx, by, in.ID, "the refresh token was used before; the session has ended", answer[1:]...)
	default:
		return out, false, step.refuse(ctx, by, in.ID, "the session has ended")
	}
}

// sessionOfToken returns the session of a refresh token. It is NotFound when nothing is known of
// either.
func (s *Sessions) sessionOfToken(ctx context.Context, hash string) (models.Session, error) {
	bound, cancel := bounded(ctx)
	defer cancel()
	id, err := s.client.HGet(bound, refreshKey(hash), "session_id").Result()
	switch {
	case errors.Is(err, redis.Nil):
		return models.Session{}, models.Errorf(models.NotFound, "refresh token not found")
	case err != nil:
		return models.Session{}, away(err)
	}
	return s.read(ctx, sessionPrefix+id)
}

// refuse records that somebody was not let in, and what a script answered that it ended for it.
// It returns why he was not.
func (s *step) refuse(ctx context.Context, by models.Actor, sessionID uuid.UUID, why string, answer ...string) error {
	refused := models.Errorf(models.Unauthenticated, "%s", why)
	if err := s.record(ctx, by, s.ended(answer), models.RefusedSession(sessionID, refused)); err != nil {
		return err
	}
	return refused
}
