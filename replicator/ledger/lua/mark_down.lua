-- MARK_DOWN registry -> failures in a row.
-- One more failure counts and the registry is down for 1, 2, 4, 8 or 15 s, unless it is down already. Ten quiet
-- minutes after the last failure the row is forgotten. Whoever was the first to try it is not any more.

local down = P .. 'down:' .. ARGV[1]
local field = redis.call('HMGET', down, 'count', 'until')
redis.call('DEL', P .. 'probe:' .. ARGV[1])
local count = tonumber(field[1] or '') or 0
if (tonumber(field[2] or '') or 0) > now then
  return count
end
redis.call('HSET', down, 'count', count + 1, 'until', stamp(now + math.min(15, 2 ^ count)))
redis.call('EXPIRE', down, 600)
return count + 1
