-- NOTE_PREVIOUS id, token, number, digest -> what was noted first for this promotion; nothing if the lease is lost or
-- another promotion has come in its place.

local key = P .. 'promotion:' .. ARGV[1]
if not holds(ARGV[1], ARGV[2]) or redis.call('HGET', key, 'number') ~= ARGV[3] then
  return false
end
redis.call('HSETNX', key, 'previous', ARGV[4])
return redis.call('HGET', key, 'previous')
