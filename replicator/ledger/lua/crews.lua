-- CREWS [name, slots, destinations] -> of all living workers, by what they serve: destinations, slots, and so on.
-- With arguments, the worker `name` lives on for a while with that many slots for these destinations, which commas
-- part; none stand for all. With 0 slots it is gone.

local TTL = 15
local workers = P .. 'workers'
if ARGV[2] == '0' then
  redis.call('HDEL', workers, ARGV[1])
elseif ARGV[1] then
  redis.call('HSET', workers, ARGV[1], stamp(now + TTL) .. ' ' .. ARGV[2] .. ' ' .. ARGV[3])
end
local sums, order, all = {}, {}, redis.call('HGETALL', workers)
for at = 1, #all, 2 do
  -- A worker of an earlier release names no destinations.
  local expiry, slots, destinations = string.match(all[at + 1], '^(%S+) (%d+) ?(.*)$')
  if tonumber(expiry) > now then
    if not sums[destinations] then
      sums[destinations] = 0
      order[#order + 1] = destinations
    end
    sums[destinations] = sums[destinations] + tonumber(slots)
  else
    redis.call('HDEL', workers, all[at])
  end
end
local crews = {}
for _, destinations in ipairs(order) do
  crews[#crews + 1] = destinations
  crews[#crews + 1] = string.format('%d', sums[destinations])
end
return crews
