-- SPEND_DELETION cap, mark, zsets... -> 1, or 0 if `cap` deletions were spent within the last hour. A mark is spent once.
--
-- The first zset takes the deletion; the others are those of the rule's former names, and count as well.

local HOUR = 3600
local cap, mark = tonumber(ARGV[1]), ARGV[2]
local spent = 0
for at = 3, #ARGV do
  redis.call('ZREMRANGEBYSCORE', ARGV[at], '-inf', stamp(now - HOUR))
  if redis.call('ZSCORE', ARGV[at], mark) then
    return 1
  end
  spent = spent + redis.call('ZCARD', ARGV[at])
end
if spent >= cap then
  return 0
end
redis.call('ZADD', ARGV[3], stamp(now), mark)
redis.call('EXPIRE', ARGV[3], HOUR + 1)
return 1
