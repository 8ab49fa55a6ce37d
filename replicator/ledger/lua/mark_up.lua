-- MARK_UP registry -> 1, or 0 if it was not down.
-- The registry answered. If it had been tried in vain more than once, it is back since now, and is eased into its work.

local down = P .. 'down:' .. ARGV[1]
local count = number(down, 'count')
redis.call('DEL', P .. 'probe:' .. ARGV[1])
if redis.call('DEL', down) == 0 then
  return 0
end
if count > 1 then
  redis.call('SET', P .. 'back:' .. ARGV[1], stamp(now), 'EX', 30)
end
return 1
