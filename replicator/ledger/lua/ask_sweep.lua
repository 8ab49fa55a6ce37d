-- ASK_SWEEP id, kind, subject, request, by, mark, value, 1 if owed -> 1, or 0 if nothing new was asked for.
-- The sweep waits to be taken, and the mark says so; with an empty mark it is asked for in any case. With one it is not
-- if the mark has this value, or a higher one, or if the same is asked for and still waits: then that is due now.
-- Without an id only the mark is set.

local id, mark, value = ARGV[1], ARGV[6], tonumber(ARGV[7])

local function is_waiting(other)
  local field = redis.call('HMGET', P .. 'sweep:' .. other, 'kind', 'request', 'by', 'state')
  return field[1] == ARGV[2] and field[2] == ARGV[4] and field[3] == ARGV[5] and field[4] == 'waiting'
end

if mark ~= '' then
  local before = tonumber(redis.call('HGET', P .. 'asked', mark) or '')
  if before and before >= value then
    return 0
  end
  redis.call('HSET', P .. 'asked', mark, stamp(value))
  for _, other in ipairs(id ~= '' and redis.call('ZRANGE', P .. 'sweeps', 0, 999) or {}) do
    if is_waiting(other) then
      redis.call('HDEL', P .. 'sweep:' .. other, 'not_before')
      return 0
    end
  end
end
if id ~= '' then
  redis.call('HSET', P .. 'sweep:' .. id, 'kind', ARGV[2], 'subject', ARGV[3], 'request', ARGV[4], 'by', ARGV[5],
    'owed', ARGV[8], 'state', 'waiting', 'asked_at', stamp(now))
  redis.call('ZADD', P .. 'sweeps', stamp(now), id)
  if redis.call('LLEN', P .. 'summons') == 0 then
    redis.call('RPUSH', P .. 'summons', '1')
  end
end
return 1
