-- Puts a refresh token in the place of another. KEYS: that one, and the next. ARGV: the ID of the
-- session, how long after its use the other may come again, in microseconds, and when the next ends,
-- in microseconds and in milliseconds. Answers that it did (rotated), or did so once more as nothing
-- came of the first time (again), that the session is not live (over), or that the other was used
-- before (used), with what is ended.
local id, grace, expires, ends = ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7]
local answer = redis.call('HGET', KEYS[4], 'answer')
if answer then -- this step was sent before
  return {answer}
end

local owner, replaces, used_at, successor = unpack(redis.call('HMGET', KEYS[3], 'session_id', 'replaces', 'used_at', 'successor'))
local preferred = replaces and redis.call('HGET', replaces, 'successor')
local again = used_at and not successor and now - used_at < grace
if used_at and not again or preferred and preferred ~= KEYS[3] then
  if is_live(id) then
    finish(id, 'stolen')
  end
  return {'used', unpack(ended())}
end
if not owner or not is_live(id) then
  return {'over'}
end

answer = again and 'again' or 'rotated'
redis.call('HSETNX', KEYS[3], 'used_at', now)
if replaces and redis.call('EXISTS', replaces) == 1 then
  redis.call('HSET', replaces, 'successor', KEYS[3]) -- what else was given for that is used up with it
end
redis.call('HSET', KEYS[4], 'session_id', id, 'replaces', KEYS[3], 'answer', answer)
redis.call('PEXPIREAT', KEYS[4], ends)
outlive(KEYS[3], KEYS[4])
redis.call('HSET', session(id), 'last_seen_at', now)
if tonumber(expires) > tonumber(redis.call('HGET', session(id), 'expires_at')) then
  redis.call('HSET', session(id), 'expires_at', expires)
  redis.call('PEXPIREAT', session(id), ends)
  outlive(KEYS[1], session(id))
end
return {answer}
