-- Notes uses of live sessions. KEYS: their rows. ARGV: how long after a use the next one is noted;
-- then for each row when it was used and where from (empty: not known).
for i, key in ipairs(KEYS) do
  local at, ip = ARGV[2*i], ARGV[2*i+1]
  local row = redis.call('HMGET', key, 'last_seen_at', 'revoked_at')
  if row[1] and not row[2] and tonumber(at) >= row[1] + ARGV[1] then
    redis.call('HSET', key, 'last_seen_at', at)
    if ip ~= '' then
      redis.call('HSET', key, 'ip', ip)
    end
  end
end
return redis.status_reply('OK')
