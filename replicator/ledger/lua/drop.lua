-- DROP id -> 1, or 0 if the job is gone or leased.
-- The job is no longer in the ledger.

local id = ARGV[1]
local job = job_key(id)
if redis.call('EXISTS', job) == 0 or number(job, 'lease_until') > now then
  return 0
end
remove(id)
return 1
