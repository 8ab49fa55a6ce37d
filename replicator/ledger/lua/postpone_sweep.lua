-- POSTPONE_SWEEP id, delay_s, error -> 1, or 0 if the sweep is not ours any more.
-- It is given back, to be taken again after `delay_s`, with as many tries as a new one, and why.

local sweep = P .. 'sweep:' .. ARGV[1]
local lock = P .. 'sweeping:' .. (redis.call('HGET', sweep, 'subject') or '')
if redis.call('GET', lock) ~= ARGV[1] then
  return 0
end
redis.call('DEL', lock)
redis.call('HINCRBY', sweep, 'postponed', 1)
redis.call('HDEL', sweep, 'tries')
redis.call('HSET', sweep, 'state', 'waiting', 'not_before', stamp(now + tonumber(ARGV[2])), 'error', ARGV[3])
return 1
