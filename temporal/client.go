package temporal

import (
	"context"
	"crypto/tls"
	"log/slog"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/litemaas/litemaas/models"
)

// Config says where the Temporal server is.
type Config struct {
	Address   string        `mapstructure:"address"`
	Namespace string        `mapstructure:"namespace"`
	APIKey    models.Secret `mapstructure:"api_key"` // of Temporal Cloud, say
	TLS       bool          `mapstructure:"tls"`     // an API key implies it
	UIURL     string        `mapstructure:"ui_url"`  // for links to a run's page
}

// Dial connects to the server; it is Unavailable when that does not answer. Messages are not
// compressed: on a LAN that costs more time than it saves.
func Dial(ctx context.Context, cfg Config, l *slog.Logger) (client.Client, error) {
	c, err := client.DialContext(ctx, options(cfg, l))
	if err != nil {
		return nil, models.Wrap(models.Unavailable, err,
			"the Temporal server at %s does not answer: check temporal.address (TEMPORAL_ADDRESS) and temporal.namespace", cfg.Address)
	}
	return c, nil
}

// Lazy prepares a client that connects at its first call, so that an API can start, and
// answer what needs no workflow, while Temporal is away.
func Lazy(cfg Config, l *slog.Logger) (client.Client, error) {
	c, err := client.NewLazyClient(options(cfg, l))
	if err != nil {
		return nil, models.Wrap(models.Invalid, err, "the Temporal address %s cannot be used: check temporal.address", cfg.Address)
	}
	return c, nil
}

func options(cfg Config, l *slog.Logger) client.Options {
	o := client.Options{
		HostPort: cfg.Address, Namespace: cfg.Namespace, Logger: log.NewStructuredLogger(l),
	}
	o.ConnectionOptions.GrpcCompression = &client.GrpcCompressionNone{}
	if !cfg.APIKey.IsZero() {
		o.Credentials = client.NewAPIKeyStaticCredentials(cfg.APIKey.Reveal())
	}
	if cfg.TLS || !cfg.APIKey.IsZero() {
		o.ConnectionOptions.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return o
}
