-- DISPATCH destination, cap, redispatch_s -> ids to ring for.
-- Each of them is in flight, and due again `redispatch_s` from now, should its doorbell get lost. No more than `cap`
-- are in flight then, however many dispatchers there are.

local due, inflight = P .. 'due:' .. ARGV[1], P .. 'inflight:' .. ARGV[1]
redis.call('ZREMRANGEBYSCORE', inflight, '-inf', stamp(now))
local room = tonumber(ARGV[2]) - redis.call('ZCARD', inflight)
local again = stamp(now + tonumber(ARGV[3]))
local ids = {}
while #ids < room do
  local batch = redis.call('ZRANGEBYSCORE', due, '-inf', stamp(now), 'LIMIT', 0, room - #ids)
  if #batch == 0 then
    break
  end
  for _, id in ipairs(batch) do
    if redis.call('EXISTS', job_key(id)) == 1 then
      redis.call('ZADD', due, again, id)
      redis.call('ZADD', inflight, again, id)
      ids[#ids + 1] = id
    else
      redis.call('ZREM', due, id)
    end
  end
end
return ids
