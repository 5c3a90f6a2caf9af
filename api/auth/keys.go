package auth

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// KeyStore keeps signing keys; *store.Store is one.
type KeyStore interface {
	SigningKeys(ctx context.Context) ([]models.SigningKey, error)
	RotateSigningKey(ctx context.Context, r store.Rotation, next func() (models.SigningKey, error), by models.Actor) ([]models.SigningKey, error)
}

var _ KeyStore = (*store.Store)(nil)

// Keys are the keys that sign our tokens. The newest signs; each makes room for the next after
// its lifetime, and its signatures are good as long as a token may live after that. All
// replicas share them. It is safe for use by many goroutines.
type Keys struct {
	store    KeyStore
	sealer   models.Sealer
	rotation store.Rotation
	now      func() time.Time

	pulse pulse
	mu    sync.Mutex // one reads or makes keys at a time
	ring  atomic.Pointer[ring]
}

// ring is the keys as they were at some time.
type ring struct {
	at       time.Time
	epoch    uint64
	newest   models.SigningKey // zero: none signs
	signer   ed25519.PrivateKey
	verifier map[string]verifier // by kid
	document json.RawMessage
}

type verifier struct {
	key     ed25519.PublicKey
	expires time.Time // zero: not known yet
}

const (
	edDSA = "EdDSA"

	// keysLifetime is how long keys are good that were read while nobody tells of changes, and
	// how soon an unknown one makes them be read again.
	keysLifetime = time.Second
)

// NewKeys returns the keys in a store, whose private parts the sealer opens.
func NewKeys(c Config, s KeyStore, sealer models.Sealer) *Keys {
	c = c.withDefaults()
	longest := max(c.TokenLifetime, c.WebLifetime)
	return &Keys{store: s, sealer: sealer, rotation: store.Rotation{Age: c.KeyLifetime, Grace: longest + leeway}, now: time.Now}
}

// Hear takes note of what store.Listen tells.
func (k *Keys) Hear(n store.Notice) {
	if n.Kind == store.NoticeAlive || n.Kind == store.NoticeLost || n.Kind == store.NoticeKeys {
		k.pulse.hear(n)
	}
}

// JWKS is the JSON Web Key Set by which others can verify our tokens.
func (k *Keys) JWKS(ctx context.Context) (json.RawMessage, error) {
	r, err := k.current(ctx)
	if err != nil {
		return nil, err
	}
	return r.document, nil
}

// signing returns the key to sign with, and its kid. It makes the next when the newest is old.
func (k *Keys) signing(ctx context.Context) (ed25519.PrivateKey, string, error) {
	r, err := k.current(ctx)
	if err != nil {
		return nil, "", err
	}
	if r.newest.KID == "" || k.now().Sub(r.newest.CreatedAt) >= k.rotation.Age {
		if r, err = k.rotate(ctx); err != nil {
			return nil, "", err
		}
	}
	if r.signer == nil {
		return nil, "", models.Errorf(models.Internal, "the signing key %s cannot be opened: is the keyset of secrets the one that sealed it?", r.newest.KID)
	}
	return r.signer, r.newest.KID, nil
}

// verifying returns the key of that kid; false, if its signatures are not good.
func (k *Keys) verifying(ctx context.Context, kid string) (ed25519.PublicKey, bool, error) {
	r, err := k.current(ctx)
	if err != nil {
		return nil, false, err
	}
	v, ok := r.verifier[kid]
	if !ok && k.now().Sub(r.at) >= keysLifetime { // another replica may have just made it
		if r, err = k.read(ctx, r); err != nil {
			return nil, false, err
		}
		v, ok = r.verifier[kid]
	}
	return v.key, ok && (v.expires.IsZero() || k.now().Before(v.expires)), nil
}

// current returns the keys as they are now.
func (k *Keys) current(ctx context.Context) (*ring, error) {
	if r := k.ring.Load(); k.good(r) {
		return r, nil
	}
	return k.read(ctx, nil)
}

func (k *Keys) good(r *ring) bool {
	if r == nil || r.epoch != k.pulse.epoch.Load() {
		return false
	}
	now := k.now()
	age := now.Sub(r.at)
	return age < keysLifetime || age < maxKnown && k.pulse.alive(now)
}

// read reads the keys, unless somebody else has while we waited. not are keys that will not do.
func (k *Keys) read(ctx context.Context, not *ring) (*ring, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r := k.ring.Load(); r != not && k.good(r) {
		return r, nil
	}
	return k.keep(func() ([]models.SigningKey, error) { return k.store.SigningKeys(ctx) })
}

func (k *Keys) rotate(ctx context.Context) (*ring, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keep(func() ([]models.SigningKey, error) {
		return k.store.RotateSigningKey(ctx, k.rotation, func() (models.SigningKey, error) { return newSigningKey(k.sealer) }, models.System("tokens"))
	})
}

// keep makes what is read the current keys. What changes meanwhile is told, and makes them old.
func (k *Keys) keep(read func() ([]models.SigningKey, error)) (*ring, error) {
	epoch, at := k.pulse.epoch.Load(), k.now()
	keys, err := read()
	if err != nil {
		return nil, err
	}
	r, err := newRing(keys, k.sealer)
	if err != nil {
		return nil, err
	}
	r.epoch, r.at = epoch, at
	k.ring.Store(r)
	return r, nil
}

// newRing makes keys ready for use. The newest that is not retired signs, if it can be opened.
func newRing(keys []models.SigningKey, sealer models.Sealer) (*ring, error) {
	r := &ring{verifier: map[string]verifier{}}
	public := []json.RawMessage{}
	for _, k := range keys {
		key, err := publicKey(k)
		if err != nil {
			return nil, err
		}
		v := verifier{key: key}
		if k.ExpiresAt != nil {
			v.expires = *k.ExpiresAt
		}
		r.verifier[k.KID] = v
		public = append(public, k.Public)
		if k.RetiresAt == nil && r.newest.KID == "" {
			r.newest = k
			if seed, err := sealer.Open(k.Private, keyContext(k.KID)); err == nil && len(seed) == ed25519.SeedSize {
				r.signer = ed25519.NewKeyFromSeed(seed)
			}
		}
	}
	var err error
	r.document, err = json.Marshal(map[string]any{"keys": public})
	return r, err
}

// jwk is a public key of ours as RFC 8037 writes it.
type jwk struct {
	KeyType   string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	KID       string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
}

// thumbprint is the name of a public key, made of it: RFC 7638.
func thumbprint(x string) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + x + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// newSigningKey draws a key.
func newSigningKey(sealer models.Sealer) (models.SigningKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return models.SigningKey{}, err
	}
	j := jwk{KeyType: "OKP", Curve: "Ed25519", X: base64.RawURLEncoding.EncodeToString(public), Use: "sig", Algorithm: edDSA}
	j.KID = thumbprint(j.X)
	k := models.SigningKey{KID: j.KID, Algorithm: edDSA}
	if k.Public, err = json.Marshal(j); err != nil {
		return k, err
	}
	k.Private, err = sealer.Seal(private.Seed(), keyContext(k.KID))
	return k, err
}

// keyContext is what a private key is sealed to.
func keyContext(kid string) []byte { return []byte("signing_keys/" + kid) }

func publicKey(k models.SigningKey) (ed25519.PublicKey, error) {
	var j jwk
	if err := json.Unmarshal(k.Public, &j); err != nil {
		return nil, models.Wrap(models.Internal, err, "the signing key %s cannot be read", k.KID)
	}
	x, err := base64.RawURLEncoding.DecodeString(j.X)
	if err != nil || k.Algorithm != edDSA || j.Curve != "Ed25519" || len(x) != ed25519.PublicKeySize {
		return nil, models.Errorf(models.Internal, "the signing key %s is of no kind that we know", k.KID)
	}
	return x, nil
}
