-- Ends live sessions. ARGV: why, the ID of the only one (empty: all), and of one that goes on.
local why, only, but = unpack(ARGV, 4, 6)
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if (only == '' or id == only) and id ~= but and is_live(id) then
    finish(id, why)
  end
end
return ended()
