-- KEEP_FLIGHTS token, ttl_ms, [destination|digest]... -> 1
-- Those flights that `token` still holds last for another ttl_ms. One that ran out is not taken back: by now another
-- may be at it.

for at = 3, #ARGV do
  local key = P .. 'flight:' .. ARGV[at]
  if redis.call('GET', key) == ARGV[1] then
    redis.call('PEXPIRE', key, ARGV[2])
  end
end
return 1
