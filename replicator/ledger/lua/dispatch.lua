-- DISPATCH destination, cap, redispatch_s -> ids to ring for.
-- Each of them is in flight, and due again `redispatch_s` from now, should its doorbell get lost. No more than `cap`
-- are in flight then, however many dispatchers there are.
--
-- Urgent jobs come first. Low ones leave one place free for the next urgent one, unless there is only one place. Those
-- that have been due for OLD seconds need not, and where urgent ones are due as well these and those take turns: so
-- neither a flood of events nor a long resync can starve the other. Jobs of paused rules are held, a portion in each
-- call, and stand in nobody's way.

local OLD, PORTION = 600, 1000
local destination, cap = ARGV[1], tonumber(ARGV[2])
if is_paused('destination', destination) then
  return {}
end
local due, low, inflight = P .. 'due:' .. destination, P .. 'low:' .. destination, P .. 'inflight:' .. destination
local turn = P .. 'turn:' .. destination
redis.call('ZREMRANGEBYSCORE', inflight, '-inf', stamp(now))
local room = cap - redis.call('ZCARD', inflight)
local again = stamp(now + tonumber(ARGV[3]))
local passed = 0

-- The longest due job of a queue that may be rung for, and since when it is due.
local function first(queue)
  while passed < PORTION do
    local id, at = unpack(redis.call('ZRANGEBYSCORE', queue, '-inf', stamp(now), 'WITHSCORES', 'LIMIT', 0, 1))
    local rule = id and redis.call('HGET', job_key(id), 'rule')
    if not id then
      return nil
    elseif not rule then
      redis.call('ZREM', queue, id)
    elseif is_paused('rule', rule) then
      redis.call('ZADD', queue, stamp(HELD), id)
    else
      return id, tonumber(at)
    end
    passed = passed + 1
  end
  wake()
end

local ids = {}
while #ids < room do
  local urgent = first(due)
  local patient, at = first(low)
  local is_old = patient and at <= now - OLD
  local id, queue
  if urgent and not (is_old and redis.call('DEL', turn) == 1) then
    id, queue = urgent, due
    if is_old then
      redis.call('SET', turn, 'low', 'EX', OLD)
    end
  elseif patient and (is_old or cap == 1 or room - #ids > 1) then
    id, queue = patient, low
  else
    break
  end
  redis.call('ZADD', queue, again, id)
  redis.call('ZADD', inflight, again, id)
  ids[#ids + 1] = id
end
return ids
