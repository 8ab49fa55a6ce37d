-- FINISH id, token, generation, outcome, digest, detail, bytes moved -> done, again or lost.
-- done: the job is in the history and no longer in the ledger. again: something was submitted since the claim; the job
-- is due now, with all its attempts before it, and wanted since then, as a repair only if that was asked for since
-- then. lost: nothing is done.

local id, token, generation = ARGV[1], ARGV[2], ARGV[3]
if not holds(id, token) then
  return 'lost'
end
local job = job_key(id)
local field = redis.call('HMGET', job, 'key', 'rule', 'destination', 'since', 'attempts', 'trace', 'gen', 'later_since')
local destination = field[3]
put_down(id)
if field[7] ~= generation then
  local since = field[8] or stamp(now)
  redis.call('HDEL', job, 'attempts', 'reason')
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
  'trace', field[6] or '', 'size_bytes', ARGV[7])
remove(id)
wake_if_due(destination)
return 'done'
