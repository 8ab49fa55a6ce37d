-- TAKE_SLOT registry, slot, ticket, most, lease, held... -> how many are before us in the line, or -1 with the slot; the
-- ticket; 1 if somebody who came earlier holds a slot here and waits for one of the `held` registries, where we hold one.
-- No more than `most` slots of the registry are leased then, first come, first served. Who waits shows its ticket again
-- within WAITS seconds, or has left the line. Leases are short and not worth a write to the disk: after a restart
-- those who live renew theirs.

local WAITS = 2
redis.set_repl(redis.REPL_NONE)
local registry, slot, most = ARGV[1], ARGV[2], tonumber(ARGV[4])
local slots, waiting = P .. 'slots:' .. registry, P .. 'waiting:' .. registry
redis.call('ZREMRANGEBYSCORE', slots, '-inf', stamp(now))
redis.call('ZREMRANGEBYSCORE', waiting, '-inf', stamp(now))

-- Tickets sort by the time that they begin with; they end with what their owners hold.
local ticket = ARGV[3]
if ticket == '' then
  ticket = table.concat({string.format('%017.6f', now), slot, unpack(ARGV, 6)}, ' ')
end
local before = 0
for _, other in ipairs(redis.call('ZRANGE', waiting, 0, -1)) do
  if other < ticket then
    before = before + 1
  end
end
-- Whose answer got lost asks again, and has its slot already.
if redis.call('ZSCORE', slots, slot) or redis.call('ZCARD', slots) + before < most then
  redis.call('ZREM', waiting, ticket)
  redis.call('ZADD', slots, stamp(now + tonumber(ARGV[5])), slot)
  redis.call('EXPIRE', slots, 60)
  return {-1, ticket, 0}
end
redis.call('ZADD', waiting, stamp(now + WAITS), ticket)
redis.call('EXPIRE', waiting, 60)

for at = 6, #ARGV do
  for _, other in ipairs(redis.call('ZRANGE', P .. 'waiting:' .. ARGV[at], 0, -1)) do
    if other < ticket and string.find(other .. ' ', ' ' .. registry .. ' ', 1, true) then
      return {before, ticket, 1}
    end
  end
end
return {before, ticket, 0}
