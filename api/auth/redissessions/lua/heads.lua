-- How the provider's tokens of sessions begin; empty where there are none. KEYS: their rows. ARGV: how
-- much of each.
local heads = {}
for i, row in ipairs(KEYS) do
  heads[i] = string.sub(redis.call('HGET', row, 'provider_tokens') or '', 1, tonumber(ARGV[1]))
end
return heads
