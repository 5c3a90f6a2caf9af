package ratelimit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api/ratelimit"
)

// redisClient is a client of the Redis at TEST_REDIS_URL, else of one in this process.
func redisClient(t *testing.T) *redis.Client {
	t.Helper()
	options := &redis.Options{}
	if url := os.Getenv("TEST_REDIS_URL"); url != "" {
		var err error
		options, err = redis.ParseURL(url)
		require.NoError(t, err)
	} else {
		options.Addr = miniredis.RunT(t).Addr()
	}
	c := redis.NewClient(options)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.Ping(t.Context()).Err())
	return c
}

// age lets time pass for buckets: nobody can set the clock of a Redis, so what it holds gets
// older.
func age(t *testing.T, c *redis.Client, d time.Duration, buckets []ratelimit.Bucket) {
	t.Helper()
	for _, b := range buckets {
		reset, err := c.Get(t.Context(), ratelimit.Key(b)).Int64()
		if errors.Is(err, redis.Nil) {
			continue
		}
		require.NoError(t, err)
		older := strconv.FormatInt(reset-d.Microseconds(), 10)
		require.NoError(t, c.Set(t.Context(), ratelimit.Key(b), older, redis.KeepTTL).Err())
	}
}

// Processes that share a Redis share the limits, and leave nothing behind there for good.
func TestRedisIsShared(t *testing.T) {
	client, b := redisClient(t), bucket("user", 2, time.Hour)
	one, two := ratelimit.NewRedis(client, time.Now), ratelimit.NewRedis(client, time.Now)
	require.False(t, one.Take(t.Context(), b).Refused())
	require.False(t, two.Take(t.Context(), b).Refused())
	require.True(t, one.Take(t.Context(), b).Refused())
	require.True(t, two.Take(t.Context(), b).Refused())
	ttl, err := client.PTTL(t.Context(), ratelimit.Key(b)).Result()
	require.NoError(t, err)
	near(t, time.Hour, ttl)
}

// outage lets the commands of a client fail.
type outage struct{ on atomic.Bool }

func (o *outage) DialHook(next redis.DialHook) redis.DialHook { return next }

func (o *outage) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if o.on.Load() {
			cmd.SetErr(errors.New("connection refused"))
			return cmd.Err()
		}
		return next(ctx, cmd)
	}
}

func (o *outage) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// While Redis is away, requests are counted all the same, it is told once, and Redis is asked
// only now and then; once it is back, it counts again.
func TestRedisIsAway(t *testing.T) {
	log := captureLog(t)
	client, c, b := redisClient(t), startedClock(), bucket("user", 2, time.Hour)
	o := &outage{}
	client.AddHook(o)
	r := ratelimit.NewRedis(client, c.now)
	require.False(t, r.Take(t.Context(), b).Refused())
	require.Empty(t, log.String())

	o.on.Store(true)
	require.False(t, r.Take(t.Context(), b).Refused())
	require.False(t, r.Take(t.Context(), b).Refused())
	require.True(t, r.Take(t.Context(), b).Refused(), "this process has a limit of its own")
	c.forward(ratelimit.Pause)
	require.True(t, r.Take(t.Context(), b).Refused())
	require.Equal(t, 1, strings.Count(log.String(), "redis is away"), log)
	require.Contains(t, log.String(), "connection refused")

	o.on.Store(false)
	require.True(t, r.Take(t.Context(), b).Refused(), "nobody has asked Redis yet")
	c.forward(ratelimit.Pause)
	require.False(t, r.Take(t.Context(), b).Refused(), "Redis has counted one")
	require.True(t, r.Take(t.Context(), b).Refused())
	require.Equal(t, 1, strings.Count(log.String(), "redis is back"), log)
	require.Equal(t, 1, strings.Count(log.String(), "redis is away"), log)
}

// A caller who hangs up says nothing about Redis, and his request counts.
func TestCallerHangsUp(t *testing.T) {
	log := captureLog(t)
	r, b := ratelimit.NewRedis(redisClient(t), time.Now), bucket("user", 1, time.Hour)
	ctx, hangUp := context.WithCancel(t.Context())
	hangUp()
	require.False(t, r.Take(ctx, b).Refused())
	require.True(t, r.Take(t.Context(), b).Refused())
	require.Empty(t, log.String())
}

// A Redis that does not answer holds one request up for a moment, and no other.
func TestRedisDoesNotAnswer(t *testing.T) {
	captureLog(t)
	synctest.Test(t, func(t *testing.T) {
		client := redis.NewClient(&redis.Options{
			Addr: "192.0.2.1:6379", ContextTimeoutEnabled: true,
			Dialer: func(context.Context, string, string) (net.Conn, error) { mine, _ := net.Pipe(); return mine, nil },
		})
		r, start := ratelimit.NewRedis(client, time.Now), time.Now()
		require.False(t, r.Take(t.Context(), bucket("user", 1, time.Hour)).Refused())
		require.LessOrEqual(t, time.Since(start), ratelimit.AnswerWithin+10*time.Millisecond)
		start = time.Now()
		for range 100 {
			r.Take(t.Context(), bucket("user", 1, time.Hour))
		}
		require.Zero(t, time.Since(start))
		require.NoError(t, client.Close())
	})
}

// captureLog collects what is logged until the test ends.
func captureLog(t *testing.T) *bytes.Buffer {
	t.Helper()
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &log
}
