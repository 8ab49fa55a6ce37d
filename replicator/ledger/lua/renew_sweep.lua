-- RENEW_SWEEP id, lease_s -> 1, or 0 if the sweep is not ours any more.
-- It is ours for `lease_s` from now. With 0 it is given back, as if it had not been taken.

local lock = P .. 'sweeping:' .. (redis.call('HGET', P .. 'sweep:' .. ARGV[1], 'subject') or '')
if redis.call('GET', lock) ~= ARGV[1] then
  return 0
end
if ARGV[2] == '0' then
  redis.call('HINCRBY', P .. 'sweep:' .. ARGV[1], 'tries', -1)
  redis.call('HSET', P .. 'sweep:' .. ARGV[1], 'state', 'waiting')
end
redis.call('PEXPIRE', lock, math.ceil(tonumber(ARGV[2]) * 1000))
return 1
