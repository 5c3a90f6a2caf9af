package store

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// NoticeKind says what somebody who remembers principals is told.
type NoticeKind string

// The kinds. What changed is told by the transaction that changes it, at its commit.
const (
	NoticeUser    NoticeKind = "user"     // what the user may, or what he is called, changed
	NoticeSession NoticeKind = "session"  // the session ended
	NoticeRoles   NoticeKind = "roles"    // what some role permits changed
	NoticeKeys    NoticeKind = "keys"     // the signing keys changed
	NoticeAPIKey  NoticeKind = "key"      // the API key of that hash changed; told by triggers, as the next two
	NoticeOwner   NoticeKind = "owner"    // what all API keys of the user may changed
	NoticeAPIKeys NoticeKind = "api_keys" // very many API keys changed
	NoticeAlive   NoticeKind = "alive"    // everything committed before At has been told
	NoticeLost    NoticeKind = "lost"     // something may have been missed: forget everything
)

// Notice is one thing that a listener is told.
type Notice struct {
	Kind NoticeKind
	ID   uuid.UUID // of the user or the session
	Hash string    // of the API key, in hex
	At   time.Time // of NoticeAlive: by the clock of this machine
}

// accessChannel is where notices are sent, as kind:id.
const accessChannel = "litemaas_access"

// The pace of a listener. It proves itself alive by telling itself something.
const (
	beatEvery   = 300 * time.Millisecond
	beatTimeout = 2 * time.Second
	maxPause    = 2 * time.Second // between tries to connect
)

// tell tells every listener, when the transaction commits.
func (s *Store) tell(ctx context.Context, kind NoticeKind, id string) error {
	payload := string(kind)
	if id != "" {
		payload += ":" + id
	}
	return s.exec(ctx, "notice", "SELECT pg_notify(?, ?)", accessChannel, payload)
}

func (s *Store) tellUser(ctx context.Context, id uuid.UUID) error {
	return s.tell(ctx, NoticeUser, id.String())
}

// Listen hands on what is told, in order, until ctx ends, on a connection of its own that it
// makes anew when it breaks. Every 300 ms it hands on NoticeAlive, so who has not heard that
// for some time knows that he may have missed something. A NoticeLost comes before anything
// else on each new connection. handle is called by one goroutine and must be quick.
func (s *Store) Listen(ctx context.Context, handle func(Notice)) error {
	for pause := beatEvery; ; {
		began := time.Now()
		err := s.listen(ctx, handle)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		handle(Notice{Kind: NoticeLost})
		if pause = min(2*pause, maxPause); time.Since(began) > maxPause || err == nil {
			pause = beatEvery
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// listen hands on what one connection is told, until that breaks.
func (s *Store) listen(ctx context.Context, handle func(Notice)) error {
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return kinded("listener", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	beats := "litemaas_beat_" + strings.ReplaceAll(uuid.NewString(), "-", "") // nobody else's business
	if _, err := conn.Exec(ctx, "LISTEN "+accessChannel+"; LISTEN "+beats); err != nil {
		return kinded("listener", err)
	}
	handle(Notice{Kind: NoticeLost})
	for {
		sent := time.Now()
		if err := beat(ctx, conn, beats); err != nil {
			return err
		}
		if err := hear(ctx, conn, sent, beats, handle); err != nil {
			return err
		}
	}
}

// beat tells this very connection something.
func beat(ctx context.Context, conn *pgx.Conn, channel string) error {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	_, err := conn.Exec(ctx, "NOTIFY "+channel)
	return kinded("listener", err)
}

// hear hands on what comes until the next beat is due. The beat that was sent comes back
// behind all that was committed before it.
func hear(ctx context.Context, conn *pgx.Conn, sent time.Time, beats string, handle func(Notice)) error {
	until, cancel := context.WithDeadline(ctx, sent.Add(beatEvery))
	defer cancel()
	for {
		n, err := conn.WaitForNotification(until)
		switch {
		case err != nil && until.Err() != nil && ctx.Err() == nil && !conn.IsClosed():
			return nil // the next beat is due
		case err != nil:
			return kinded("listener", err)
		case n.Channel == beats:
			handle(Notice{Kind: NoticeAlive, At: sent})
		default:
			handle(noticeOf(n.Payload))
		}
	}
}

// noticeOf reads kind:id. What a newer version of the program says may have to do with anything.
func noticeOf(payload string) Notice {
	kind, id, _ := strings.Cut(payload, ":")
	n := Notice{Kind: NoticeKind(kind)}
	switch n.Kind {
	case NoticeRoles, NoticeKeys, NoticeAPIKeys:
		return n
	case NoticeAPIKey:
		n.Hash = id
		return n
	case NoticeUser, NoticeSession, NoticeOwner:
		var err error
		if n.ID, err = uuid.Parse(id); err == nil {
			return n
		}
	case NoticeAlive, NoticeLost:
	}
	return Notice{Kind: NoticeLost}
}
