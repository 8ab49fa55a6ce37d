-- TAKE_SWEEP lease_s -> id, or nothing.
-- The sweep that waits longest is running, and no other of its subject is: whoever took it has it for `lease_s`, and
-- longer if it is renewed. One that was taken and never ended is taken again, three times in all; then it has failed.

local TRIES, KEPT_S = 3, 7 * 24 * 3600
for _, id in ipairs(redis.call('ZRANGE', P .. 'sweeps', 0, 999)) do
  local sweep = P .. 'sweep:' .. id
  local lock = P .. 'sweeping:' .. (redis.call('HGET', sweep, 'subject') or '')
  if redis.call('EXISTS', sweep) == 0 then
    redis.call('ZREM', P .. 'sweeps', id)
  elseif redis.call('EXISTS', lock) == 0 and number(sweep, 'not_before') <= now then
    if redis.call('HINCRBY', sweep, 'tries', 1) > TRIES then
      redis.call('HSET', sweep, 'state', 'failed', 'ended_at', stamp(now), 'error',
        'whoever ran it died, three times')
      redis.call('EXPIRE', sweep, KEPT_S)
      redis.call('ZREM', P .. 'sweeps', id)
    else
      redis.call('SET', lock, id, 'PX', math.ceil(tonumber(ARGV[1]) * 1000))
      redis.call('HSET', sweep, 'state', 'running', 'started_at', stamp(now))
      return id
    end
  end
end
return false
