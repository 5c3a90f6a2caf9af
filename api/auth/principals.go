package auth

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// PrincipalStore knows who people are and what they may do; *store.Store does.
type PrincipalStore interface {
	Principal(ctx context.Context, sessionID uuid.UUID) (models.Principal, error)
	PrincipalOfUser(ctx context.Context, userID uuid.UUID) (models.Principal, error)
}

var _ PrincipalStore = (*store.Store)(nil)

// Principals remembers who people are and what they may do, and forgets it as soon as it is
// told of a change. While it cannot be sure to be told, each answer is read from the store:
// either way an answer is never a second old. It is safe for use by many goroutines.
type Principals struct {
	store PrincipalStore
	limit int
	now   func() time.Time
	pulse pulse

	mu      sync.RWMutex
	known   map[subject]known
	of      map[uuid.UUID][]subject // by user, to forget him
	loading map[subject]*load
}

// subject is what a principal is asked for by: a session, or else a user.
type subject struct{ session, user uuid.UUID }

type known struct {
	models.Principal
	until time.Time
}

// load is a look at the store that is under way.
type load struct {
	began time.Time
	done  chan struct{}
	p     models.Principal
	err   error
}

const (
	// maxPrincipals is how many are remembered: some 500 bytes each.
	maxPrincipals = 100_000

	// maxKnown is how long one is remembered at most, whatever is told.
	maxKnown = time.Minute

	// joinable is how old a look at the store may be that somebody else joins.
	joinable = 200 * time.Millisecond

	// maxLoad is how long a look at the store may take.
	maxLoad = 5 * time.Second
)

// NewPrincipals returns a memory of what the store knows. Somebody has to let it Hear what
// store.Listen tells.
func NewPrincipals(s PrincipalStore) *Principals {
	return &Principals{
		store: s, limit: maxPrincipals, now: time.Now,
		known: map[subject]known{}, of: map[uuid.UUID][]subject{}, loading: map[subject]*load{},
	}
}

// Session returns who has that session. It is Unauthenticated when the session or its user is
// not good, Unavailable when that cannot be seen. The result is shared: do not change it.
func (p *Principals) Session(ctx context.Context, id uuid.UUID) (models.Principal, error) {
	return p.get(ctx, subject{session: id})
}

// User returns a user who comes without a session, in the same way.
func (p *Principals) User(ctx context.Context, id uuid.UUID) (models.Principal, error) {
	return p.get(ctx, subject{user: id})
}

// Hear takes note of what store.Listen tells.
func (p *Principals) Hear(n store.Notice) {
	switch n.Kind {
	case store.NoticeKeys, store.NoticeAPIKey, store.NoticeOwner, store.NoticeAPIKeys: // nobody's principal
		return
	case store.NoticeUser, store.NoticeSession, store.NoticeRoles, store.NoticeAlive, store.NoticeLost:
	}
	if !p.pulse.hear(n) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.loading) // who asks from now on looks again
	switch n.Kind {
	case store.NoticeSession:
		p.forget(subject{session: n.ID})
	case store.NoticeUser:
		for _, s := range p.of[n.ID] {
			delete(p.known, s)
		}
		delete(p.of, n.ID)
	case store.NoticeRoles, store.NoticeLost, store.NoticeKeys, store.NoticeAlive, store.NoticeAPIKey, store.NoticeOwner, store.NoticeAPIKeys:
		clear(p.known)
		clear(p.of)
	}
}

func (p *Principals) get(ctx context.Context, s subject) (models.Principal, error) {
	now := p.now()
	if p.pulse.alive(now) {
		p.mu.RLock()
		k, ok := p.known[s]
		p.mu.RUnlock()
		if ok && now.Before(k.until) {
			return k.Principal, nil
		}
	}
	return p.read(ctx, s, now)
}

// read looks at the store, or joins who has just begun to.
func (p *Principals) read(ctx context.Context, s subject, now time.Time) (models.Principal, error) {
	p.mu.Lock()
	if l := p.loading[s]; l != nil && now.Sub(l.began) <= joinable {
		p.mu.Unlock()
		select {
		case <-l.done:
			return l.p, l.err
		case <-ctx.Done():
			return models.Principal{}, models.Wrap(models.Unavailable, ctx.Err(), "who you are was not seen in time")
		}
	}
	l := &load{began: now, done: make(chan struct{}), err: models.Errorf(models.Internal, "who you are was not seen")}
	p.loading[s] = l
	epoch := p.pulse.epoch.Load()
	p.mu.Unlock()

	defer p.loaded(s, l, epoch)
	// The look is for all who join it, also when this request ends.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxLoad)
	defer cancel()
	if s.session != uuid.Nil {
		l.p, l.err = p.store.Principal(ctx, s.session)
	} else {
		l.p, l.err = p.store.PrincipalOfUser(ctx, s.user)
	}
	return l.p, l.err
}

// loaded hands on what was seen, and remembers it unless something changed meanwhile.
func (p *Principals) loaded(s subject, l *load, epoch uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(l.done)
	if p.loading[s] == l {
		delete(p.loading, s)
	}
	p.forget(s)
	if l.err == nil && epoch == p.pulse.epoch.Load() {
		p.remember(s, l.p)
	}
}

func (p *Principals) remember(s subject, who models.Principal) {
	if len(p.known) >= p.limit {
		for other := range p.known { // any
			p.forget(other)
			break
		}
	}
	until := p.now().Add(maxKnown)
	if !who.ExpiresAt.IsZero() && who.ExpiresAt.Before(until) {
		until = who.ExpiresAt
	}
	p.known[s] = known{who, until}
	p.of[who.UserID] = append(p.of[who.UserID], s)
}

func (p *Principals) forget(s subject) {
	k, ok := p.known[s]
	if !ok {
		return
	}
	delete(p.known, s)
	of := p.of[k.UserID]
	for i, other := range of {
		if other == s {
			of[i] = of[len(of)-1]
			of = of[:len(of)-1]
			break
		}
	}
	if p.of[k.UserID] = of; len(of) == 0 {
		delete(p.of, k.UserID)
	}
}
