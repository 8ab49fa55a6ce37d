-- NOTE_COPY hash, reference, fields (JSON), ["existing"] -> 1, or 0 if there was no record and one is asked for.
-- The record of that reference has these fields; its others are as they were. A manifest that was verified under the
-- reference before, and is not any more, is noted as one without a tag; the latest 1000 of a repository are.

local UNTAGGED = 1000

local old = redis.call('HGET', ARGV[1], ARGV[2])
if not old and ARGV[4] == 'existing' then
  return 0
end
local record = old and cjson.decode(old) or {}
local before = record.digest
for name, value in pairs(cjson.decode(ARGV[3])) do
  record[name] = value
end
record.at = stamp(now)
if before and before ~= record.digest then
  local untagged = P .. 'untagged:' .. string.match(ARGV[1], '^replicator:copied:(.*)$')
  redis.call('ZADD', untagged, stamp(now), before)
  redis.call('ZREM', untagged, record.digest)
  redis.call('ZREMRANGEBYRANK', untagged, 0, -UNTAGGED - 1)
end
redis.call('HSET', ARGV[1], ARGV[2], cjson.encode(record))
return 1
