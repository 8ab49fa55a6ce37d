-- NOTE_ABSENCE id, generation, what -> the seconds since the absence of `what` was first noted of that generation of the
-- job, 0 for the first time. What was noted goes with the job; what was noted of another generation, or before the job
-- was done in doubt, goes now.

local job, generation, field = job_key(ARGV[1]), ARGV[2], 'absent:' .. ARGV[3]
if redis.call('EXISTS', job) == 0 then
  return '0'
end
if redis.call('HGET', job, 'absences') ~= generation then
  for _, name in ipairs(redis.call('HKEYS', job)) do
    if string.sub(name, 1, 7) == 'absent:' then
      redis.call('HDEL', job, name)
    end
  end
  redis.call('HSET', job, 'absences', generation)
end
redis.call('HSETNX', job, field, stamp(now))
return stamp(now - tonumber(redis.call('HGET', job, field)))
