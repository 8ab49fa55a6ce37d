-- REVIVE letter id -> 1, or 0 if there is no such letter or its body was cut.
-- The dead letter is a new notification in the inbox.

local found = redis.call('XRANGE', P .. 'dead', ARGV[1], ARGV[1])[1]
if not found then
  return 0
end
local letter = {}
for at = 1, #found[2], 2 do
  letter[found[2][at]] = found[2][at + 1]
end
if #letter.body < tonumber(letter.size_bytes) then
  return 0
end
redis.call('XADD', P .. 'inbox', '*', 'registry', letter.registry, 'content_type', letter.content_type,
  'body', letter.body, 'trace', letter.trace)
redis.call('XDEL', P .. 'dead', ARGV[1])
return 1
