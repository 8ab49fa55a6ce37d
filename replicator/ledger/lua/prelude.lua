-- What all scripts share: the time, the names of keys, and moves of a job that several of them make.
--
-- Keys of jobs: job:<id> (hash), due:, low: and inflight:<destination> (id -> time), and by lane, which is
-- <rule>|<destination>: since: of all open jobs, parked: and blocked: of those. In every script's end
--   * a pending job is in one of two queues: in low: if its field `low` is there, which gives way to urgent ones, else
--     in due:; a parked or blocked one is in neither;
--   * inflight: holds who is rung for or leased, until when; no queue ever says an earlier time than inflight:; the
--     field `bell` names the first job of the doorbell, if it was rung for with others;
--   * a job that a dispatcher found due while its rule was paused has the time HELD, until it is resumed;
--   * the field `unsure` is there if something that was sent for the job may yet take effect: DOUBT, or, once it was
--     done in spite of that, when it is looked at for the last time.
--
-- Beside each queue, and only ever advice: line:<queue>:<lane> holds those of its jobs that came due, as far as a
-- dispatcher saw them, and turns:<queue>:<destination> the rules that have any, by how many were rung for. The queue
-- alone says whether a job waits, and since when.

local P = 'replicator:'
local BACKOFF_AFTER_SUBMISSION = 2
local HELD = 1e11 -- the year 5138
-- How a job is written down. Who meets a higher number leaves the job to a later release, which shares this Redis;
-- fields that it does not know it leaves as they are. What is only added is no new format.
local FORMAT = 1
local DOUBT = 1

local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6

local function stamp(seconds)
  return string.format('%.6f', seconds)
end

-- The blob or manifest behind `key` was seen in `repository`: the latest 16 repositories are kept, the latest first.
local SIGHTINGS = 16
local function sighted(key, repository, ttl)
  local lines = {repository .. ' ' .. stamp(now)}
  for line, name in string.gmatch(redis.call('GET', key) or '', '(([^ \n]+)[^\n]*)') do
    if name ~= repository and #lines < SIGHTINGS then
      lines[#lines + 1] = line
    end
  end
  redis.call('SET', key, table.concat(lines, '\n'), 'EX', ttl)
end

-- A manifest of ours at `place`, which is <destination>|<repository>, has no tag any more, and came by that rule: the
-- latest 1000 of a place are kept. There may be far more of them, from an earlier release.
local UNTAGGED = 1000
local function lost_its_tag(place, digest, rule)
  local untagged, authors = P .. 'untagged:' .. place, P .. 'authors:' .. place
  redis.call('ZADD', untagged, stamp(now), digest)
  redis.call('HSET', authors, digest, rule)
  for _, oldest in ipairs(redis.call('ZRANGE', untagged, 0, -UNTAGGED - 1)) do
    redis.call('HDEL', authors, oldest)
  end
  redis.call('ZREMRANGEBYRANK', untagged, 0, -UNTAGGED - 1)
end

local function job_key(id)
  return P .. 'job:' .. id
end

local function number(key, field)
  return tonumber(redis.call('HGET', key, field) or '') or 0
end

-- A dispatcher that waits looks again. One element is enough, so a crowd of events makes no crowd of wake-ups.
local function wake()
  if redis.call('LLEN', P .. 'wake') == 0 then
    redis.call('RPUSH', P .. 'wake', '1')
  end
end

local function wake_if_due(destination)
  for _, queue in ipairs({P .. 'due:', P .. 'low:'}) do
    if redis.call('ZCOUNT', queue .. destination, '-inf', stamp(now)) > 0 then
      wake()
      return
    end
  end
end

-- Where a pending job waits.
local function queue_of(id, destination)
  if redis.call('HEXISTS', job_key(id), 'low') == 1 then
    return P .. 'low:' .. destination
  end
  return P .. 'due:' .. destination
end

local function make_due(id, destination, at)
  redis.call('ZADD', queue_of(id, destination), stamp(at), id)
  wake()
end

local function line_of(class, rule, destination)
  return P .. 'line:' .. class .. ':' .. rule .. '|' .. destination
end

-- The rule takes part in the turns. Who comes anew is not behind for what others had before.
local function take_part(class, rule, destination)
  local start = redis.call('HGET', P .. 'round:' .. class .. ':' .. destination, 'start') or 0
  redis.call('ZADD', P .. 'turns:' .. class .. ':' .. destination, 'NX', start, rule)
end

-- A job that gave way to urgent ones is one of them from now on. It came due among the low ones, so that no dispatcher
-- would see it come due among the urgent.
local function make_urgent(id, destination)
  local low = P .. 'low:' .. destination
  local at = redis.call('ZSCORE', low, id)
  local job = job_key(id)
  redis.call('HDEL', job, 'low')
  if at then
    redis.call('ZREM', low, id)
    redis.call('ZADD', P .. 'due:' .. destination, at, id)
    local rule = redis.call('HGET', job, 'rule')
    redis.call('ZADD', line_of('due', rule, destination), at, id)
    take_part('due', rule, destination)
  end
end

-- Notifications of the registry may have been lost, for that reason.
local function suspect(registry, reason)
  redis.call('HINCRBY', P .. 'suspects', registry .. '|' .. reason, 1)
end

-- Whether a person paused the rule, or the destination, as `kind` says.
local function is_paused(kind, name)
  return redis.call('HEXISTS', P .. 'paused', kind .. '|' .. name) == 1
end

-- True while the worker that got `token` owns the job. An expired lease is lost even if nobody took it over yet:
-- the job's locks may have had other holders since.
local function holds(id, token)
  local job = job_key(id)
  return redis.call('HGET', job, 'token') == token and number(job, 'lease_until') > now
end

-- The worker that got `token` owns the job and its locks for `lease` seconds from now.
local function lend(id, token, lease)
  local field = redis.call('HMGET', job_key(id), 'destination', 'locks')
  for name in string.gmatch(field[2], '[^\n]+') do
    -- A lock outlasts its lease, so that who holds the lease holds the locks.
    redis.call('SET', P .. 'lock:' .. name, token, 'PX', math.ceil((lease + 1) * 1000))
  end
  local ends = stamp(now + lease)
  redis.call('HSET', job_key(id), 'token', token, 'lease_until', ends)
  redis.call('ZADD', queue_of(id, field[1]), ends, id)
  redis.call('ZADD', P .. 'inflight:' .. field[1], ends, id)
end

-- Ends a lease and frees its locks and its place in the destination's cap. With doubt '1' something that was sent under
-- it may take effect later than it was seen to: when the job is done it is looked at once more (see `finish`), whoever
-- does it and however often it is tried before.
local function put_down(id, doubt)
  local job = job_key(id)
  if doubt == '1' then
    redis.call('HSET', job, 'unsure', DOUBT)
  end
  local field = redis.call('HMGET', job, 'destination', 'token', 'locks')
  for name in string.gmatch(field[3] or '', '[^\n]+') do
    if redis.call('GET', P .. 'lock:' .. name) == field[2] then
      redis.call('DEL', P .. 'lock:' .. name)
    end
  end
  redis.call('HDEL', job, 'token', 'lease_until', 'locks', 'later_since', 'bell')
  redis.call('ZREM', P .. 'inflight:' .. field[1], id)
end

-- The job leaves the ledger.
local function remove(id)
  local job = job_key(id)
  local field = redis.call('HMGET', job, 'rule', 'destination')
  local lane = field[1] .. '|' .. field[2]
  for _, index in ipairs({'since:', 'parked:', 'blocked:'}) do
    redis.call('ZREM', P .. index .. lane, id)
  end
  redis.call('ZREM', queue_of(id, field[2]), id)
  redis.call('ZREM', P .. 'inflight:' .. field[2], id)
  redis.call('DEL', job, P .. 'promotion:' .. id)
end

-- A parked or blocked job becomes pending, with all its attempts before it.
local function unhalt(id)
  local job = job_key(id)
  local field = redis.call('HMGET', job, 'state', 'rule', 'destination')
  if field[1] then
    redis.call('ZREM', P .. field[1] .. ':' .. field[2] .. '|' .. field[3], id)
    redis.call('HDEL', job, 'state', 'attempts', 'away', 'reason')
  end
end

-- Writes down that a job is wanted. A submission is fourteen values: id, key, rule, destination, since, delay, action,
-- digest, trace, 1 for news, 1 for urgent, absent since, 1 for lost, 1 for doubt; empty text stands for none. The job is
-- due `delay` seconds from now, or sooner if it was. An open job may become urgent by it, but never the other way round.
-- The action "repair" is kept beside an event's, with the generation that asked for it: no event takes it back. What is
-- submitted together comes due in that order, a microsecond apart, so that jobs of one repository stay together. What
-- was lost is `lost` as long as nothing else asks for it, before or after. For doubt see `put_down`.
local SUBMISSION = 14
local function submit(values, first)
  local id, key, rule, destination, since, delay, action, digest, trace, news, urgent, absent, lost, doubt =
    unpack(values, first, first + SUBMISSION - 1)
  delay = tonumber(delay)
  local job, lane = job_key(id), rule .. '|' .. destination
  local generation = redis.call('HINCRBY', job, 'gen', 1)
  if generation == 1 then
    redis.call('HSET', job, 'key', key, 'rule', rule, 'destination', destination, 'format', FORMAT, 'born', stamp(now))
    redis.call('SADD', P .. 'destinations', destination)
    redis.call('SADD', P .. 'lanes', lane)
    if urgent ~= '1' then
      redis.call('HSET', job, 'low', '1')
    end
  elseif urgent == '1' then
    make_urgent(id, destination)
  end
  if lost ~= '1' then
    redis.call('HDEL', job, 'lost')
  elseif generation == 1 then
    redis.call('HSET', job, 'lost', '1')
  end
  if doubt == '1' then
    redis.call('HSET', job, 'unsure', DOUBT)
  end

  local oldest = tonumber(redis.call('HGET', job, 'since') or '')
  if not oldest or oldest > tonumber(since) then
    redis.call('HSET', job, 'since', stamp(since))
    redis.call('ZADD', P .. 'since:' .. lane, stamp(since), id)
  end
  if redis.call('HEXISTS', job, 'token') == 1 then
    -- The worker that holds the job may settle all that was wanted before, but not this.
    local later = tonumber(redis.call('HGET', job, 'later_since') or '')
    if not later or later > tonumber(since) then
      redis.call('HSET', job, 'later_since', stamp(since))
    end
  end
  if action == 'repair' then
    redis.call('HSET', job, 'repair', generation)
  elseif action ~= '' and news == '1' then
    redis.call('HSET', job, 'action', action, 'digest', digest, 'hinted_at', stamp(now))
  elseif action ~= '' and redis.call('HEXISTS', job, 'action') == 0 then
    redis.call('HSET', job, 'action', action, 'digest', digest)
  end
  if trace ~= '' then
    redis.call('HSET', job, 'trace', trace)
  end
  redis.call('HDEL', job, 'approved', 'absent_at')
  if absent ~= '' then
    redis.call('HSET', job, 'absent_at', absent)
  end
  unhalt(id)

  local not_before = number(job, 'not_before')
  local soon = now + math.max(BACKOFF_AFTER_SUBMISSION, delay)
  if not_before > soon then
    not_before = soon
    redis.call('HSET', job, 'not_before', stamp(soon))
  end
  -- Who is rung for or leased comes due when that ends: its claim, or its finish, will see the new generation.
  local inflight = tonumber(redis.call('ZSCORE', P .. 'inflight:' .. destination, id) or '') or 0
  local due = math.max(now + delay + (first - 1) / SUBMISSION / 1e6, not_before, inflight)
  local present = tonumber(redis.call('ZSCORE', queue_of(id, destination), id) or '')
  if not present or present > due then
    make_due(id, destination, due)
  end
end
