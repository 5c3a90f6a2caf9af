package auth_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// crowd is a memory of principals over a store with some users, each with one session.
type crowd struct {
	*memory
	*auth.Principals
	clock    time.Time
	users    []uuid.UUID
	sessions []uuid.UUID
}

func newCrowd(t *testing.T, n int) *crowd {
	t.Helper()
	c := &crowd{memory: newMemory(), clock: time.Now()}
	c.Principals = auth.NewPrincipals(c.memory)
	auth.SetClock(c.Principals, func() time.Time { return c.clock })
	c.now = func() time.Time { return c.clock }
	c.listen = append(c.listen, c.Hear)
	for i := range n {
		name := string(rune('a' + i))
		u, err := c.SignIn(t.Context(), models.Identity{Provider: "oidc", Subject: name, Username: name, Roles: []string{models.RoleUser}}, models.Initials{}, from)
		require.NoError(t, err)
		s, err := c.CreateSession(t.Context(), models.Session{ID: uuid.New(), UserID: u.ID, ExpiresAt: c.clock.Add(time.Hour)}, nil, models.Actor{})
		require.NoError(t, err)
		c.users, c.sessions = append(c.users, u.ID), append(c.sessions, s.ID)
	}
	return c
}

// alive proves that everything has been told.
func (c *crowd) alive() { c.Hear(store.Notice{Kind: store.NoticeAlive, At: c.clock}) }

// looksFor is how many looks at the store it takes to see who that is.
func (c *crowd) looksFor(t *testing.T, session uuid.UUID) int {
	t.Helper()
	before := c.looks
	_, err := c.Session(t.Context(), session)
	require.NoError(t, err)
	return c.looks - before
}

// Session reads who has a session; both parts of a crowd could.
func (c *crowd) Session(ctx context.Context, id uuid.UUID) (models.Principal, error) {
	return c.Principals.Session(ctx, id)
}

// A principal is remembered as long as changes are told, and for a minute at most.
func TestPrincipalsAreRemembered(t *testing.T) {
	c := newCrowd(t, 2)
	c.alive()
	require.Equal(t, 1, c.looksFor(t, c.sessions[0]))
	for range 59 {
		c.clock = c.clock.Add(time.Second)
		c.alive()
		require.Zero(t, c.looksFor(t, c.sessions[0]))
	}
	c.clock = c.clock.Add(time.Second)
	c.alive()
	require.Equal(t, 1, c.looksFor(t, c.sessions[0]), "a minute is enough")
	require.Equal(t, 1, c.looksFor(t, c.sessions[1]))
	p, err := c.User(t.Context(), c.users[0])
	require.NoError(t, err)
	require.Equal(t, "a", p.Username)
	require.Equal(t, uuid.Nil, p.SessionID)
}

// What changes is forgotten at once, and nothing else.
func TestPrincipalsForget(t *testing.T) {
	c := newCrowd(t, 2)
	c.alive()
	mine, other := c.sessions[0], c.sessions[1]
	know := func() {
		c.looksFor(t, mine)
		c.looksFor(t, other)
	}
	know()
	c.change(c.users[0], func(u *models.User) { u.Roles = []string{models.RoleReadonly} })
	p, err := c.Session(t.Context(), mine)
	require.NoError(t, err)
	require.Equal(t, []string{models.RoleReadonly}, p.Roles, "a demotion counts from the next request on")
	require.False(t, p.May("api_keys:write"))
	require.Zero(t, c.looksFor(t, other))

	c.tell(store.Notice{Kind: store.NoticeRoles})
	require.Equal(t, 1, c.looksFor(t, mine))
	require.Equal(t, 1, c.looksFor(t, other))
	for _, kind := range []store.NoticeKind{store.NoticeKeys, store.NoticeAPIKey, store.NoticeOwner, store.NoticeAPIKeys} { // nobody's business
		c.tell(store.Notice{Kind: kind, ID: c.users[0]})
		require.Zero(t, c.looksFor(t, mine))
	}

	require.NoError(t, c.RevokeSession(t.Context(), c.users[0], mine, models.SessionRevoked, models.Actor{}))
	_, err = c.Session(t.Context(), mine)
	refused(t, models.Unauthenticated, err)
	require.Zero(t, c.looksFor(t, other))

	c.change(c.users[1], func(u *models.User) { u.Holds = []models.Hold{models.HoldAdmin} })
	_, err = c.Session(t.Context(), other)
	refused(t, models.Unauthenticated, err)
	remembered, users := auth.Remembered(c.Principals)
	require.Zero(t, remembered)
	require.Zero(t, users)
}

// While it is not proven that changes are told, each check is a look at the store: also one of
// a session that was remembered before.
func TestPrincipalsInSilence(t *testing.T) {
	c := newCrowd(t, 1)
	s := c.sessions[0]
	require.Equal(t, 1, c.looksFor(t, s))
	require.Equal(t, 1, c.looksFor(t, s), "nobody has told anything yet")
	c.alive()
	require.Zero(t, c.looksFor(t, s))
	c.clock = c.clock.Add(699 * time.Millisecond)
	require.Zero(t, c.looksFor(t, s))
	c.clock = c.clock.Add(time.Millisecond)
	c.listen = nil // the connection is gone
	require.NoError(t, c.RevokeSession(t.Context(), c.users[0], s, models.SessionRevoked, models.Actor{}))
	_, err := c.Session(t.Context(), s)
	refused(t, models.Unauthenticated, err)

	c = newCrowd(t, 1)
	c.alive()
	require.Equal(t, 1, c.looksFor(t, c.sessions[0]))
	c.Hear(store.Notice{Kind: store.NoticeLost})
	require.Equal(t, 1, c.looksFor(t, c.sessions[0]))
	require.Equal(t, 1, c.looksFor(t, c.sessions[0]))
	c.alive()
	require.Zero(t, c.looksFor(t, c.sessions[0]))
}

// A session is not remembered longer than it lasts.
func TestPrincipalsExpire(t *testing.T) {
	c := newCrowd(t, 1)
	s := c.sessions[0]
	c.clock = c.clock.Add(time.Hour - time.Second)
	c.alive()
	require.Equal(t, 1, c.looksFor(t, s))
	c.clock = c.clock.Add(time.Second)
	c.alive()
	_, err := c.Session(t.Context(), s)
	refused(t, models.Unauthenticated, err)
}

// However many there are, only so many are remembered.
func TestPrincipalsAreBounded(t *testing.T) {
	c := newCrowd(t, 20)
	auth.SetLimit(c.Principals, 5)
	c.alive()
	for _, s := range c.sessions {
		c.looksFor(t, s)
	}
	remembered, users := auth.Remembered(c.Principals)
	require.Equal(t, 5, remembered)
	require.Equal(t, 5, users)
}

// What the store refuses or cannot say is not remembered.
func TestPrincipalsThatAreNone(t *testing.T) {
	c := newCrowd(t, 1)
	c.alive()
	_, err := c.Session(t.Context(), uuid.New())
	refused(t, models.Unauthenticated, err)
	c.down = models.Errorf(models.Unavailable, "down")
	_, err = c.Session(t.Context(), c.sessions[0])
	refused(t, models.Unavailable, err)
	c.down = nil
	require.Equal(t, 1, c.looksFor(t, c.sessions[0]))
}

// slow is a store that answers when it is told to, with what was so when it was asked.
type slow struct {
	*memory
	mu     sync.Mutex
	asked  int
	answer chan struct{}
}

func (s *slow) Principal(ctx context.Context, id uuid.UUID) (models.Principal, error) {
	s.mu.Lock()
	s.asked++
	s.mu.Unlock()
	p, err := s.memory.Principal(ctx, id)
	select {
	case <-s.answer:
		return p, err
	case <-ctx.Done():
		return models.Principal{}, models.Wrap(models.Unavailable, ctx.Err(), "too slow")
	}
}

func (s *slow) asks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// slowly runs a test in a bubble of its own time, with a slow store.
func slowly(t *testing.T, test func(t *testing.T, c *crowd, s *slow, p *auth.Principals)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 1)
		c.now = time.Now
		s := &slow{memory: c.memory, answer: make(chan struct{})}
		p := auth.NewPrincipals(s)
		c.listen = []func(store.Notice){p.Hear}
		p.Hear(store.Notice{Kind: store.NoticeAlive, At: time.Now()})
		test(t, c, s, p)
	})
}

// Requests at once share one look at the store.
func TestPrincipalsShareALook(t *testing.T) {
	slowly(t, func(t *testing.T, c *crowd, s *slow, p *auth.Principals) {
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				who, err := p.Session(t.Context(), c.sessions[0])
				require.NoError(t, err)
				require.Equal(t, "a", who.Username)
			})
		}
		synctest.Wait()
		require.Equal(t, 1, s.asks())
		close(s.answer)
		wg.Wait()
		require.Equal(t, 1, s.asks())
	})
}

// A look that began before a change is not for who asks after it, and is not remembered.
func TestPrincipalsChangeDuringALook(t *testing.T) {
	slowly(t, func(t *testing.T, c *crowd, s *slow, p *auth.Principals) {
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := p.Session(t.Context(), c.sessions[0])
			require.NoError(t, err, "it was so when he asked")
		})
		synctest.Wait()
		require.NoError(t, c.RevokeSession(t.Context(), c.users[0], c.sessions[0], models.SessionRevoked, models.Actor{}))
		wg.Go(func() {
			_, err := p.Session(t.Context(), c.sessions[0])
			require.Error(t, err)
		})
		synctest.Wait()
		require.Equal(t, 2, s.asks())
		close(s.answer)
		wg.Wait()
		_, err := p.Session(t.Context(), c.sessions[0])
		refused(t, models.Unauthenticated, err)
		remembered, _ := auth.Remembered(p)
		require.Zero(t, remembered)
	})
}

// Nobody waits for a look that takes long already: he looks himself.
func TestPrincipalsDoNotJoinAnOldLook(t *testing.T) {
	slowly(t, func(t *testing.T, c *crowd, s *slow, p *auth.Principals) {
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = p.Session(t.Context(), c.sessions[0]) })
		time.Sleep(201 * time.Millisecond) // of the bubble
		wg.Go(func() { _, _ = p.Session(t.Context(), c.sessions[0]) })
		synctest.Wait()
		require.Equal(t, 2, s.asks())
		close(s.answer)
		wg.Wait()
	})
}

// Who hangs up takes nobody with him, and a store that never answers holds nobody for ever.
func TestPrincipalsThatHangUp(t *testing.T) {
	slowly(t, func(t *testing.T, c *crowd, s *slow, p *auth.Principals) {
		first, hangUp := context.WithCancel(t.Context())
		second, giveUp := context.WithCancel(t.Context())
		errs := make([]error, 3)
		var wg sync.WaitGroup
		began := time.Now()
		for i, ctx := range []context.Context{first, second, t.Context()} {
			wg.Go(func() { _, errs[i] = p.Session(ctx, c.sessions[0]) })
			synctest.Wait()
		}
		hangUp()
		giveUp()
		synctest.Wait()
		wg.Wait()
		require.Equal(t, 1, s.asks())
		for _, err := range errs {
			refused(t, models.Unavailable, err)
		}
		require.Equal(t, 5*time.Second, time.Since(began))
	})
}

// A look that panics is a failure of all who wait for it, not for ever.
func TestPrincipalsOfABrokenStore(t *testing.T) {
	p := auth.NewPrincipals(broken{})
	require.Panics(t, func() { _, _ = p.Session(t.Context(), uuid.New()) })
	require.Panics(t, func() { _, _ = p.Session(t.Context(), uuid.New()) })
}

type broken struct{}

func (broken) Principal(context.Context, uuid.UUID) (models.Principal, error) { panic("broken") }

func (broken) PrincipalOfUser(context.Context, uuid.UUID) (models.Principal, error) { panic("broken") }

// Many ask and much changes at once; whoever asks after a change sees it.
func TestPrincipalsAtOnce(t *testing.T) {
	c := newCrowd(t, 4)
	p := auth.NewPrincipals(c.memory)
	c.now = time.Now
	c.listen = []func(store.Notice){p.Hear}
	p.Hear(store.Notice{Kind: store.NoticeAlive, At: time.Now().Add(time.Hour)})
	var wg sync.WaitGroup
	for i, s := range c.sessions {
		wg.Go(func() {
			for n := range 300 {
				roles := []string{models.RoleUser}
				if n%2 == 0 {
					roles = []string{models.RoleReadonly}
				}
				c.change(c.users[i], func(u *models.User) { u.Roles = roles })
				for range 3 {
					who, err := p.Session(t.Context(), s)
					require.NoError(t, err)
					require.Equal(t, roles, who.Roles)
				}
			}
		})
	}
	wg.Wait()
}
