-- MARK_DOWN hash -> failures in a row.
-- One more failure counts and the registry is down for 1, 2, 4, 8 or 15 s, unless it is down already. Ten quiet
-- minutes after the last failure the row is forgotten.

local field = redis.call('HMGET', ARGV[1], 'count', 'until')
local count = tonumber(field[1] or '') or 0
if (tonumber(field[2] or '') or 0) > now then
  return count
end
redis.call('HSET', ARGV[1], 'count', count + 1, 'until', stamp(now + math.min(15, 2 ^ count)))
redis.call('EXPIRE', ARGV[1], 600)
return count + 1
