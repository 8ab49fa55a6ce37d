-- CLEAR_SUSPECT registry|reason, how often -> 1, or 0 if it was suspected once more since.

local suspects = P .. 'suspects'
if redis.call('HGET', suspects, ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('HDEL', suspects, ARGV[1])
return 1
