// Package redissessions keeps sessions and their refresh tokens in Redis, for who configures one.
// All else that there is of people stays in Postgres: users, roles, signing keys, sign-ins under
// way and the audit log.
//
// What ends a session is done in Redis first, and then told and audited by Postgres. Should that
// fail, the session has ended all the same; the next try, or the next that ends a session of the
// user, makes up for it.
package redissessions

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Sessions is a store whose sessions are in Redis. What it says of them is what *store.Store
// says; beside that, each method is Unavailable while Redis does not answer.
type Sessions struct {
	*store.Store
	client *redis.Client
}

const (
	answerWithin = 2 * time.Second  // one call of Redis
	recordWithin = 5 * time.Second  // the transaction in Postgres
	lease        = 30 * time.Second // how long who ended a session has to record it, before others do
)

// New returns a store that keeps sessions in that Redis, whose client heeds deadlines, and all
// else in st. It connects to nothing by itself.
func New(st *store.Store, client *redis.Client) *Sessions {
	return &Sessions{Store: st, client: client}
}

// bounded is ctx for one call of Redis. That a caller hangs up does not end it half-way.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), answerWithin)
}

// away is that Redis did not do what it was asked for.
func away(err error) error {
	return models.Wrap(models.Unavailable, err, "the Redis that keeps the sessions does not answer: try again in a moment; nobody has to sign in again for it")
}

// CreateSession begins a session of an active user, which ends at its ExpiresAt, with its first
// refresh token, if any. An ID is given to it unless it has one. Should the user have too many
// live ones then, the oldest end. It is Forbidden when the user is not active.
func (s *Sessions) CreateSession(ctx context.Context, in models.Session, first *models.RefreshToken, by models.Actor) (models.Session, error) {
	in, since, err := s.AdmitSession(ctx, in)
	if err != nil {
		return models.Session{}, err
	}
	step := s.step(in.UserID)
	args := []any{in.ID.String(), models.MaxSessions, since.UnixMicro(), in.CreatedAt.UnixMicro(), in.ExpiresAt.UnixMilli(), 0}
	if first != nil {
		step.keys, args[5] = append(step.keys, refreshKey(first.Hash)), first.ExpiresAt.UnixMilli()
	}
	answer, err := step.run(ctx, begin, append(args, rowOf(in)...)...)
	if err != nil {
		return models.Session{}, err
	}
	if err := step.record(ctx, by, step.ended(answer), in.Begun()); err != nil {
		ctx, cancel := bounded(ctx)
		defer cancel()
		_ = s.client.Del(ctx, sessionKey(in.ID)).Err() // nobody is given it; if it stays, it ends by itself
		return models.Session{}, err
	}
	return in, nil
}

// Session returns one session, live or ended, with the provider's tokens. It is NotFound after
// its time, too.
func (s *Sessions) Session(ctx context.Context, id uuid.UUID) (models.Session, error) {
	return s.read(ctx, sessionKey(id))
}

func (s *Sessions) read(ctx context.Context, key string) (models.Session, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	fields, err := s.client.HGetAll(ctx, key).Result()
	switch {
	case err != nil:
		return models.Session{}, away(err)
	case len(fields) == 0:
		return models.Session{}, models.Errorf(models.NotFound, "session %s not found", strings.TrimPrefix(key, sessionPrefix))
	}
	return sessionOf(fields)
}

// Sessions returns the live sessions of a user, the last used first, without the provider's
// tokens.
func (s *Sessions) Sessions(ctx context.Context, userID uuid.UUID) ([]models.Session, error) {
	since, err := s.SessionsSince(ctx, userID)
	if err != nil {
		return nil, err
	}
	bound, cancel := bounded(ctx)
	defer cancel()
	ids, err := s.client.ZRange(bound, livePrefix+userID.String(), 0, -1).Result()
	if err != nil {
		return nil, away(err)
	}
	live := make([]models.Session, 0, len(ids))
	for _, id := range ids { // a few
		one, err := s.read(ctx, sessionPrefix+id)
		if err != nil && models.KindOf(err) != models.NotFound {
			return nil, err
		}
		if err == nil && one.RevokedAt == nil && one.CreatedAt.After(since) {
			one.ProviderTokens = nil
			live = append(live, one)
		}
	}
	slices.SortFunc(live, func(a, b models.Session) int {
		return cmp.Or(b.LastSeenAt.Compare(a.LastSeenAt), cmp.Compare(a.ID.String(), b.ID.String()))
	})
	return live, nil
}

// SetProviderTokens replaces the sealed tokens of the identity provider. It is NotFound when
// the session is not live.
func (s *Sessions) SetProviderTokens(ctx context.Context, id uuid.UUID, sealed []byte) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	live, err := setTokens.Run(ctx, s.client, []string{sessionKey(id)}, sealed).Bool()
	switch {
	case err != nil:
		return away(err)
	case !live:
		return models.Errorf(models.NotFound, "session %s not found", id)
	}
	return nil
}

// touchAtOnce bounds how long one script keeps Redis from all else.
const touchAtOnce = 500

// TouchSessions records that sessions were used, each at most once a minute.
func (s *Sessions) TouchSessions(ctx context.Context, seen []models.SessionSeen) error {
	for chunk := range slices.Chunk(models.LastSeen(seen), touchAtOnce) {
		keys, args := make([]string, len(chunk)), []any{models.SeenEvery.Microseconds()}
		for i, one := range chunk {
			keys[i] = sessionKey(one.ID)
			args = append(args, one.At.UnixMicro(), one.IP)
		}
		ctx, cancel := bounded(ctx)
		err := touch.Run(ctx, s.client, keys, args...).Err()
		cancel()
		if err != nil {
			return away(err)
		}
	}
	return nil
}

// RevokeSession ends a live session of that user, and with it every token of it, on every
// replica within a second. It is NotFound when the user has no such session. Where the end of a
// session could not be recorded, it may be asked for again.
func (s *Sessions) RevokeSession(ctx context.Context, userID, id uuid.UUID, why models.SessionEnd, by models.Actor) error {
	gone, err := s.revoke(ctx, userID, by, why, id.String(), "")
	if err == nil && !slices.ContainsFunc(gone, func(e models.EndedSession) bool { return e.ID == id }) {
		return models.Errorf(models.NotFound, "session %s not found", id)
	}
	return err
}

// RevokeSessions ends all live sessions of a user but one (zero: all), and says how many.
func (s *Sessions) RevokeSessions(ctx context.Context, userID, but uuid.UUID, why models.SessionEnd, by models.Actor) (int, error) {
	gone, err := s.revoke(ctx, userID, by, why, "", but.String())
	return len(gone), err
}

// revoke ends the session of that ID (empty: all), but not that other one.
func (s *Sessions) revoke(ctx context.Context, userID uuid.UUID, by models.Actor, why models.SessionEnd, only, but string) ([]models.EndedSession, error) {
	step := s.step(userID)
	answer, err := step.run(ctx, end, string(why), only, but)
	if err != nil {
		return nil, err
	}
	gone := step.ended(answer)
	return gone, step.record(ctx, by, gone)
}

// Principal returns who has that session, and what he may do now. It is Unauthenticated when
// there is no such session, when it has ended, and when the user is not active.
func (s *Sessions) Principal(ctx context.Context, sessionID uuid.UUID) (models.Principal, error) {
	in, err := s.Session(ctx, sessionID)
	switch {
	case models.KindOf(err) == models.NotFound:
		return models.Principal{}, models.Errorf(models.Unauthenticated, "there is no such session")
	case err != nil:
		return models.Principal{}, err
	case in.RevokedAt != nil:
		return models.Principal{}, models.Errorf(models.Unauthenticated, "the session has ended")
	}
	return s.PrincipalIn(ctx, in)
}
