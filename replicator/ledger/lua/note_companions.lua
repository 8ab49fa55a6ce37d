-- NOTE_COMPANIONS key, token, ttl_s, [tag]... -> 1, or 0 if a companion came since the token was set, and nothing is done.
-- The set holds these tags, and the empty text, without which a set of none would be no set.

if redis.call('SISMEMBER', ARGV[1], ARGV[2]) == 0 then
  return 0
end
redis.call('DEL', ARGV[1])
redis.call('SADD', ARGV[1], '')
for at = 4, #ARGV do
  redis.call('SADD', ARGV[1], ARGV[at])
end
redis.call('EXPIRE', ARGV[1], ARGV[3])
return 1
