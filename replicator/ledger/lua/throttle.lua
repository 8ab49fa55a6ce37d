-- THROTTLE registry, wait, age, size, recovery -> 1 if the window was cut.
-- The registry is left alone for `wait` seconds, or longer if it was to be. An answer to a request that was sent before
-- everybody knew of the last cut, `age` seconds ago, says nothing new: the window stays. Otherwise it is `size`, and
-- forgotten when it has recovered.

local KNOWN_AFTER = 0.1
local registry, wait = ARGV[1], tonumber(ARGV[2])
local pause, window = P .. 'pause:' .. registry, P .. 'window:' .. registry
if redis.call('PTTL', pause) < wait * 1000 then
  redis.call('SET', pause, '1', 'PX', math.max(1, math.ceil(wait * 1000)))
end
if now - tonumber(ARGV[3]) <= number(window, 'cut_at') + KNOWN_AFTER then
  return 0
end
redis.call('HSET', window, 'size', ARGV[4], 'since', stamp(now + wait), 'cut_at', stamp(now))
redis.call('EXPIRE', window, math.ceil(wait + tonumber(ARGV[5])) + 1)
return 1
