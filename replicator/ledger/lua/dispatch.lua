-- DISPATCH destination, cap, redispatch_s, most jobs of a doorbell -> the doorbells to ring now, each a list of job
-- ids. A doorbell is for jobs of one repository. Each of its jobs is in flight, and due again `redispatch_s` from now,
-- should the doorbell get lost. No more than `cap` doorbells are out then, however many dispatchers there are.
--
-- Urgent jobs come first. Low ones leave one place free for the next urgent one, unless there is only one place. Those
-- that have been due for OLD seconds need not, and where urgent ones are due as well these and those take turns: so
-- neither a flood of events nor a long resync can starve the other.
--
-- Among urgent jobs, and among low ones, rules take turns, a doorbell each; next is the one of which fewest jobs were
-- rung for while it took part. A rule with more than LONG due jobs leaves one place free for another. Of one rule the
-- longest due goes first, or the oldest, where it was tried in vain while a registry was away. Jobs of paused rules are
-- held, a portion in each call, and stand in nobody's way. A job whose worker died over it is rung for alone: it may
-- kill the next one, too.
--
-- What came due is put into its rule's line here, and nowhere else but by who makes it urgent, by going on in the queue
-- where the last call stopped ("seen"). A job may have come due before that all the same (a person resumed it, an
-- earlier release changed it), and none may be missed: the first of the queue is looked up in its line, and if it is
-- not there all that follow are lined up again. As every job becomes the first of its queue in time, each is found. A
-- line may name what was rung for or dropped meanwhile; who takes from it asks the queue.

local OLD, PORTION, LONG, SETBACK = 600, 2000, 1000, 15
local destination, cap, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
if is_paused('destination', destination) then
  return {}
end
local inflight, turn = P .. 'inflight:' .. destination, P .. 'turn:' .. destination
redis.call('ZREMRANGEBYSCORE', inflight, '-inf', stamp(now))
local again = stamp(now + tonumber(ARGV[3]))

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

local resting = {}
local function rests(rule)
  if resting[rule] == nil then
    resting[rule] = is_paused('rule', rule)
  end
  return resting[rule]
end

-- From when on the queue is to be looked through, so that nothing is missed.
local function unseen_since(class, queue, round)
  local seen = tonumber(redis.call('HGET', round, 'seen') or '')
  if not seen or seen > now then
    return '-inf'
  end
  local id, at = unpack(redis.call('ZRANGEBYSCORE', queue, '-inf', '(' .. stamp(seen), 'WITHSCORES', 'LIMIT', 0, 1))
  if id then
    local rule = redis.call('HGET', job_key(id), 'rule')
    if not (rule and redis.call('ZSCORE', line_of(class, rule, destination), id) and
        redis.call('ZSCORE', P .. 'turns:' .. class .. ':' .. destination, rule)) then
      return at
    end
  end
  return stamp(seen)
end

-- Where a job stands in its line. One that came back only because a registry was away or busy keeps its age, but less
-- of it each time, lest one that always fails so be the only one that is ever tried.
local function place_in_line(at, since, away)
  if not away then
    return at
  end
  return stamp(math.min(tonumber(at), tonumber(since) + SETBACK * 2 ^ math.min(tonumber(away), 30)))
end

-- These jobs of a queue, which are due, by rule: places in line and ids.
local function sorted(queue, found)
  local lines = {}
  for at = 1, #found, 2 do
    local id = found[at]
    local rule, since, away = unpack(redis.call('HMGET', job_key(id), 'rule', 'since', 'away'))
    if not rule then
      redis.call('ZREM', queue, id)
    elseif rests(rule) then
      redis.call('ZADD', queue, stamp(HELD), id)
    else
      local line = lines[rule] or {}
      lines[rule] = line
      line[#line + 1], line[#line + 2] = place_in_line(found[at + 1], since, away), id
    end
  end
  return lines
end

-- A portion of what came due since the last call stands in line.
local function line_up(class)
  local queue, round = P .. class .. ':' .. destination, P .. 'round:' .. class .. ':' .. destination
  local since = unseen_since(class, queue, round)
  local found = redis.call('ZRANGEBYSCORE', queue, since, stamp(now), 'WITHSCORES', 'LIMIT', 0, PORTION)
  if #found == 0 then
    return
  end
  local last, is_whole = found[#found], #found < 2 * PORTION
  for rule, line in pairs(sorted(queue, found)) do
    redis.call('ZADD', line_of(class, rule, destination), unpack(line))
    take_part(class, rule, destination)
    if not is_whole and found[2] == last then
      -- More came due in this moment than a portion: these step aside for the next.
      for at = 1, #line, 2 do
        redis.call('ZADD', queue, stamp(tonumber(last) - 2e-6), line[at + 1])
      end
    end
  end
  redis.call('HSET', round, 'seen', is_whole and stamp(now) or stamp(last))
  if not is_whole then
    wake()
  end
end

-- The first job of a rule's line that may be rung for, what it shares a doorbell by, and since when it is due.
local passed = 0
local function first(class, rule)
  local queue, line = P .. class .. ':' .. destination, line_of(class, rule, destination)
  while passed < PORTION do
    local id = redis.call('ZRANGE', line, 0, 0)[1]
    if not id then
      return nil
    end
    local at = tonumber(redis.call('ZSCORE', queue, id) or '')
    if at and at <= now then
      local key, token = unpack(redis.call('HMGET', job_key(id), 'key', 'token'))
      if not key then
        redis.call('ZREM', queue, id)
      elseif rests(rule) then
        redis.call('ZADD', queue, stamp(HELD), id)
      else
        return id, token and id or class .. string.match(key, '|([^|]*)|[^|]*$'), at
      end
    end
    redis.call('ZREM', line, id)
    passed = passed + 1
  end
  wake()
end

-- Whether a job that has been due since then may have a place, of which so many are left.
local function may_have(class, rule, at, left)
  if left > 1 or cap == 1 then
    return true
  end
  local is_patient = class == 'due' or at <= now - OLD
  return is_patient and redis.call('ZCARD', line_of(class, rule, destination)) <= LONG
end

-- The rule whose turn it is, its share so far, and its first job.
local function next_of(class, left)
  local turns, rank = P .. 'turns:' .. class .. ':' .. destination, 0
  while true do
    local rule, share = unpack(redis.call('ZRANGE', turns, rank, rank, 'WITHSCORES'))
    if not rule then
      return nil
    end
    local id, place, at = first(class, rule)
    if id and may_have(class, rule, at, left) then
      return {class = class, rule = rule, share = tonumber(share), id = id, place = place}
    elseif id or redis.call('EXISTS', line_of(class, rule, destination)) == 1 then
      rank = rank + 1
    else
      redis.call('ZREM', turns, rule)
    end
  end
end

-- Whose turn it is: an urgent job's or a low one's.
local function chosen(left)
  local urgent, low = next_of('due', left), next_of('low', left)
  if not (urgent and low) then
    return urgent or low
  end
  if redis.call('ZCOUNT', P .. 'low:' .. destination, '-inf', stamp(now - OLD)) == 0 then
    return urgent
  end
  if redis.call('EXISTS', turn) == 1 then
    redis.call('DEL', turn)
    return low
  end
  redis.call('SET', turn, 'low', 'EX', OLD)
  return urgent
end

local rung, open = {}, {}
local function ring(queue, line, id, bell)
  bell[#bell + 1] = id
  redis.call('ZADD', queue, again, id)
  redis.call('ZADD', inflight, again, id)
  redis.call('HSET', job_key(id), 'bell', bell[1])
  redis.call('ZREM', line, id)
end

-- A doorbell for the job, and for those behind it in line that share one with it or with what was rung for before.
local function serve(one)
  local class, rule, id, place = one.class, one.rule, one.id, one.place
  local queue, line = P .. class .. ':' .. destination, line_of(class, rule, destination)
  local turns, bell, count = P .. 'turns:' .. class .. ':' .. destination, open[place], 0
  if not bell or #bell >= most then
    bell = {}
    rung[#rung + 1], open[place] = bell, bell
  end
  repeat
    ring(queue, line, id, bell)
    count = count + 1
    if #bell < most then
      id, place = first(class, rule)
      bell = id and open[place]
    end
  until not bell or #bell >= most
  if redis.call('EXISTS', line) == 1 then
    redis.call('ZINCRBY', turns, count, rule)
  else
    redis.call('ZREM', turns, rule)
  end
  -- Who comes anew goes before who was just served, but not for ever.
  redis.call('HSET', P .. 'round:' .. class .. ':' .. destination, 'start', one.share + count / 4)
end

line_up('due')
line_up('low')
local room = cap - out()
while #rung < room do
  local one = chosen(room - #rung)
  if not one then
    break
  end
  serve(one)
end
return rung
