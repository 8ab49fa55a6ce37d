-- REOPEN id, verb -> 1, or 0 if the job is gone or leased, or with the verb "approve" not blocked.
-- The job is pending, due now unless its doorbell rang already, with all its attempts before it.

local id, verb = ARGV[1], ARGV[2]
local job = job_key(id)
local field = redis.call('HMGET', job, 'destination', 'state', 'lease_until')
local destination = field[1]
if not destination or (tonumber(field[3] or '') or 0) > now then
  return 0
end
if verb == 'approve' then
  if field[2] ~= 'blocked' then
    return 0
  end
  -- An approval is of the words that the person read. Another reason needs another one.
  local before, reason = unpack(redis.call('HMGET', job, 'approved', 'reason'))
  redis.call('HSET', job, 'approved', before and before .. '\n' .. reason or reason)
end
unhalt(id)
redis.call('HDEL', job, 'attempts', 'not_before')
local inflight = tonumber(redis.call('ZSCORE', P .. 'inflight:' .. destination, id) or '') or 0
make_due(id, destination, math.max(now, inflight))
return 1
