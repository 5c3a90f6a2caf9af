package redissessions

import (
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// The keys. The braces keep them together where keys are spread over nodes: a script may touch
// those of one node only. Each goes by itself when nothing of it is good any more.
const (
	sessionPrefix    = "litemaas:{sessions}:session:"    // and its ID: its row
	livePrefix       = "litemaas:{sessions}:live:"       // and the ID of a user: the IDs of his, by when they began
	unrecordedPrefix = "litemaas:{sessions}:unrecorded:" // likewise: those that ended, by who is about to record that
	refreshPrefix    = "litemaas:{sessions}:refresh:"    // and the hash of a refresh token: its session, and what became of it
)

func sessionKey(id uuid.UUID) string { return sessionPrefix + id.String() }
func refreshKey(hash string) string  { return refreshPrefix + hash }

// rowOf is a session as it is written: the names of its fields, each followed by its value. Times
// are in microseconds, which is what Postgres keeps of them.
func rowOf(s models.Session) []any {
	return []any{
		"id", s.ID.String(), "user_id", s.UserID.String(), "provider", s.Provider, "provider_tokens", s.ProviderTokens,
		"auth_time", s.AuthTime.UnixMicro(), "ip", s.IP, "user_agent", s.UserAgent,
		"created_at", s.CreatedAt.UnixMicro(), "last_seen_at", s.LastSeenAt.UnixMicro(), "expires_at", s.ExpiresAt.UnixMicro(),
	}
}

// sessionOf is a session as it was read. It is Internal when it cannot be one of ours.
func sessionOf(fields map[string]string) (models.Session, error) {
	var broken []error
	id := func(name string) uuid.UUID {
		id, err := uuid.Parse(fields[name])
		broken = append(broken, err)
		return id
	}
	at := func(name string) time.Time {
		micro, err := strconv.ParseInt(fields[name], 10, 64)
		broken = append(broken, err)
		return time.UnixMicro(micro).UTC()
	}
	s := models.Session{
		ID: id("id"), UserID: id("user_id"), Provider: fields["provider"], ProviderTokens: []byte(fields["provider_tokens"]),
		AuthTime: at("auth_time"), IP: fields["ip"], UserAgent: fields["user_agent"],
		CreatedAt: at("created_at"), LastSeenAt: at("last_seen_at"), ExpiresAt: at("expires_at"),
		RevokedWhy: models.SessionEnd(fields["revoked_why"]),
	}
	if _, ok := fields["revoked_at"]; ok {
		s.RevokedAt = new(at("revoked_at"))
	}
	if err := errors.Join(broken...); err != nil {
		return models.Session{}, models.Wrap(models.Internal, err, "session %s in Redis cannot be read", fields["id"])
	}
	return s, nil
}
