-- DISPATCH destination, cap, redispatch_s, most jobs of a doorbell -> the doorbells to ring now, each a list of job ids.
-- A doorbell is for jobs of one repository. Each of its jobs is in flight, and due again `redispatch_s` from now, should
-- the doorbell get lost. No more than `cap` doorbells are out then, however many dispatchers there are.
--
-- Urgent jobs come first. Low ones leave one place free for the next urgent one, unless there is only one place. Those
-- that have been due for OLD seconds need not, and where urgent ones are due as well these and those take turns: so
-- neither a flood of events nor a long resync can starve the other. Jobs of paused rules are held, a portion in each
-- call, and stand in nobody's way. A job whose worker died over it is rung for alone: it may kill the next one, too.

local OLD, PORTION = 600, 1000
local destination, cap, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
if is_paused('destination', destination) then
  return {}
end
local due, low, inflight = P .. 'due:' .. destination, P .. 'low:' .. destination, P .. 'inflight:' .. destination
local turn = P .. 'turn:' .. destination
redis.call('ZREMRANGEBYSCORE', inflight, '-inf', stamp(now))
local again = stamp(now + tonumber(ARGV[3]))
local passed = 0

-- How many doorbells are out.
local function out()
  local bells, count = {}, 0
  for _, id in ipairs(redis.call('ZRANGE', inflight, 0, -1)) do
    local bell = redis.call('HGET', job_key(id), 'bell') or id
    count = count + (bells[bell] and 0 or 1)
    bells[bell] = true
  end
  return count
end

-- The longest due job of a queue that may be rung for, since when it is due, and what it shares a doorbell by.
local function first(queue)
  while passed < PORTION do
    local id, at = unpack(redis.call('ZRANGEBYSCORE', queue, '-inf', stamp(now), 'WITHSCORES', 'LIMIT', 0, 1))
    if not id then
      return nil
    end
    local rule, key, token = unpack(redis.call('HMGET', job_key(id), 'rule', 'key', 'token'))
    if not rule then
      redis.call('ZREM', queue, id)
    elseif is_paused('rule', rule) then
      redis.call('ZADD', queue, stamp(HELD), id)
    else
      return id, tonumber(at), token and id or queue .. string.match(key, '|([^|]*)|[^|]*$')
    end
    passed = passed + 1
  end
  wake()
end

local rung, open = {}, {}
local room = cap - out()
while room > 0 do
  local urgent, _, place = first(due)
  local patient, at, place_of_patient = first(low)
  local is_old = patient and at <= now - OLD
  local id, queue = urgent, due
  if patient and (not urgent or (is_old and redis.call('EXISTS', turn) == 1)) then
    id, queue, place = patient, low, place_of_patient
  end
  if not id then
    break
  end
  local bell = open[place]
  if not bell or #bell >= most then
    local left = room - #rung
    if left < 1 or (queue == low and not (is_old or cap == 1 or left > 1)) then
      break
    end
    bell = {}
    rung[#rung + 1], open[place] = bell, bell
  end
  if urgent and queue == low then
    redis.call('DEL', turn)
  elseif is_old and queue == due then
    redis.call('SET', turn, 'low', 'EX', OLD)
  end
  bell[#bell + 1] = id
  redis.call('ZADD', queue, again, id)
  redis.call('ZADD', inflight, again, id)
  redis.call('HSET', job_key(id), 'bell', bell[1])
end
return rung
