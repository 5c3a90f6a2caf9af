package main

import (
	"github.com/redis/go-redis/v9"

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
