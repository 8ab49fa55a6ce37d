-- CONFIRM hash, repository, ttl_s, number, [reference, digest]..., [key of a blob]... -> 1
-- The records of these references say that they hold what was intended; where there is no record none is made. The
-- repository holds the blobs. A manifest that was verified under one of the references before, and is not any more, is
-- noted as one without a tag; the latest 1000 of a repository are.

local UNTAGGED = 1000

local copies, repository, ttl, number = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local untagged = P .. 'untagged:' .. string.match(copies, '^replicator:copied:(.*)$')
local first_blob = 5 + 2 * number
for at = 5, first_blob - 1, 2 do
  local old = redis.call('HGET', copies, ARGV[at])
  if old then
    local record = cjson.decode(old)
    local before = record.digest
    record.digest, record.intent, record.at = ARGV[at + 1], ARGV[at + 1], stamp(now)
    redis.call('HSET', copies, ARGV[at], cjson.encode(record))
    if before and before ~= '' and before ~= record.digest then
      redis.call('ZADD', untagged, stamp(now), before)
      redis.call('ZREMRANGEBYRANK', untagged, 0, -UNTAGGED - 1)
    end
    redis.call('ZREM', untagged, record.digest)
  end
end
for at = first_blob, #ARGV do
  redis.call('SET', ARGV[at], repository, 'EX', ttl)
end
return 1
