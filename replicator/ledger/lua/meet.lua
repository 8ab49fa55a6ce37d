-- MEET registry, number of names that the caller met before, name..., name to be met... -> 1 if one of these is new.
-- The names are known, the latest KEPT of them. If others were known before, a process of the registry began, and what
-- another one kept in memory may have ended with it: the registry is suspected.

local KEPT = 64
local senders, met = P .. 'senders:' .. ARGV[1], tonumber(ARGV[2])
local is_first = met == 0 and redis.call('EXISTS', senders) == 0
local is_new = false
for place = 3, #ARGV do
  local is_unknown = redis.call('ZSCORE', senders, ARGV[place]) == false
  is_new = is_new or (is_unknown and place > 2 + met)
  redis.call('ZADD', senders, stamp(now), ARGV[place])
end
redis.call('ZREMRANGEBYRANK', senders, 0, -KEPT - 1)
if is_new and not is_first then
  suspect(ARGV[1], 'sender')
end
return is_new and 1 or 0
