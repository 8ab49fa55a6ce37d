-- LEAVE_GATE key, token -> 1, or 0 if somebody else may have passed since, because it took too long.

if redis.call('GET', ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('DEL', ARGV[1])
return 1
