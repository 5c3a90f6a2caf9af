package main

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/api/auth/redissessions"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// sessionsConfig says where sessions are kept.
type sessionsConfig struct {
	Store string `mapstructure:"store"` // postgres or redis
}

// inRedis reports whether sessions are kept in Redis.
func (c sessionsConfig) inRedis() bool { return c.Store == "redis" }

// checkSessions is Invalid when sessions are to be kept where nothing is configured.
func (c config) checkSessions() error {
	if c.Sessions.inRedis() && c.Redis.URL.IsZero() {
		return models.Errorf(models.Invalid, "redis.url is not set, where sessions are to be kept: sessions.store is redis (%s)",
			c.values["sessions.store"].origin).On("redis.url")
	}
	return nil
}

// sessions is the store with its sessions where they are to be kept.
func (c config) sessions(st *store.Store, rdb *redis.Client) api.People {
	if c.Sessions.inRedis() {
		return redissessions.New(st, rdb)
	}
	return st
}

// sealed is the store with all that is sealed, wherever sessions are kept.
func (c config) sealed(st *store.Store, rdb *redis.Client) activities.SealedKeeper {
	if c.Sessions.inRedis() {
		return redissessions.New(st, rdb)
	}
	return st
}

// openSealed opens all that is sealed, until it is closed.
func (c config) openSealed(ctx context.Context) (activities.SealedKeeper, func(), error) {
	rdb, err := c.Redis.open()
	if err != nil {
		return nil, nil, err
	}
	st, err := store.Open(ctx, c.Database)
	if err != nil {
		return nil, nil, err // the client of Redis has connected to nothing
	}
	return c.sealed(st, rdb), func() {
		st.Close()
		if rdb != nil {
			_ = rdb.Close() // we end
		}
	}, nil
}
