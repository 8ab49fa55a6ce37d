-- SPEND_DELETION zset, cap, mark -> 1, or 0 if `cap` deletions were spent within the last hour. A mark is spent once.

local HOUR = 3600
redis.call('ZREMRANGEBYSCORE', ARGV[1], '-inf', stamp(now - HOUR))
if redis.call('ZSCORE', ARGV[1], ARGV[3]) then
  return 1
end
if redis.call('ZCARD', ARGV[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('ZADD', ARGV[1], stamp(now), ARGV[3])
redis.call('EXPIRE', ARGV[1], HOUR + 1)
return 1
