-- BURY group, entry id, reason, registry, content type, body, size, trace -> 1, or 0 if the entry was settled before.
-- The notification leaves the inbox and is among the dead letters.

if redis.call('XACK', P .. 'inbox', ARGV[1], ARGV[2]) == 0 then
  return 0
end
local received_at = tonumber(string.match(ARGV[2], '^%d+')) / 1000
redis.call('XADD', P .. 'dead', 'MAXLEN', '~', 10000, '*',
  'reason', ARGV[3], 'registry', ARGV[4], 'content_type', ARGV[5], 'body', ARGV[6], 'size_bytes', ARGV[7],
  'trace', ARGV[8], 'received_at', stamp(received_at))
redis.call('XDEL', P .. 'inbox', ARGV[2])
return 1
