-- NOTE_COPY hash, reference, fields (JSON) -> 1
-- The record of that reference has these fields; its others are as they were. `by` is the rule that brought what was
-- verified there: these fields may be of another one.

local old = redis.call('HGET', ARGV[1], ARGV[2])
local record = old and cjson.decode(old) or {}
record.by = record.by or record.rule
for name, value in pairs(cjson.decode(ARGV[3])) do
  record[name] = value
end
record.at = stamp(now)
redis.call('HSET', ARGV[1], ARGV[2], cjson.encode(record))
return 1
