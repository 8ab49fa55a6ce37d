-- CLAIM lease_s, {id, number of locks, lock...}... -> for each: key, token, generation, attempts, taken over, since,
-- now, action, digest, hinted at, trace, approved reasons by line, 1 for a repair, 1 if it is low, absent since, born,
-- 1 if it was lost; or the one word why not.
-- A job and all its locks are leased for `lease_s`, and the attempt is counted: one that kills its worker counts too.
-- Whoever held it before and never finished may only be frozen, and write when it wakes: see `put_down`.

local LEFT_FOR = 5 -- seconds until the next worker may try, which may be of a later release
local lease = tonumber(ARGV[1])

local function claim(id, locks)
  local job = job_key(id)
  local field = redis.call('HMGET', job, 'key', 'destination', 'state', 'lease_until', 'not_before', 'token', 'gen',
    'since', 'action', 'digest', 'hinted_at', 'trace', 'approved', 'repair', 'low', 'rule', 'absent_at', 'format',
    'born', 'lost')
  local destination, holder = field[2], field[6]

  local function refuse(why, at)
    redis.call('ZREM', P .. 'inflight:' .. destination, id)
    redis.call('HDEL', job, 'bell')
    make_due(id, destination, at)
    return {why}
  end

  if not field[1] then
    return {'gone'}
  end
  if field[3] then
    return {'parked'}
  end
  if (tonumber(field[4] or '') or 0) > now then
    return {'leased'}
  end
  if (tonumber(field[18] or '') or 0) > FORMAT then
    return refuse('newer', now + LEFT_FOR)
  end
  local not_before = tonumber(field[5] or '') or 0
  if is_paused('destination', destination) or is_paused('rule', field[16]) then
    return refuse('paused', math.max(now, not_before))
  end
  if not_before > now then
    return refuse('early', not_before)
  end
  for _, name in ipairs(locks) do
    local lock = P .. 'lock:' .. name
    local other = redis.call('GET', lock)
    if other and other ~= holder then
      -- Ask again soon, then less often, and in any case when the other's lease ends.
      local times = redis.call('HINCRBY', job, 'busy', 1)
      local delay = math.min(0.2 * 2 ^ math.min(times - 1, 4), redis.call('PTTL', lock) / 1000)
      return refuse('busy', now + math.max(0.01, delay))
    end
  end

  local token = redis.call('INCR', P .. 'fence')
  local attempts = redis.call('HINCRBY', job, 'attempts', 1)
  redis.call('HDEL', job, 'not_before', 'busy', 'later_since')
  redis.call('HSET', job, 'locks', table.concat(locks, '\n'))
  if holder then
    redis.call('HSET', job, 'unsure', DOUBT)
  end
  lend(id, token, lease)
  return {field[1], token, field[7], attempts, holder and '1' or '0', field[8], stamp(now), field[9] or '',
    field[10] or '', field[11] or '', field[12] or '', field[13] or '', field[14] and '1' or '0', field[15] or '',
    field[17] or '', field[19] or '', field[20] or ''}
end

local answers, at = {}, 2
while at <= #ARGV do
  local last = at + 1 + tonumber(ARGV[at + 1])
  answers[#answers + 1] = claim(ARGV[at], {unpack(ARGV, at + 2, last)})
  at = last + 1
end
return answers
