-- RETRY id, token, generation, delay_s, error, charge, doubt -> 1, or 0 if the lease is lost.
-- The job is due `delay_s` from now, or soon if something was submitted since the claim. Without `charge` the attempt
-- does not count; "away" says how often that was so.

local id, token, generation, delay = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if not holds(id, token) then
  return 0
end
local job = job_key(id)
local field = redis.call('HMGET', job, 'destination', 'gen')
if field[2] ~= generation then
  delay = math.min(delay, BACKOFF_AFTER_SUBMISSION)
end
put_down(id, ARGV[7])
if ARGV[6] == '0' then
  redis.call('HINCRBY', job, 'attempts', -1)
  redis.call('HINCRBY', job, 'away', 1)
end
redis.call('HSET', job, 'not_before', stamp(now + delay), 'reason', ARGV[5])
make_due(id, field[1], now + delay)
return 1
