-- LAND destination, token, repository, ttl_s, [digest]... -> 1
-- The flights of these blobs that `token` holds are over. Unless the repository is empty text, it holds the blobs now.

for at = 5, #ARGV do
  local name = ARGV[1] .. '|' .. ARGV[at]
  if ARGV[3] ~= '' then
    sighted(P .. 'blob:' .. name, ARGV[3], ARGV[4])
  end
  if redis.call('GET', P .. 'flight:' .. name) == ARGV[2] then
    redis.call('DEL', P .. 'flight:' .. name)
  end
end
return 1
