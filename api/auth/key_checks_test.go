package auth_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
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

// chain is a store of keys that tells of changes, and a memory of it.
type chain struct {
	*auth.KeyChecks
	mu    sync.Mutex
	clock time.Time
	keys  map[[sha256.Size]byte]models.KeyCheck
	looks int
	down  error
	hold  chan struct{} // that looks wait for; nil: they do not
	used  []models.KeyUse
}

// newChain has that many keys of each of so many owners, who may call gpt, and of whom we hear.
func newChain(owners, each int) *chain {
	c := &chain{clock: time.Now(), keys: map[[sha256.Size]byte]models.KeyCheck{}}
	c.KeyChecks = auth.NewKeyChecks(c)
	auth.SetClock(c.KeyChecks, c.now)
	for o := range owners {
		owner := models.KeyOwner{ID: uuid.New(), Active: true, Permitted: true, Subscriptions: []models.KeyPlan{{ModelID: "gpt", Status: models.SubscriptionActive}}}
		for i := range each {
			c.keys[sha256.Sum256([]byte(plain(o, i)))] = models.KeyCheck{ID: uuid.New(), Owner: &owner, Models: []string{"gpt"}}
		}
	}
	c.alive()
	return c
}

// plain is the plaintext of a key of an owner.
func plain(owner, key int) string { return fmt.Sprintf("sk-%010d-%010d", owner, key) }

func (c *chain) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clock
}

func (c *chain) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock = c.clock.Add(d)
}

func (c *chain) alive() { c.Hear(store.Notice{Kind: store.NoticeAlive, At: c.now()}) }

func (c *chain) KeyCheck(_ context.Context, hash [sha256.Size]byte) (models.KeyCheck, error) {
	c.mu.Lock()
	c.looks++
	k, ok := c.keys[hash]
	if ok {
		k.Owner = new(*k.Owner) // as it was then, read anew
	}
	err, hold := c.down, c.hold
	c.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if err == nil && !ok {
		err = models.Errorf(models.NotFound, "API key not found")
	}
	return k, err
}

func (c *chain) TouchKeys(_ context.Context, used []models.KeyUse) error {
	c.used = append(c.used, used...)
	return c.down
}

// change changes a key and tells of it.
func (c *chain) change(owner, key int, to func(*models.KeyCheck), told store.Notice) {
	hash := sha256.Sum256([]byte(plain(owner, key)))
	c.mu.Lock()
	k := c.keys[hash]
	to(&k)
	c.keys[hash] = k
	c.mu.Unlock()
	c.Hear(told)
}

func ofKey(owner, key int) store.Notice {
	hash := sha256.Sum256([]byte(plain(owner, key)))
	return store.Notice{Kind: store.NoticeAPIKey, Hash: hex.EncodeToString(hash[:])}
}

// reason is why a key is taken or not, and how many looks at the store it takes to know.
func (c *chain) reason(t *testing.T, owner, key int) (models.KeyReason, int) {
	t.Helper()
	c.mu.Lock()
	before := c.looks
	c.mu.Unlock()
	_, v, err := c.Judge(t.Context(), plain(owner, key), "gpt")
	require.NoError(t, err)
	return v.Reason, c.looks - before
}

// requireLooks requires keys to be good, and so many looks to see it.
func (c *chain) requireLooks(t *testing.T, want int, owner, key int) {
	t.Helper()
	why, looks := c.reason(t, owner, key)
	require.Equal(t, models.KeyIsValid, why)
	require.Equal(t, want, looks)
}

// A key is remembered as long as changes are told, and for an hour at most.
func TestKeyChecksAreRemembered(t *testing.T) {
	c := newChain(1, 2)
	c.requireLooks(t, 1, 0, 0)
	c.requireLooks(t, 1, 0, 1)
	c.forward(59 * time.Minute)
	c.requireLooks(t, 1, 0, 0)
	c.alive()
	c.forward(699 * time.Millisecond)
	c.requireLooks(t, 0, 0, 1)
	c.forward(time.Millisecond)
	c.requireLooks(t, 1, 0, 1)
	c.forward(time.Hour)
	c.alive()
	c.requireLooks(t, 1, 0, 0)
	c.requireLooks(t, 0, 0, 0)
	c.Hear(store.Notice{Kind: store.NoticeLost})
	c.requireLooks(t, 1, 0, 0)
	c.requireLooks(t, 1, 0, 0)
}

// What changes is forgotten at once, and nothing else.
func TestKeyChecksForget(t *testing.T) {
	c := newChain(2, 2)
	know := func() {
		for o := range 2 {
			for k := range 2 {
				c.reason(t, o, k)
			}
		}
	}
	know()
	c.change(0, 0, func(k *models.KeyCheck) { k.Revoked = true }, ofKey(0, 0))
	why, looks := c.reason(t, 0, 0)
	require.Equal(t, models.KeyIsRevoked, why)
	require.Equal(t, 1, looks)
	why, looks = c.reason(t, 0, 0)
	require.Equal(t, models.KeyIsRevoked, why, "that is remembered, too")
	require.Zero(t, looks)
	c.requireLooks(t, 0, 0, 1)
	c.requireLooks(t, 0, 1, 0)

	for _, kind := range []store.NoticeKind{store.NoticeOwner, store.NoticeUser} {
		know()
		var id uuid.UUID
		c.change(1, 0, func(k *models.KeyCheck) { id = k.Owner.ID }, store.Notice{Kind: store.NoticeSession})
		c.requireLooks(t, 0, 1, 0)
		c.Hear(store.Notice{Kind: kind, ID: id})
		c.requireLooks(t, 0, 0, 1)
		c.requireLooks(t, 1, 1, 0)
		c.requireLooks(t, 1, 1, 1)
		c.requireLooks(t, 0, 1, 1)
	}
	for _, kind := range []store.NoticeKind{store.NoticeAPIKeys, store.NoticeRoles} {
		know()
		c.Hear(store.Notice{Kind: kind})
		c.requireLooks(t, 1, 1, 0)
	}
	know()
	c.Hear(store.Notice{Kind: store.NoticeKeys}) // those that sign
	c.Hear(store.Notice{Kind: store.NoticeAPIKey, Hash: "none"})
	c.requireLooks(t, 0, 1, 0)
}

// An owner is remembered once, and changes with the first of his keys that is read anew.
func TestKeyChecksShareOwners(t *testing.T) {
	c := newChain(1, 3)
	var owners []*models.KeyOwner
	for i := range 3 {
		c.reason(t, 0, i)
		k, err := c.Key(t.Context(), plain(0, i))
		require.NoError(t, err)
		owners = append(owners, k.Owner)
	}
	require.Same(t, owners[0], owners[2])
	keys, people := auth.RememberedKeys(c.KeyChecks)
	require.Equal(t, 3, keys)
	require.Equal(t, 1, people)
}

// What is no key is refused, and never remembered; what cannot be a key is not looked for.
func TestKeyChecksOfNone(t *testing.T) {
	c := newChain(1, 1)
	for range 2 {
		why, looks := c.reason(t, 9, 9)
		require.Equal(t, models.KeyIsUnknown, why)
		require.Equal(t, 1, looks)
	}
	for _, text := range []string{"", "sk-", "ltm_admin_0123456789abcdef"} {
		k, v, err := c.Judge(t.Context(), text, "")
		require.NoError(t, err)
		require.Equal(t, models.KeyIsUnknown, v.Reason)
		require.Nil(t, k.Owner)
	}
	require.Equal(t, 2, c.looks)
	c.down = models.Errorf(models.Unavailable, "down")
	_, _, err := c.Judge(t.Context(), plain(0, 0), "")
	refused(t, models.Unavailable, err)
	c.down = nil
	c.requireLooks(t, 1, 0, 0)
}

// However many there are, only so many are remembered.
func TestKeyChecksAreBounded(t *testing.T) {
	c := newChain(10, 2)
	auth.SetKeyLimit(c.KeyChecks, 5)
	for range 2 {
		for o := range 10 {
			c.reason(t, o, 0)
			c.reason(t, o, 1)
		}
	}
	keys, people := auth.RememberedKeys(c.KeyChecks)
	require.Equal(t, 5, keys)
	require.LessOrEqual(t, people, 5)
}

// Requests at once share one look; one that began before a change is not for who asks after it,
// and is not remembered.
func TestKeyChecksDuringALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(1, 1)
		c.hold = make(chan struct{})
		var wg sync.WaitGroup
		ask := func(want models.KeyReason) {
			wg.Go(func() {
				_, v, err := c.Judge(t.Context(), plain(0, 0), "gpt")
				require.NoError(t, err)
				require.Equal(t, want, v.Reason)
			})
		}
		for range 20 {
			ask(models.KeyIsValid)
		}
		synctest.Wait()
		require.Equal(t, 1, c.looks)
		c.change(0, 0, func(k *models.KeyCheck) { k.Revoked = true }, ofKey(0, 0))
		ask(models.KeyIsRevoked)
		synctest.Wait()
		require.Equal(t, 2, c.looks)
		close(c.hold)
		wg.Wait()
		c.hold = nil
		why, _ := c.reason(t, 0, 0)
		require.Equal(t, models.KeyIsRevoked, why)
	})
}

// Who gives up waiting for a look takes nobody with him.
func TestKeyChecksThatHangUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(1, 1)
		c.hold = make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Key(t.Context(), plain(0, 0))
			require.NoError(t, err)
		})
		synctest.Wait()
		ctx, giveUp := context.WithCancel(t.Context())
		giveUp()
		_, err := c.Key(ctx, plain(0, 0))
		refused(t, models.Unavailable, err)
		close(c.hold)
		wg.Wait()
	})
}

// Many ask and much changes at once; whoever asks after a change sees it.
func TestKeyChecksAtOnce(t *testing.T) {
	c := newChain(4, 1)
	c.Hear(store.Notice{Kind: store.NoticeAlive, At: time.Now().Add(time.Hour)})
	var wg sync.WaitGroup
	for o := range 4 {
		wg.Go(func() {
			for n := range 300 {
				held := n%2 == 0
				c.change(o, 0, func(k *models.KeyCheck) { k.Held = held }, ofKey(o, 0))
				for range 3 {
					_, v, err := c.Judge(t.Context(), plain(o, 0), "gpt")
					require.NoError(t, err)
					require.Equal(t, !held, v.Allowed())
				}
			}
		})
	}
	wg.Wait()
}

// Keys are recorded as used in one go, from time to time and at the end.
func TestUsedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(0, 0)
		u := auth.NewUsedKeys(c)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { u.Run(ctx) })
		one, two := uuid.New(), uuid.New()
		u.Note(one)
		time.Sleep(time.Second) // of the bubble
		last := time.Now()
		u.Note(one)
		u.Note(two)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		require.ElementsMatch(t, []models.KeyUse{{ID: one, At: last}, {ID: two, At: last}}, c.used)
		u.Note(one)
		stop()
		wg.Wait()
		require.Len(t, c.used, 3)
		c.down = models.Errorf(models.Unavailable, "down")
		u.Note(one)
		refused(t, models.Unavailable, u.Flush(t.Context()))
	})
}
