-- Keeps a session, and ends the oldest of too many others. KEYS: its refresh token, if any. ARGV: its
-- ID, how many a user may have, since when those of this one count, when this begins, when it ends and
-- when the token does (both in milliseconds), and the row.
local id, most, since, began, ends, token_ends = unpack(ARGV, 4, 9)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', since)
local others = {}
for _, other in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if not is_live(other) then
    redis.call('ZREM', KEYS[1], other)
  elseif other ~= id then
    table.insert(others, other)
  end
end
for i = 1, #others - most + 1 do
  finish(others[i], 'displaced')
end
redis.call('HSET', session(id), unpack(ARGV, 10))
redis.call('PEXPIREAT', session(id), ends)
if is_live(id) then
  redis.call('ZADD', KEYS[1], began, id)
  outlive(KEYS[1], session(id))
end
if KEYS[3] then
  redis.call('HSET', KEYS[3], 'session_id', id)
  redis.call('PEXPIREAT', KEYS[3], token_ends)
end
return ended()
