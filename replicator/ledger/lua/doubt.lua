-- DOUBT id -> 1, or 0 if there is no such job.
-- Something that was sent for the job may take effect later than it was seen to: when the job is done it is looked at
-- once more (see `finish`), whoever does it and however often it is tried before.

local job = job_key(ARGV[1])
if redis.call('EXISTS', job) == 0 then
  return 0
end
redis.call('HSET', job, 'unsure', DOUBT)
return 1
