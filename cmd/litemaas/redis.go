package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/litemaas/litemaas/models"
)

// redisConfig says where the replicas share what is not worth a row.
type redisConfig struct {
	URL models.Secret `mapstructure:"url"`
}

// open returns a client, or nil when no Redis is configured. It connects to nothing by itself.
func (c redisConfig) open() (*redis.Client, error) {
	if c.URL.IsZero() {
		return nil, nil
	}
	o, err := redis.ParseURL(c.URL.Reveal())
	if err != nil {
		return nil, models.Errorf(models.Invalid, "redis.url must be %s", redisURL.right).On("redis.url")
	}
	o.ContextTimeoutEnabled = true
	o.DialTimeout, o.DialerRetries = time.Second, 1 // who asks has not the time for more, and asks again
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(o), nil
}

// checkRedis is a check of doctor.
func checkRedis(ctx context.Context, cfg config) []finding {
	client, err := cfg.Redis.open()
	if client == nil && err == nil {
		return nil
	}
	f := finding{what: "redis", hint: "check redis.url; while Redis is away, each process counts requests for itself"}
	if f.err = err; err == nil {
		defer client.Close()
		start := time.Now()
		f.err = client.Ping(ctx).Err()
		f.saw = fmt.Sprintf("%s, answered in %s", maskDatabase(cfg.Redis.URL.Reveal()), time.Since(start).Round(time.Millisecond))
	}
	if cfg.Sessions.inRedis() {
		f.saw += ", keeps the sessions"
		f.hint = "check redis.url; it keeps the sessions, and while it is away nobody can sign in, or come back after a minute"
	}
	return []finding{f}
}

// redisLog passes on what the client of Redis says beside the errors that it returns.
type redisLog struct{}

// Printf implements the client's logger.
func (redisLog) Printf(ctx context.Context, format string, args ...any) {
	slog.DebugContext(ctx, "redis client", "said", fmt.Sprintf(format, args...))
}

func init() { // the client keeps it as a global
	redis.SetLogger(redisLog{})
}
