-- RESERVE what, registry, seconds, patience -> seconds to wait as text, or "-" and these if they are beyond `patience`.
-- The registry's rate of `what` is taken for the next `seconds` that nobody has: who comes later waits longer. Beyond
-- `patience` nothing is taken. None of it is worth a write to the disk: after a restart the rate begins anew.

redis.set_repl(redis.REPL_NONE)
local key = P .. 'spent:' .. ARGV[1] .. '|' .. ARGV[2]
local free = math.max(now, tonumber(redis.call('GET', key) or '') or 0)
local wait = free - now
if wait > tonumber(ARGV[4]) then
  return '-' .. stamp(wait)
end
local ends = free + tonumber(ARGV[3])
redis.call('SET', key, stamp(ends), 'PX', math.ceil((ends - now) * 1000) + 1000)
return stamp(wait)
