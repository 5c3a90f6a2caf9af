package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// KeyCheckStore knows what keys are judged by; *store.Store does.
type KeyCheckStore interface {
	KeyCheck(ctx context.Context, hash [sha256.Size]byte) (models.KeyCheck, error)
}

var _ KeyCheckStore = (*store.Store)(nil)

// KeyChecks remembers what API keys are judged by, as Principals does people: it forgets as soon
// as it is told of a change, and while it cannot be sure to be told, each answer is read from the
// store. Keys are known by their hash; what is not a key is never remembered. It is safe for use
// by many goroutines.
type KeyChecks struct {
	store KeyCheckStore
	limit int
	now   func() time.Time
	pulse pulse

	mu      sync.RWMutex
	known   map[keyHash]knownKey
	owners  map[uuid.UUID]*models.KeyOwner // of known keys; a key of one who is not here counts as unknown
	words   map[string]string              // names of models, each once
	loading map[keyHash]*keyLoad
}

type keyHash = [sha256.Size]byte

type knownKey struct {
	*models.KeyCheck
	until int64 // in seconds of Unix
}

// keyLoad is a look at the store that is under way.
type keyLoad struct {
	began time.Time
	done  chan struct{}
	k     models.KeyCheck
	err   error
}

const (
	// maxKeyChecks is how many keys are remembered: some 500 bytes each.
	maxKeyChecks = 1_000_000

	// maxKnownKey is how long one is remembered at most, whatever is told.
	maxKnownKey = time.Hour

	// maxWords is how many names of models are kept once each.
	maxWords = 100_000
)

// NewKeyChecks returns a memory of what the store knows. Somebody has to let it Hear what
// store.Listen tells.
func NewKeyChecks(s KeyCheckStore) *KeyChecks {
	k := &KeyChecks{store: s, limit: maxKeyChecks, now: time.Now, loading: map[keyHash]*keyLoad{}}
	k.forgetAll()
	return k
}

// Key returns what the key is judged by whose plaintext that is. It is NotFound when there is no
// such key, Unavailable when that cannot be seen. The result is shared: do not change it.
func (k *KeyChecks) Key(ctx context.Context, plain string) (models.KeyCheck, error) {
	if !models.LikeKey(plain) {
		return models.KeyCheck{}, models.Errorf(models.NotFound, "API key not found")
	}
	hash, now := sha256.Sum256([]byte(plain)), k.now()
	if k.pulse.alive(now) {
		if known, ok := k.get(hash, now); ok {
			return known, nil
		}
	}
	return k.read(ctx, hash, now)
}

// Judge says whether a request for a model may be made with a key now, and what the key is
// judged by; that is empty for what is no key. An empty model is none in particular. The error is
// Unavailable when it cannot be seen.
func (k *KeyChecks) Judge(ctx context.Context, plain, model string) (models.KeyCheck, models.KeyVerdict, error) {
	key, err := k.Key(ctx, plain)
	switch {
	case err != nil && models.KindOf(err) == models.NotFound:
		return key, models.KeyVerdict{Reason: models.KeyIsUnknown}, nil
	case err != nil:
		return key, models.KeyVerdict{}, err
	}
	return key, key.Judge(model, k.now()), nil
}

// Hear takes note of what store.Listen tells.
func (k *KeyChecks) Hear(n store.Notice) {
	if n.Kind == store.NoticeKeys || n.Kind == store.NoticeSession || !k.pulse.hear(n) {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.loading) // who asks from now on looks again
	switch n.Kind {
	case store.NoticeAPIKey:
		var hash keyHash
		if _, err := hex.Decode(hash[:], []byte(n.Hash)); err == nil {
			delete(k.known, hash)
		}
	case store.NoticeOwner, store.NoticeUser:
		delete(k.owners, n.ID)
	case store.NoticeRoles, store.NoticeLost, store.NoticeAPIKeys, store.NoticeKeys, store.NoticeSession, store.NoticeAlive:
		k.forgetAll()
	}
}

func (k *KeyChecks) forgetAll() {
	k.known, k.owners, k.words = map[keyHash]knownKey{}, map[uuid.UUID]*models.KeyOwner{}, map[string]string{}
}

func (k *KeyChecks) get(hash keyHash, now time.Time) (models.KeyCheck, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	known, ok := k.known[hash]
	if !ok || now.Unix() >= known.until || k.owners[known.Owner.ID] != known.Owner {
		return models.KeyCheck{}, false
	}
	return *known.KeyCheck, true
}

// read looks at the store, or joins who has just begun to.
func (k *KeyChecks) read(ctx context.Context, hash keyHash, now time.Time) (models.KeyCheck, error) {
	k.mu.Lock()
	if l := k.loading[hash]; l != nil && now.Sub(l.began) <= joinable {
		k.mu.Unlock()
		select {
		case <-l.done:
			return l.k, l.err
		case <-ctx.Done():
			return models.KeyCheck{}, models.Wrap(models.Unavailable, ctx.Err(), "the API key was not seen in time")
		}
	}
	l := &keyLoad{began: now, done: make(chan struct{}), err: models.Errorf(models.Internal, "the API key was not seen")}
	k.loading[hash] = l
	epoch := k.pulse.epoch.Load()
	k.mu.Unlock()

	defer k.loaded(hash, l, epoch)
	// The look is for all who join it, also when this request ends.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxLoad)
	defer cancel()
	l.k, l.err = k.store.KeyCheck(ctx, hash)
	return l.k, l.err
}

// loaded hands on what was seen, and remembers it unless something changed meanwhile.
func (k *KeyChecks) loaded(hash keyHash, l *keyLoad, epoch uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(l.done)
	if k.loading[hash] == l {
		delete(k.loading, hash)
	}
	delete(k.known, hash)
	if l.err == nil && epoch == k.pulse.epoch.Load() {
		k.remember(hash, l.k)
	}
}

// remember keeps a key, small: its owner is the same for all of his keys, and so are the names of
// models.
func (k *KeyChecks) remember(hash keyHash, key models.KeyCheck) {
	makeRoom(k.known, k.limit)
	owner := k.owners[key.Owner.ID]
	if owner == nil {
		makeRoom(k.owners, k.limit)
		owner = new(*key.Owner)
		owner.Subscriptions = append([]models.KeyPlan(nil), owner.Subscriptions...)
		for i := range owner.Subscriptions {
			owner.Subscriptions[i].ModelID = k.once(owner.Subscriptions[i].ModelID)
		}
		owner.Roles = k.onceEach(owner.Roles)
		k.owners[owner.ID] = owner
	}
	key.Owner, key.Models = owner, k.onceEach(key.Models)
	k.known[hash] = knownKey{&key, k.now().Add(maxKnownKey).Unix()}
}

// makeRoom forgets any entry of a map that is full.
func makeRoom[K comparable, V any](m map[K]V, limit int) {
	for other := range m {
		if len(m) >= limit {
			delete(m, other)
		}
		break
	}
}

// onceEach is a list of words, each of which is kept once.
func (k *KeyChecks) onceEach(list []string) []string {
	out := make([]string, len(list))
	for i, word := range list {
		out[i] = k.once(word)
	}
	return out
}

func (k *KeyChecks) once(word string) string {
	if known, ok := k.words[word]; ok {
		return known
	}
	makeRoom(k.words, maxWords)
	k.words[word] = word
	return word
}
