-- LISTEN outage_s, registry... -> 1 if nobody listened for longer than `outage_s` before, else 0.
-- Somebody listens now. Of what these registries sent while nobody did, some may not be sent again.

local listening = P .. 'listening'
local last = tonumber(redis.call('GET', listening) or '')
redis.call('SET', listening, stamp(now))
if not last or now - last <= tonumber(ARGV[1]) then
  return 0
end
for place = 2, #ARGV do
  suspect(ARGV[place], 'receiver')
end
return 1
