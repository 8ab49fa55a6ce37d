-- NOTE_PACE hash, bytes, seconds -> 1.
-- One more copy is in the sums. They are halved at every thousandth, so that they follow a line that changes.

local KEPT = 1000
local size, seconds = tonumber(ARGV[2]), tonumber(ARGV[3])
local sums = {copies = 1, size_bytes = size, seconds = seconds, square_bytes = size * size, byte_seconds = size * seconds}
local full = (tonumber(redis.call('HGET', ARGV[1], 'copies') or '') or 0) >= KEPT
for name, value in pairs(sums) do
  local sum = redis.call('HINCRBYFLOAT', ARGV[1], name, string.format('%.17g', value))
  if full then
    redis.call('HSET', ARGV[1], name, string.format('%.17g', tonumber(sum) / 2))
  end
end
return 1
