package auth

import (
	"context"
	"log/slog"
	"time"

	"github.com/litemaas/litemaas/models"
)

// Provider is who knows people: a sign-in goes off to it by a browser and comes back with a
// code. Its errors are Unauthenticated when it does not vouch for somebody, or what it says
// does not hold, and Unavailable when it does not answer or does not take us for its client.
type Provider interface {
	// Name is the kind of provider; users are remembered by it.
	Name() string

	// AuthURL is where the browser goes. The state comes back with it; nonce and verifier
	// stay here, for Exchange. Who has proved there who he is longer ago than maxAge has to do
	// it again (nil: never). That is Invalid where the provider cannot be made to.
	AuthURL(ctx context.Context, state, nonce, verifier string, maxAge *time.Duration) (string, error)

	// Exchange turns the code into the person who signed in.
	Exchange(ctx context.Context, code, nonce, verifier string) (models.Identity, ProviderTokens, error)

	// Refresh asks whether the provider still stands by a person: Unauthenticated, if not.
	// The tokens that it returns replace those that it was given.
	Refresh(ctx context.Context, t ProviderTokens) (ProviderTokens, error)

	// EndSessionURL is where the browser goes to sign out there, too, and then back; empty,
	// if the provider has no such place.
	EndSessionURL(ctx context.Context, t ProviderTokens, back string) (string, error)
}

// ProviderTokens is what a provider gave beside the identity. It is kept sealed, and cannot be
// printed or logged.
type ProviderTokens struct {
	Subject string `json:"sub"`
	ID      string `json:"id,omitempty"`
	Access  string `json:"access,omitempty"`
	Refresh string `json:"refresh,omitempty"`

	AuthTime time.Time `json:"-"` // when he proved there who he is; zero: it does not say
}

func (ProviderTokens) String() string { return "[tokens]" }

// GoString is what %#v prints.
func (t ProviderTokens) GoString() string { return t.String() }

// LogValue is what slog prints.
func (t ProviderTokens) LogValue() slog.Value { return slog.StringValue(t.String()) }

// NewProvider returns the provider that the configuration names. It does not connect. What is
// wrong with the configuration is Invalid and blames the setting.
func NewProvider(c Config) (Provider, error) {
	c = c.withDefaults()
	if _, ok := webURL(c.CallbackURL); !ok {
		return nil, models.Errorf(models.Invalid, "the callback URL must be an address such as https://litemaas.example.com/api/auth/callback").On("callback_url")
	}
	switch c.Provider {
	case ProviderMock:
		return newMock(c)
	case ProviderOIDC, ProviderOpenShift:
	default:
		return nil, models.Errorf(models.Invalid, "the identity provider must be %s, %s or %s", ProviderOIDC, ProviderOpenShift, ProviderMock).On("provider")
	}
	if _, ok := webURL(c.Issuer); !ok {
		return nil, models.Errorf(models.Invalid, "the issuer must be an address such as https://sso.example.com/realms/main").On("issuer")
	}
	if c.ClientID == "" {
		return nil, models.Errorf(models.Invalid, "the client ID that the identity provider knows us by is not set").On("client_id")
	}
	if c.Provider == ProviderOpenShift {
		return newOpenShift(c)
	}
	return newOIDC(c), nil
}
