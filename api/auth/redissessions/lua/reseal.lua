-- Replaces the provider's tokens of sessions, but where they changed meanwhile. KEYS: their rows. ARGV:
-- the tokens as they were and as they shall be, for each row.
local done = 0
for i, row in ipairs(KEYS) do
  if redis.call('HGET', row, 'provider_tokens') == ARGV[2 * i - 1] then
    redis.call('HSET', row, 'provider_tokens', ARGV[2 * i])
    done = done + 1
  end
end
return done
