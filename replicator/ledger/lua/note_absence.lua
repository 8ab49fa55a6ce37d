-- NOTE_ABSENCE id, mark -> the seconds since the absence that `mark` stands for was first noted of the job, 0 for the
-- first time. What was noted goes with the job.

local job, field = job_key(ARGV[1]), 'absent:' .. ARGV[2]
if redis.call('EXISTS', job) == 0 then
  return '0'
end
redis.call('HSETNX', job, field, stamp(now))
return stamp(now - tonumber(redis.call('HGET', job, field)))
