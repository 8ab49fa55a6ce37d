-- ASK_SWEEP id, kind, subject, request, by, mark, value -> 1, or 0 if the mark has this value, or a higher one.
-- The sweep waits to be taken, and the mark says so; with an empty mark it is asked for in any case. Without an id only
-- the mark is set.

local id, mark, value = ARGV[1], ARGV[6], tonumber(ARGV[7])
if mark ~= '' then
  local before = tonumber(redis.call('HGET', P .. 'asked', mark) or '')
  if before and before >= value then
    return 0
  end
  redis.call('HSET', P .. 'asked', mark, stamp(value))
end
if id ~= '' then
  redis.call('HSET', P .. 'sweep:' .. id, 'kind', ARGV[2], 'subject', ARGV[3], 'request', ARGV[4], 'by', ARGV[5],
    'state', 'waiting', 'asked_at', stamp(now))
  redis.call('ZADD', P .. 'sweeps', stamp(now), id)
end
return 1
