-- What the scripts on the sessions of a user begin with. KEYS: his live sessions, by when they
-- began, and those whose end is not recorded, by who is about to do that; then the script's own.
-- ARGV: the time of the step, in microseconds, which names it too; how the key of a session begins;
-- how long who ended a session has to record that; then the script's own.
local now, prefix, lease = ARGV[1], ARGV[2], ARGV[3]

local function session(id) return prefix .. id end

local function is_live(id)
  local row = redis.call('HMGET', session(id), 'id', 'revoked_at')
  return row[1] and not row[2]
end

-- finish ends a session, and leaves it to this step to record that.
local function finish(id, why)
  redis.call('HSET', session(id), 'revoked_at', now, 'revoked_why', why)
  redis.call('ZREM', KEYS[1], id)
  redis.call('ZADD', KEYS[2], now, id)
  redis.call('EXPIRE', KEYS[2], 86400)
end

-- ended is what this step has to record, as ID, reason, ID, …: what it ended, also when it was sent
-- before, and what others ended and did not record in their time.
local function ended()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now - lease))) do
    redis.call('ZADD', KEYS[2], now, id)
  end
  local answer = {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], now, now)) do
    table.insert(answer, id)
    table.insert(answer, redis.call('HGET', session(id), 'revoked_why') or 'revoked')
  end
  return answer
end

-- outlive makes a key last as long as another at least.
local function outlive(key, other)
  local left = redis.call('PTTL', other)
  if left > redis.call('PTTL', key) then
    redis.call('PEXPIRE', key, left)
  end
end
