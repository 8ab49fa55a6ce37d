-- RELEASE id, token, doubt -> 1, or 0 if the lease is lost.
-- The job is due now, as if it had not been claimed.

local id, token = ARGV[1], ARGV[2]
if not holds(id, token) then
  return 0
end
local job = job_key(id)
put_down(id, ARGV[3])
redis.call('HINCRBY', job, 'attempts', -1)
make_due(id, redis.call('HGET', job, 'destination'), now)
return 1
