-- RESUME kind, name... -> 1, or 0 if it was not paused under any of these names.
-- What was held is due now, the oldest wish first. Everything that is proportional to the number of jobs is done by
-- Redis' own commands on whole sets, so that 50,000 of them stop the others only for a moment.

local kind, resumed = ARGV[1], 0
for at = 2, #ARGV do
  resumed = resumed + redis.call('HDEL', P .. 'paused', kind .. '|' .. ARGV[at])
end
if resumed == 0 then
  return 0
end
local held = P .. 'held'
for _, destination in ipairs(kind == 'rule' and redis.call('SMEMBERS', P .. 'destinations') or {}) do
  -- They came due in the past, where no dispatcher looks twice.
  redis.call('HDEL', P .. 'round:due:' .. destination, 'seen')
  redis.call('HDEL', P .. 'round:low:' .. destination, 'seen')
  for _, queue in ipairs({P .. 'due:' .. destination, P .. 'low:' .. destination}) do
    for at = 2, #ARGV do
      redis.call('ZRANGESTORE', held, queue, stamp(HELD), '+inf', 'BYSCORE')
      local since = P .. 'since:' .. ARGV[at] .. '|' .. destination
      if redis.call('ZINTERSTORE', held, 2, held, since, 'WEIGHTS', 0, 1) > 0 then
        redis.call('ZUNIONSTORE', queue, 2, queue, held, 'AGGREGATE', 'MIN')
      end
    end
  end
end
redis.call('DEL', held)
wake()
return 1
