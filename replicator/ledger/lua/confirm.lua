-- CONFIRM hash, repository, ttl_s, number, [reference, digest]..., [key of a blob]... -> 1
-- The records of these references say that they hold what was intended; where there is no record none is made. The
-- repository holds the blobs.

local copies, repository, ttl, number = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local first_blob = 5 + 2 * number
for at = 5, first_blob - 1, 2 do
  local old = redis.call('HGET', copies, ARGV[at])
  if old then
    local record = cjson.decode(old)
    record.digest, record.intent, record.at = ARGV[at + 1], ARGV[at + 1], stamp(now)
    redis.call('HSET', copies, ARGV[at], cjson.encode(record))
  end
end
for at = first_blob, #ARGV do
  redis.call('SET', ARGV[at], repository, 'EX', ttl)
end
return 1
