-- DROP id... -> for each id 1, or 0 if the job is gone or leased.
-- The job is no longer in the ledger.

local answers = {}
for at, id in ipairs(ARGV) do
  local job = job_key(id)
  answers[at] = 0
  if redis.call('EXISTS', job) == 1 and number(job, 'lease_until') <= now then
    remove(id)
    answers[at] = 1
  end
end
return answers
