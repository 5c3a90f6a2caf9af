package litellm

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/litemaas/litemaas/models"
)

// probeWithin is how long a probe may take: what it asks needs no model.
const probeWithin = 5 * time.Second

// ProbeKey tries whether the LiteLLM at an address (empty: the client's) refuses a key, by a call
// that any good key may make. Only an answer proves it: 401 is a refusal, every other answer to
// the key is none. It is Unavailable when the LiteLLM there does not answer, or cannot tell
// because its database is away.
func (c *Client) ProbeKey(ctx context.Context, address string, secret models.Secret) (refused bool, err error) {
	k := call{method: http.MethodGet, path: "/v1/models", as: secret, hide: []models.Secret{secret}, patience: probeWithin}
	if address != "" {
		if k.at = addressOf(address); k.at == nil {
			return false, models.Errorf(models.Unavailable, "litellm.addresses names what is no address of a LiteLLM: it must be like http://localhost:4000")
		}
	}
	err = c.do(ctx, k, nil)
	e, answered := errors.AsType[*Error](err)
	switch {
	case err == nil:
		return false, nil
	case !answered, noDatabase.MatchString(e.Message), NoRoute(err):
	case e.Status == http.StatusUnauthorized:
		return true, nil
	case e.Status >= 400 && e.Status < 500: // it may not do that, or has spent too much
		return false, nil
	}
	return false, models.Wrap(models.Unavailable, err, "it cannot be seen whether the LiteLLM at %s refuses the key: it does not answer as one", c.nameOf(k))
}

// nameOf is where a call goes to, for people.
func (c *Client) nameOf(k call) string {
	switch {
	case k.at != nil:
		return k.at.String()
	case c.base != nil:
		return c.base.String()
	}
	return "no address"
}
