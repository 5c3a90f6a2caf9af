package auth

import (
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// legacy verifies the tokens that LiteMaaS issued, while people move. They belong to no
// session, so that deactivating their user is the only way to end one.
type legacy struct {
	secret []byte
	parser *jwt.Parser
}

// minSecret is the shortest secret of HS256 that cannot be tried out, in bytes: RFC 7518.
const minSecret = 32

func newLegacy(secret models.Secret, now func() time.Time) (*legacy, error) {
	if len(secret.Reveal()) < minSecret {
		return nil, models.Errorf(models.Invalid, "the secret of LiteMaaS's tokens must have at least %d bytes to accept them", minSecret).On("jwt_secret")
	}
	return &legacy{
		secret: []byte(secret.Reveal()),
		parser: jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired(),
			jwt.WithIssuedAt(), jwt.WithLeeway(leeway), jwt.WithStrictDecoding(), jwt.WithTimeFunc(now)),
	}, nil
}

// verify returns whose a token of LiteMaaS is. It says nothing of when he signed in but when it
// was issued, which was then.
func (l *legacy) verify(token string) (Bearer, error) {
	var c struct {
		jwt.RegisteredClaims
		UserID string `json:"userId"`
	}
	if _, err := l.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return l.secret, nil }); err != nil {
		return Bearer{}, models.Wrap(models.Unauthenticated, err, "the token is not good")
	}
	id, err := uuid.Parse(c.UserID)
	if err != nil || id == uuid.Nil || c.IssuedAt == nil {
		return Bearer{}, models.Errorf(models.Unauthenticated, "the token names nobody")
	}
	return Bearer{UserID: id, AuthTime: c.IssuedAt.Time, ExpiresAt: c.ExpiresAt.Time}, nil
}
