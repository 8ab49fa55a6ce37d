-- ASK_SWEEP id, kind, subject, request, by, mark, value, 1 if owed, delay_s -> 1, or 0 if nothing new was asked for.
-- The sweep waits to be taken, `delay_s` from now at the earliest, and the mark says so; with an empty mark it is asked
-- for in any case. With one it is not if the mark has this value, or a higher one, or if the same is asked for and
-- still waits, whoever asked: then that is due as soon as this one would be, and owed if either is. Without an id only
-- the mark is set.

local id, mark, value, delay = ARGV[1], ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[9])

local function is_waiting(other)
  local field = redis.call('HMGET', P .. 'sweep:' .. other, 'kind', 'request', 'state')
  return field[1] == ARGV[2] and field[2] == ARGV[4] and field[3] == 'waiting'
end

local function is_due_sooner(other)
  return number(P .. 'sweep:' .. other, 'not_before') <= now + delay
end

if mark ~= '' then
  local before = tonumber(redis.call('HGET', P .. 'asked', mark) or '')
  if before and before >= value then
    return 0
  end
  redis.call('HSET', P .. 'asked', mark, stamp(value))
  for _, other in ipairs(id ~= '' and redis.call('ZRANGE', P .. 'sweeps', 0, 999) or {}) do
    if is_waiting(other) then
      if not is_due_sooner(other) then
        redis.call('HSET', P .. 'sweep:' .. other, 'not_before', stamp(now + delay))
      end
      if ARGV[8] == '1' then
        redis.call('HSET', P .. 'sweep:' .. other, 'owed', '1')
      end
      return 0
    end
  end
end
if id ~= '' then
  redis.call('HSET', P .. 'sweep:' .. id, 'kind', ARGV[2], 'subject', ARGV[3], 'request', ARGV[4], 'by', ARGV[5],
    'owed', ARGV[8], 'state', 'waiting', 'asked_at', stamp(now), 'not_before', stamp(now + delay))
  redis.call('ZADD', P .. 'sweeps', stamp(now), id)
  if redis.call('LLEN', P .. 'summons') == 0 then
    redis.call('RPUSH', P .. 'summons', '1')
  end
end
return 1
