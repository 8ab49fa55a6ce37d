-- REOPEN verb, (id, reason)... -> for each id 1, or 0 if the job is gone or leased, or with the verb "approve" not
-- blocked for just that reason; an empty reason stands for whatever it is.
-- The job is pending, due now unless its doorbell rang already, with all its attempts before it.

local function reopen(verb, id, reason)
  local job = job_key(id)
  local destination, state, lease_until, why, before =
    unpack(redis.call('HMGET', job, 'destination', 'state', 'lease_until', 'reason', 'approved'))
  if not destination or (tonumber(lease_until or '') or 0) > now then
    return 0
  end
  if verb == 'approve' then
    if state ~= 'blocked' or (reason ~= '' and reason ~= why) then
      return 0
    end
    -- An approval is of the words that the person read. Another reason needs another one.
    redis.call('HSET', job, 'approved', before and before .. '\n' .. why or why)
  end
  unhalt(id)
  redis.call('HDEL', job, 'attempts', 'away', 'not_before')
  local inflight = tonumber(redis.call('ZSCORE', P .. 'inflight:' .. destination, id) or '') or 0
  make_due(id, destination, math.max(now, inflight))
  return 1
end

local answers = {}
for at = 2, #ARGV, 2 do
  answers[#answers + 1] = reopen(ARGV[1], ARGV[at], ARGV[at + 1])
end
return answers
