package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// leeway is how far apart the clocks of our replicas may be.
const leeway = 30 * time.Second

// ErrTokenExpired is the error of a token that was good once.
var ErrTokenExpired = models.Errorf(models.Unauthenticated, "the token has expired")

// Tokens issues access tokens and verifies them. It is safe for use by many goroutines.
type Tokens struct {
	keys   *Keys
	issuer string
	parser *jwt.Parser
	legacy *legacy // nil: LiteMaaS's tokens are not good here
	seen   *bounded[[sha256.Size]byte, verified]
	now    func() time.Time
}

// Bearer is whose a verified token is. What he may do is not in it.
type Bearer struct {
	UserID    uuid.UUID
	SessionID uuid.UUID // zero: the token belongs to no session
	AuthTime  time.Time // when he proved who he is
	ExpiresAt time.Time
}

// verified is a token whose signature was seen to be right.
type verified struct {
	Bearer
	kid string
}

// accessClaims are the claims of our tokens. Those from UserID on are for LiteMaaS's clients;
// nothing here believes them.
type accessClaims struct {
	jwt.RegisteredClaims
	SessionID string           `json:"sid,omitempty"`
	AuthTime  *jwt.NumericDate `json:"auth_time,omitempty"`

	UserID   uuid.UUID `json:"userId"`
	Username string    `json:"username"`
	Email    string    `json:"email"`
	Roles    []string  `json:"roles"`
}

// maxSeen is how many tokens are remembered as verified: some 200 bytes each.
const maxSeen = 50_000

// NewTokens returns an issuer with these keys. It is Invalid when LiteMaaS's tokens are to be
// accepted and their secret could be guessed.
func NewTokens(c Config, keys *Keys) (*Tokens, error) {
	c = c.withDefaults()
	t := &Tokens{keys: keys, issuer: c.TokenIssuer, seen: newBounded[[sha256.Size]byte, verified](maxSeen), now: time.Now}
	t.parser = jwt.NewParser(jwt.WithValidMethods([]string{edDSA}), jwt.WithIssuer(t.issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithLeeway(leeway), jwt.WithStrictDecoding(), jwt.WithTimeFunc(func() time.Time { return t.now() }))
	if c.AcceptHS256 {
		var err error
		if t.legacy, err = newLegacy(c.JWTSecret, func() time.Time { return t.now() }); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Issue returns a token of a principal that is good for that long, or as long as the signing
// key is not revoked.
func (t *Tokens) Issue(ctx context.Context, p models.Principal, lifetime time.Duration) (models.Secret, error) {
	key, kid, err := t.keys.signing(ctx)
	if err != nil {
		return models.Secret{}, err
	}
	now := t.now()
	c := accessClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: t.issuer, Audience: jwt.ClaimStrings{audience}, Subject: p.UserID.String(), ID: uuid.NewString(),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(lifetime)),
		},
		AuthTime: jwt.NewNumericDate(p.AuthTime), UserID: p.UserID, Username: p.Username, Email: p.Email, Roles: p.Roles,
	}
	if p.SessionID != uuid.Nil {
		c.SessionID = p.SessionID.String()
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	token.Header["kid"] = kid
	signed, err := token.SignedString(key)
	if err != nil {
		return models.Secret{}, models.Wrap(models.Internal, err, "the token cannot be signed")
	}
	return models.SecretOf(signed), nil
}

// Verify returns whose a token is. It is Unauthenticated when the token is not ours, not good
// any more, or not yet; ErrTokenExpired, when its time is over.
func (t *Tokens) Verify(ctx context.Context, token string) (Bearer, error) {
	sum := sha256.Sum256([]byte(token))
	if v, ok := t.seen.get(sum); ok { // a signature takes longer to check than all else
		return t.again(ctx, v)
	}
	v, err := t.verify(ctx, token)
	if err != nil && models.KindOf(err) == models.Unauthenticated && t.legacy != nil {
		if b, err := t.legacy.verify(token); err == nil {
			return b, nil
		}
	}
	if err != nil {
		return Bearer{}, err
	}
	t.seen.put(sum, v)
	return v.Bearer, nil
}

// again judges a token that was good before: its key may have been revoked, its time be over.
func (t *Tokens) again(ctx context.Context, v verified) (Bearer, error) {
	_, good, err := t.keys.verifying(ctx, v.kid)
	switch {
	case err != nil:
		return Bearer{}, err
	case !good:
		return Bearer{}, models.Errorf(models.Unauthenticated, "the token is not signed by us")
	case t.now().After(v.ExpiresAt.Add(leeway)):
		return Bearer{}, ErrTokenExpired
	}
	return v.Bearer, nil
}

func (t *Tokens) verify(ctx context.Context, token string) (verified, error) {
	var c accessClaims
	var kid string
	var broken error // of the keys; no fault of the token
	_, err := t.parser.ParseWithClaims(token, &c, func(token *jwt.Token) (any, error) {
		kid, _ = token.Header["kid"].(string)
		key, good, err := t.keys.verifying(ctx, kid)
		if err != nil {
			broken = err
		} else if !good {
			err = errors.New("no such key")
		}
		return key, err
	})
	switch {
	case broken != nil:
		return verified{}, broken
	case errors.Is(err, jwt.ErrTokenExpired):
		return verified{}, ErrTokenExpired
	case err != nil:
		return verified{}, models.Wrap(models.Unauthenticated, err, "the token is not good")
	}
	b, err := c.bearer()
	return verified{b, kid}, err
}

// bearer reads whose the token is; the signature is known to be right.
func (c *accessClaims) bearer() (Bearer, error) {
	b := Bearer{ExpiresAt: c.ExpiresAt.Time}
	var err, sidErr error
	b.UserID, err = uuid.Parse(c.Subject)
	if c.SessionID != "" {
		b.SessionID, sidErr = uuid.Parse(c.SessionID)
	}
	if c.AuthTime != nil {
		b.AuthTime = c.AuthTime.Time
	}
	if err := errors.Join(err, sidErr); err != nil || b.UserID == uuid.Nil {
		return Bearer{}, models.Errorf(models.Unauthenticated, "the token names nobody")
	}
	return b, nil
}
