-- HALT id, token, generation, state, reason, doubt -> 1, or 0 if the lease is lost.
-- The job is parked or blocked, as `state` says, and stays so until it is submitted or reopened. If something was
-- submitted since the claim it is due now instead. A block keeps what a person approved before, which is not its reason.

local id, token, generation, state = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if not holds(id, token) then
  return 0
end
local job = job_key(id)
local field = redis.call('HMGET', job, 'rule', 'destination', 'gen')
put_down(id, ARGV[6])
redis.call('HSET', job, 'reason', ARGV[5])
if state == 'parked' then
  redis.call('HDEL', job, 'approved')
end
if field[3] ~= generation then
  redis.call('HDEL', job, 'attempts')
  make_due(id, field[2], now)
  return 1
end
redis.call('HSET', job, 'state', state)
redis.call('ZREM', queue_of(id, field[2]), id)
redis.call('ZADD', P .. state .. ':' .. field[1] .. '|' .. field[2], stamp(now), id)
wake_if_due(field[2])
return 1
