-- NOTE_COPY hash, reference, fields (JSON), ["existing"] -> 1, or 0 if there was no record and one is asked for.
-- The record of that reference has these fields; its others are as they were. A manifest that was verified under the
-- reference before, and is not any more, is noted as one without a tag, and by which rule it came, which is not always
-- the one that comes now; the latest 1000 of a repository are.

local UNTAGGED = 1000

local old = redis.call('HGET', ARGV[1], ARGV[2])
if not old and ARGV[4] == 'existing' then
  return 0
end
local record = old and cjson.decode(old) or {}
local before, by = record.digest, record.by or record.rule
record.by = by
for name, value in pairs(cjson.decode(ARGV[3])) do
  record[name] = value
end
record.at = stamp(now)
if record.digest ~= before then
  record.by = record.rule
end
if before and before ~= record.digest then
  local place = string.match(ARGV[1], '^replicator:copied:(.*)$')
  local untagged, authors = P .. 'untagged:' .. place, P .. 'authors:' .. place
  redis.call('ZADD', untagged, stamp(now), before)
  redis.call('HSET', authors, before, by)
  local gone = redis.call('ZRANGE', untagged, 0, -UNTAGGED - 1)
  gone[#gone + 1] = record.digest
  redis.call('ZREM', untagged, unpack(gone))
  redis.call('HDEL', authors, unpack(gone))
end
redis.call('HSET', ARGV[1], ARGV[2], cjson.encode(record))
return 1
