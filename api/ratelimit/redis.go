package ratelimit

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis counts for all processes that share a Redis. While that does not answer, each process
// counts for itself.
type Redis struct {
	client redis.Scripter
	memory *Memory
	now    func() time.Time

	mu       sync.Mutex
	away     bool
	askAgain time.Time // while away
}

const (
	answerWithin = 250 * time.Millisecond // what no request has to wait longer for
	pause        = 2 * time.Second        // from one try to reach Redis to the next
)

// NewRedis returns a counter in Redis. It connects to nothing by itself. The clock is for when
// to ask again while Redis is away; limits go by the clock of Redis, which all share.
func NewRedis(client redis.Scripter, now func() time.Time) *Redis {
	return &Redis{client: client, memory: NewMemory(now), now: now}
}

// Take implements Counter.
func (r *Redis) Take(ctx context.Context, buckets ...Bucket) Verdict {
	if r.asks() {
		v, err := r.take(ctx, buckets)
		r.note(ctx, err)
		if err == nil {
			return v
		}
	}
	return r.memory.Take(ctx, buckets...)
}

// asks reports whether to ask Redis. While it is away, one request asks now and then, and the
// others do not wait for it.
func (r *Redis) asks() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.away {
		return true
	}
	now := r.now()
	if now.Before(r.askAgain) {
		return false
	}
	r.askAgain = now.Add(pause)
	return true
}

// note keeps in mind whether Redis answered, and logs when that has changed.
func (r *Redis) note(ctx context.Context, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil && !r.away:
		slog.WarnContext(ctx, "redis is away: until it is back, each process counts requests for itself", "error", err)
		r.away, r.askAgain = true, r.now().Add(pause)
	case err == nil && r.away:
		slog.InfoContext(ctx, "redis is back: requests are counted for all processes together")
		r.away = false
	}
}

// count is GCRA for several buckets in one step, so that no two requests take the same place
// and one round trip is all it costs. KEYS are the buckets; ARGV has for each the microseconds
// that a request uses up, and those of its period. It answers whether the request was counted,
// and how many microseconds of each period are used up.
var count = redis.NewScript(`
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local fits, answer = 1, {0}
for i, key in ipairs(KEYS) do
  local interval, period = tonumber(ARGV[2*i-1]), tonumber(ARGV[2*i])
  local used = (tonumber(redis.call('GET', key) or now)) - now
  if used < 0 or used > period then used = 0 end
  if used + interval > period then fits = 0 end
  answer[i+1] = used
end
for i, key in ipairs(KEYS) do
  if fits == 0 then break end
  local used = answer[i+1] + tonumber(ARGV[2*i-1])
  redis.call('SET', key, string.format('%.0f', now + used), 'PX', math.ceil(used / 1000))
  answer[i+1] = used
end
answer[1] = fits
return answer
`)

// prefix begins our keys. The braces keep them together in a cluster, where one script may not
// touch keys of several nodes.
const prefix = "litemaas:{limits}:"

func (id ID) key() string { return prefix + id.Limit + ":" + id.Whose }

// take asks Redis. That a caller hangs up is no failure of Redis, so it does not end the wait.
func (r *Redis) take(ctx context.Context, buckets []Bucket) (Verdict, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerWithin)
	defer cancel()
	keys, args := make([]string, len(buckets)), make([]any, 0, 2*len(buckets))
	for i, b := range buckets {
		keys[i] = b.key()
		args = append(args, b.interval().Microseconds(), b.Per.Microseconds())
	}
	answer, err := count.Run(ctx, r.client, keys, args...).Int64Slice()
	if err != nil {
		return Verdict{}, err
	}
	used := make([]time.Duration, len(buckets))
	for i := range used {
		used[i] = time.Duration(answer[i+1]) * time.Microsecond
	}
	return judge(buckets, used, answer[0] == 1), nil
}
