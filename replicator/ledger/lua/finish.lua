-- FINISH id, token, generation, outcome, digest, detail, source, bytes, seconds, look again after s, promotion (JSON)
-- or nothing, previous digest, doubt -> done, again or lost.
-- done: the job is in the history and no longer in the ledger, unless something that was sent for it may yet take
-- effect: then it comes due once more, that much later. again: something was submitted since the claim; the job
-- is due now, with all its attempts before it, and wanted since then, as a repair only if that was asked for since
-- then. lost: nothing is done. A promotion that is given was carried out, and is kept.

-- One more copy from that source is in the sums of its pace. They are halved at every thousandth, so that they follow a
-- line that changes.
local function note_pace(source, destination, size, seconds)
  local KEPT = 1000
  local pace = P .. 'pace:' .. source .. '|' .. destination
  local sums = {copies = 1, size_bytes = size, seconds = seconds, square_bytes = size * size,
    byte_seconds = size * seconds}
  local full = (tonumber(redis.call('HGET', pace, 'copies') or '') or 0) >= KEPT
  for name, value in pairs(sums) do
    local sum = redis.call('HINCRBYFLOAT', pace, name, string.format('%.17g', value))
    if full then
      redis.call('HSET', pace, name, string.format('%.17g', tonumber(sum) / 2))
    end
  end
end

local id, token, generation = ARGV[1], ARGV[2], ARGV[3]

-- Whether the job, which is done and in doubt, stays for a last look: `delay` seconds after it was done first, however
-- many events come before that. Its event is no news then, and nothing that was seen or approved holds any more.
local function is_looked_at_again(delay)
  local job = job_key(id)
  local last = tonumber(redis.call('HGET', job, 'unsure') or '')
  if last == DOUBT then
    last = now + delay
  end
  if not last or last <= now then
    return false
  end
  local field = redis.call('HMGET', job, 'rule', 'destination')
  redis.call('HDEL', job, 'attempts', 'away', 'reason', 'hinted_at', 'absent_at', 'absences', 'approved', 'lost')
  redis.call('HSET', job, 'unsure', stamp(last), 'since', stamp(now), 'born', stamp(now))
  redis.call('ZADD', P .. 'since:' .. field[1] .. '|' .. field[2], stamp(now), id)
  make_due(id, field[2], last)
  return true
end

if not holds(id, token) then
  return 'lost'
end
local job = job_key(id)
local field = redis.call('HMGET', job, 'key', 'rule', 'destination', 'since', 'attempts', 'trace', 'gen', 'later_since')
local destination = field[3]
put_down(id, ARGV[13])
if ARGV[11] ~= '' then
  redis.call('XADD', P .. 'promotions', 'MAXLEN', '~', 10000, '*', 'promotion', ARGV[11], 'previous', ARGV[12],
    'outcome', ARGV[4], 'finished_at', stamp(now))
end
if field[7] ~= generation then
  local since = field[8] or stamp(now)
  redis.call('HDEL', job, 'attempts', 'away', 'reason')
  if number(job, 'repair') <= tonumber(generation) then
    redis.call('HDEL', job, 'repair')
  end
  redis.call('HSET', job, 'since', since)
  redis.call('ZADD', P .. 'since:' .. field[2] .. '|' .. destination, since, id)
  make_due(id, destination, now)
  return 'again'
end
redis.call('XADD', P .. 'history', 'MAXLEN', '~', 2000, '*', 'id', id, 'key', field[1], 'outcome', ARGV[4],
  'digest', ARGV[5], 'detail', ARGV[6], 'since', field[4], 'finished_at', stamp(now), 'attempts', field[5],
  'trace', field[6] or '', 'size_bytes', ARGV[8])
if ARGV[4] == 'copied' then
  note_pace(ARGV[7], destination, tonumber(ARGV[8]), tonumber(ARGV[9]))
end
if not is_looked_at_again(tonumber(ARGV[10])) then
  remove(id)
end
wake_if_due(destination)
return 'done'
