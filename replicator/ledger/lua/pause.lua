-- PAUSE kind, name, reason -> 1, or 0 if it was paused before: then it has been since then, and only the reason is new.
-- Nothing of this rule or destination is rung for, until it is resumed.

local field = ARGV[1] .. '|' .. ARGV[2]
local before = redis.call('HGET', P .. 'paused', field)
local since = before and string.match(before, '^%S+') or stamp(now)
redis.call('HSET', P .. 'paused', field, since .. ' ' .. ARGV[3])
return before and 0 or 1
