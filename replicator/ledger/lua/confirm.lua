-- CONFIRM hash, repository, ttl_s, number, [reference, digest]..., [key of a blob]... -> 1
-- The records of these references say that they hold what was intended; where there is no record none is made. The
-- repository holds the blobs. A manifest that was verified under one of the references before, and is not any more, has
-- lost its tag.

local copies, repository, ttl, number = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local place = string.match(copies, '^replicator:copied:(.*)$')
local first_blob = 5 + 2 * number
for at = 5, first_blob - 1, 2 do
  local old = redis.call('HGET', copies, ARGV[at])
  if old then
    local record = cjson.decode(old)
    local before, by = record.digest, record.by or record.rule
    record.digest, record.intent, record.at = ARGV[at + 1], ARGV[at + 1], stamp(now)
    record.platforms = record.intended_platforms
    if before ~= record.digest then
      record.by = record.rule
      if before and before ~= '' then
        lost_its_tag(place, before, by)
      end
    end
    redis.call('HSET', copies, ARGV[at], cjson.encode(record))
    redis.call('ZREM', P .. 'untagged:' .. place, record.digest)
    redis.call('HDEL', P .. 'authors:' .. place, record.digest)
  end
end
for at = first_blob, #ARGV do
  sighted(ARGV[at], repository, ttl)
end
return 1
