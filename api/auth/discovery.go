package auth

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/litemaas/litemaas/models"
)

// discovery knows the endpoints of an OpenID provider, as it publishes them.
type discovery struct {
	issuer string
	now    func() time.Time

	mu    sync.Mutex // held while asking: others wait for the answer
	found *endpoints // nil: never yet
	next  time.Time  // when to ask again
}

// endpoints are what the provider published.
type endpoints struct {
	*oidc.Provider
	EndSession  string   `json:"end_session_endpoint"`
	KeySet      string   `json:"jwks_uri"`
	AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
	Algorithms  []string `json:"id_token_signing_alg_values_supported"`
}

const (
	discoveryLifetime = 24 * time.Hour
	discoveryRetry    = time.Minute // while what we know is older than that, and the provider is down
)

// get returns the endpoints. They are read anew after 24 h; should that not work, those that
// were read before are good enough, and are tried to be read again a minute later.
func (d *discovery) get(ctx context.Context) (*endpoints, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.found != nil && d.now().Before(d.next) {
		return d.found, nil
	}
	fresh, err := discover(ctx, d.issuer)
	switch {
	case err == nil:
		d.found, d.next = fresh, d.now().Add(discoveryLifetime)
	case d.found != nil:
		d.next = d.now().Add(discoveryRetry)
		slog.WarnContext(ctx, "the identity provider's endpoints cannot be read again; those from before are used", "issuer", d.issuer, "error", err)
	default:
		return nil, models.Wrap(models.Unavailable, err, "the identity provider does not say where to sign in")
	}
	return d.found, nil
}

func discover(ctx context.Context, issuer string) (*endpoints, error) {
	// The answer is for all who wait, also when this request ends.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	p, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return nil, err
	}
	e := &endpoints{Provider: p}
	return e, p.Claims(e)
}
