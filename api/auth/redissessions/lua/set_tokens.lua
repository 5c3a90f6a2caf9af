-- Replaces the provider's tokens of a session, if that is live. KEYS: its row. ARGV: the tokens.
local row = redis.call('HMGET', KEYS[1], 'id', 'revoked_at')
if not row[1] or row[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'provider_tokens', ARGV[1])
return 1
