-- SLOTS [name, slots] -> slots of all living workers.
-- With arguments, the worker `name` lives on for a while with that many slots; with 0 slots it is gone.

local TTL = 15
local workers = P .. 'workers'
if ARGV[2] == '0' then
  redis.call('HDEL', workers, ARGV[1])
elseif ARGV[1] then
  redis.call('HSET', workers, ARGV[1], stamp(now + TTL) .. ' ' .. ARGV[2])
end
local sum, all = 0, redis.call('HGETALL', workers)
for at = 1, #all, 2 do
  local expiry, slots = string.match(all[at + 1], '^(%S+) (%d+)$')
  if tonumber(expiry) > now then
    sum = sum + tonumber(slots)
  else
    redis.call('HDEL', workers, all[at])
  end
end
return sum
