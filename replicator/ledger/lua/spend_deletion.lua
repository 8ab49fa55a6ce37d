-- SPEND_DELETION zset, cap -> 1, or 0 if `cap` deletions were spent within the last hour.

local HOUR = 3600
redis.call('ZREMRANGEBYSCORE', ARGV[1], '-inf', stamp(now - HOUR))
if redis.call('ZCARD', ARGV[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('ZADD', ARGV[1], stamp(now), redis.call('INCR', P .. 'fence'))
redis.call('EXPIRE', ARGV[1], HOUR + 1)
return 1
