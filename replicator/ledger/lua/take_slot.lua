-- TAKE_SLOT registry, slot, ticket, most, lease -> how many are before us in the line, or -1 with the slot; the ticket.
-- No more than `most` slots of the registry are leased then, first come, first served. Who waits shows its ticket again
-- within WAITS seconds, or has left the line. Leases are short and not worth a write to the disk: after a restart
-- those who live renew theirs.

local WAITS = 2
redis.set_repl(redis.REPL_NONE)
local registry, slot, most = ARGV[1], ARGV[2], tonumber(ARGV[4])
local slots, waiting = P .. 'slots:' .. registry, P .. 'waiting:' .. registry
redis.call('ZREMRANGEBYSCORE', slots, '-inf', stamp(now))
redis.call('ZREMRANGEBYSCORE', waiting, '-inf', stamp(now))

-- Tickets sort by the time that they begin with.
local ticket = ARGV[3] ~= '' and ARGV[3] or string.format('%017.6f %s', now, slot)
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
  return {-1, ticket}
end
redis.call('ZADD', waiting, stamp(now + WAITS), ticket)
redis.call('EXPIRE', waiting, 60)
return {before, ticket}
