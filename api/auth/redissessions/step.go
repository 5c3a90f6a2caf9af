package redissessions

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/litemaas/litemaas/models"
)

// step is one step in Redis on the sessions of a user.
type step struct {
	*Sessions
	userID uuid.UUID
	keys   []string // that its script is given: the two of the user, then its own
	at     int64    // in microseconds. It names the step: the client of Redis may send it twice
}

func (s *Sessions) step(userID uuid.UUID) *step {
	return &step{s, userID, []string{livePrefix + userID.String(), unrecordedPrefix + userID.String()}, time.Now().UnixMicro()}
}

// run takes the step, and returns what the script answers.
func (s *step) run(ctx context.Context, script *redis.Script, args ...any) ([]string, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	args = append([]any{s.at, sessionPrefix, lease.Microseconds()}, args...)
	answer, err := script.Run(ctx, s.client, s.keys, args...).StringSlice()
	if err != nil {
		return nil, away(err)
	}
	return answer, nil
}

// ended reads what a script answers of the sessions that it ended, and of those that were ended
// before and are not recorded: ID, reason, ID, …
func (s *step) ended(answer []string) []models.EndedSession {
	gone := make([]models.EndedSession, 0, len(answer)/2)
	for pair := range slices.Chunk(answer, 2) {
		if id, err := uuid.Parse(pair[0]); err == nil { // else it was not us who wrote it
			gone = append(gone, models.EndedSession{ID: id, UserID: s.userID, Why: models.SessionEnd(pair[1])})
		}
	}
	return gone
}

// record tells of the sessions that ended and audits their end, and the events behind that, by
// Postgres. What cannot be recorded is left to whatever ends a session of the user next.
func (s *step) record(ctx context.Context, by models.Actor, gone []models.EndedSession, events ...models.Event) error {
	if len(gone)+len(events) == 0 {
		return nil
	}
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	err := s.RecordSessions(recording, by, gone, events...)
	if len(gone) > 0 {
		s.note(ctx, gone, err == nil)
	}
	return err
}

// note notes in Redis that ended sessions are recorded, or else that anybody may do that. If it
// cannot, they count as not recorded after the lease.
func (s *step) note(ctx context.Context, gone []models.EndedSession, recorded bool) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	ids, free := make([]any, len(gone)), make([]redis.Z, len(gone))
	for i, e := range gone {
		ids[i], free[i].Member = e.ID.String(), e.ID.String()
	}
	var err error
	if unrecorded := s.keys[1]; recorded {
		err = s.client.ZRem(ctx, unrecorded, ids...).Err()
	} else {
		err = s.client.ZAddXX(ctx, unrecorded, free...).Err()
	}
	if err != nil {
		slog.WarnContext(ctx, "the end of sessions is recorded late, or twice", "user_id", s.userID, "error", err)
	}
}
