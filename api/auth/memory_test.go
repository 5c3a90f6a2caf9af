package auth_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// memory is a store without a database, which tells of changes as the real one does.
type memory struct {
	mu       sync.Mutex
	now      func() time.Time
	down     error // that everything answers
	logins   map[string]models.LoginState
	users    map[string]models.User // by provider and subject
	sessions map[uuid.UUID]models.Session
	refresh  map[string]refreshToken
	keys     []models.SigningKey
	events   []models.Event
	seen     []models.SessionSeen
	looks    int // at principals
	reads    int // of keys
	listen   []func(store.Notice)
}

type refreshToken struct {
	models.RefreshToken
	session  uuid.UUID
	replaces string    // the hash of the one before
	used     time.Time // zero: not yet
}

func newMemory() *memory {
	return &memory{
		now: time.Now, logins: map[string]models.LoginState{}, users: map[string]models.User{},
		sessions: map[uuid.UUID]models.Session{}, refresh: map[string]refreshToken{},
	}
}

func unauthenticated(why string) error { return models.Errorf(models.Unauthenticated, "%s", why) }

// tell tells whoever listens, when the lock is free.
func (m *memory) tell(n store.Notice) {
	for _, hear := range m.listen {
		hear(n)
	}
}

func (m *memory) PutLoginState(_ context.Context, l models.LoginState) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.logins[l.StateHash] = l
	return m.down
}

func (m *memory) TakeLoginState(_ context.Context, state, browser string) (models.LoginState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, ok := m.logins[state]
	delete(m.logins, state)
	switch {
	case m.down != nil:
		return l, m.down
	case !ok:
		return l, unauthenticated("never begun, or over already")
	case m.now().After(l.ExpiresAt):
		return l, unauthenticated("took too long")
	case l.BrowserHash != browser:
		return l, unauthenticated("begun in another browser")
	}
	return l, nil
}

func (m *memory) SignIn(_ context.Context, id models.Identity, initials models.Initials, _ models.Origin) (models.User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, ok := m.users[id.Provider+" "+id.Subject]
	if !ok {
		u.ID = uuid.New()
	}
	if !u.Active() {
		return u, models.Errorf(models.Forbidden, "deactivated")
	}
	u.Provider, u.Subject, u.Username, u.Email, u.EmailVerified, u.FullName = id.Provider, id.Subject, id.Username, id.Email, id.EmailVerified, id.FullName
	u.Roles = slices.Clone(id.Roles)
	if slices.Contains(initials.Admins, id.Username) {
		u.Roles = append(u.Roles, models.RoleAdmin)
	}
	m.users[id.Provider+" "+id.Subject] = u
	return u, m.down
}

func (m *memory) UserNamed(_ context.Context, name string) (models.User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range m.users {
		if u.Username == name {
			return u, m.down
		}
	}
	return models.User{}, models.Errorf(models.NotFound, "no such user")
}

func (m *memory) user(id uuid.UUID) models.User {
	for _, u := range m.users {
		if u.ID == id {
			return u
		}
	}
	return models.User{Holds: []models.Hold{models.HoldSystem}}
}

// change changes a user, and tells.
func (m *memory) change(id uuid.UUID, change func(*models.User)) {
	m.mu.Lock()
	u := m.user(id)
	change(&u)
	m.users[u.Provider+" "+u.Subject] = u
	m.mu.Unlock()
	m.tell(store.Notice{Kind: store.NoticeUser, ID: id})
}

func (m *memory) CreateSession(_ context.Context, in models.Session, first *models.RefreshToken, _ models.Actor) (models.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.user(in.UserID).Active() {
		return in, models.Errorf(models.Forbidden, "deactivated")
	}
	m.sessions[in.ID] = in
	if first != nil {
		m.refresh[first.Hash] = refreshToken{RefreshToken: *first, session: in.ID}
	}
	return in, m.down
}

func (m *memory) Session(_ context.Context, id uuid.UUID) (models.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.sessions[id]
	if !ok {
		return s, models.Errorf(models.NotFound, "no such session")
	}
	return s, m.down
}

func (m *memory) SetProviderTokens(_ context.Context, id uuid.UUID, sealed []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sessions[id]
	s.ProviderTokens = sealed
	m.sessions[id] = s
	return m.down
}

func (m *memory) RevokeSession(_ context.Context, userID, id uuid.UUID, why models.SessionEnd, _ models.Actor) error {
	m.mu.Lock()
	s, ok := m.sessions[id]
	if !ok || s.UserID != userID || !s.Live(m.now()) {
		m.mu.Unlock()
		return models.Errorf(models.NotFound, "no such session")
	}
	s.RevokedAt, s.RevokedWhy = new(m.now()), why
	m.sessions[id] = s
	m.mu.Unlock()
	m.tell(store.Notice{Kind: store.NoticeSession, ID: id})
	return nil
}

func (m *memory) RotateRefreshToken(ctx context.Context, hash string, next models.RefreshToken, _ models.Origin) (models.Session, bool, error) {
	m.mu.Lock()
	if m.down != nil {
		defer m.mu.Unlock()
		return models.Session{}, false, m.down
	}
	old, ok := m.refresh[hash]
	s := m.sessions[old.session]
	used := !old.used.IsZero()
	again := used && m.now().Sub(old.used) < models.RefreshGrace && m.unused(hash)
	stolen := used && !again
	good := ok && !stolen && s.Live(m.now()) && m.now().Before(old.ExpiresAt)
	if good {
		for h, t := range m.refresh {
			if t.used.IsZero() && (h == hash || t.replaces != "" && t.replaces == old.replaces) {
				t.used = m.now()
				m.refresh[h] = t
			}
		}
		m.refresh[next.Hash] = refreshToken{RefreshToken: next, session: s.ID, replaces: hash}
		s.ExpiresAt = next.ExpiresAt
		m.sessions[s.ID] = s
	}
	m.mu.Unlock()
	if stolen {
		_ = m.RevokeSession(ctx, s.UserID, s.ID, models.SessionStolen, models.Actor{})
	}
	if !good {
		return models.Session{}, false, unauthenticated("not a good refresh token")
	}
	return s, again, nil
}

// unused reports whether something came of a token, and none of it has been used.
func (m *memory) unused(hash string) bool {
	n := 0
	for _, t := range m.refresh {
		if t.replaces == hash {
			if !t.used.IsZero() {
				return false
			}
			n++
		}
	}
	return n > 0
}

func (m *memory) Principal(_ context.Context, id uuid.UUID) (models.Principal, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks++
	s, ok := m.sessions[id]
	u := m.user(s.UserID)
	switch {
	case m.down != nil:
		return models.Principal{}, m.down
	case !ok || !s.Live(m.now()) || !u.Active():
		return models.Principal{}, unauthenticated("the session has ended")
	}
	p := principal(u)
	p.SessionID, p.AuthTime, p.ExpiresAt = s.ID, s.AuthTime, s.ExpiresAt
	return p, nil
}

func (m *memory) PrincipalOfUser(_ context.Context, id uuid.UUID) (models.Principal, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks++
	u := m.user(id)
	if !u.Active() {
		return models.Principal{}, unauthenticated("no such user")
	}
	return principal(u), m.down
}

func principal(u models.User) models.Principal {
	return models.Principal{
		UserID: u.ID, Username: u.Username, Email: u.Email, Name: u.FullName, Roles: u.Roles,
		Permissions: models.BuiltInRoles().Permissions(u.Roles...), Active: true, Via: "api",
	}
}

func (m *memory) Audit(_ context.Context, _ models.Actor, e models.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, e)
	return nil
}

// refusals are what was not let in, and takes them off.
func (m *memory) refusals() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, e := range m.events {
		if e.Action == models.AuditFailed && e.ResourceType == models.AuditOfAuth {
			out = append(out, e.Failure)
		}
	}
	m.events = nil
	return out
}

func (m *memory) TouchSessions(_ context.Context, seen []models.SessionSeen) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = append(m.seen, seen...)
	return m.down
}

func (m *memory) SigningKeys(context.Context) ([]models.SigningKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	return m.goodKeys(), m.down
}

func (m *memory) goodKeys() []models.SigningKey {
	keys := slices.DeleteFunc(slices.Clone(m.keys), func(k models.SigningKey) bool { return k.ExpiresAt != nil && !k.ExpiresAt.After(m.now()) })
	slices.Reverse(keys)
	return keys
}

func (m *memory) RotateSigningKey(_ context.Context, r store.Rotation, next func() (models.SigningKey, error), _ models.Actor) ([]models.SigningKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down != nil {
		return nil, m.down
	}
	n, now := len(m.keys), m.now()
	if n > 0 && m.keys[n-1].RetiresAt == nil && m.keys[n-1].CreatedAt.After(now.Add(-r.Age)) {
		return m.goodKeys(), nil
	}
	k, err := next()
	if err != nil {
		return nil, err
	}
	if n > 0 && m.keys[n-1].RetiresAt == nil {
		m.keys[n-1].RetiresAt, m.keys[n-1].ExpiresAt = new(now), new(now.Add(r.Grace))
	}
	k.CreatedAt = now
	m.keys = append(m.keys, k)
	return m.goodKeys(), nil
}

// revokeKeys makes all keys worthless, and tells.
func (m *memory) revokeKeys() {
	m.mu.Lock()
	for i := range m.keys {
		m.keys[i].RetiresAt, m.keys[i].ExpiresAt = new(m.now()), new(m.now())
	}
	m.mu.Unlock()
	m.tell(store.Notice{Kind: store.NoticeKeys})
}

// sealer seals with a key of its own.
type sealer struct{ cipher.AEAD }

func newSealer(t *testing.T) sealer {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	aead, err := cipher.NewGCMWithRandomNonce(block)
	require.NoError(t, err)
	return sealer{aead}
}

// Seal implements models.Sealer.
func (s sealer) Seal(plain, associated []byte) ([]byte, error) {
	return s.AEAD.Seal(nil, nil, plain, associated), nil
}

// Open implements models.Sealer.
func (s sealer) Open(sealed, associated []byte) ([]byte, error) {
	return s.AEAD.Open(nil, nil, sealed, associated)
}
