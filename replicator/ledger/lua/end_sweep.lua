-- END_SWEEP id, state, result, error -> 1, or 0 if the sweep is gone.
-- It has ended, its subject is free, and for a week it can be looked at.

local KEPT_S = 7 * 24 * 3600
local sweep = P .. 'sweep:' .. ARGV[1]
if redis.call('EXISTS', sweep) == 0 then
  return 0
end
local lock = P .. 'sweeping:' .. redis.call('HGET', sweep, 'subject')
if redis.call('GET', lock) == ARGV[1] then
  redis.call('DEL', lock)
end
redis.call('HDEL', sweep, 'not_before')
redis.call('HSET', sweep, 'state', ARGV[2], 'result', ARGV[3], 'error', ARGV[4], 'ended_at', stamp(now))
redis.call('EXPIRE', sweep, KEPT_S)
redis.call('ZREM', P .. 'sweeps', ARGV[1])
return 1
