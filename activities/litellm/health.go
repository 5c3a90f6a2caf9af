package litellm

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/litemaas/litemaas/models"
)

// Health is how LiteLLM says it is.
type Health struct {
	DBConnected bool
	Version     string        // empty where LiteLLM does not tell: see Health
	Latency     time.Duration // of the answer
}

// Health asks LiteLLM whether it is ready. An error means that it is not, or does not answer;
// its database being away is both: LiteLLM answers 503 then, unless it is configured to go on.
//
// Our key is not needed for it and not proved by it. LiteLLM tells its version only to an
// admin, and only newer ones in this call (1.108 does).
func (c *Client) Health(ctx context.Context) (Health, error) {
	h, err := c.readiness(ctx, "/health/readiness/details")
	if refusedKey(err) || NoRoute(err) {
		h, err = c.readiness(ctx, "/health/readiness")
	}
	return h, err
}

func (c *Client) readiness(ctx context.Context, path string) (Health, error) {
	var out struct {
		DB      string
		Version string `json:"litellm_version"`
	}
	asked := time.Now()
	err := c.do(ctx, call{method: http.MethodGet, path: path}, &out)
	return Health{DBConnected: out.DB == "connected", Version: out.Version, Latency: time.Since(asked)}, err
}

// noSuchKey is a hash that no secret is known to have.
var noSuchKey = strings.Repeat("0", 64)

// CheckAdminKey proves that LiteLLM takes our key as that of an admin who may write. The error
// is Unavailable and says what to do if it does not.
//
// No single call proves it (tried on 1.108 with the keys of all roles): reading the model list
// is open to any key, listing users also to an admin who may only look, and writing to a key
// also to its owner. So it lists one user, and blocks a key that does not exist.
func (c *Client) CheckAdminKey(ctx context.Context) error {
	err := c.do(ctx, call{method: http.MethodGet, path: "/user/list", query: url.Values{"page_size": {"1"}}}, nil)
	if err != nil {
		return err
	}
	if err := c.BlockKey(ctx, noSuchKey); models.KindOf(err) != models.NotFound {
		return err
	}
	return nil
}
