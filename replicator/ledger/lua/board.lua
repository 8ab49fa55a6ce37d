-- BOARD destination, repository, token, ttl_ms, [digest]... -> for each: 1 to bring it, 0 while another does, or who holds it
-- Whoever is told 1 holds the flight of that blob for ttl_ms, or until it says that the blob landed, or that it will not.
-- What was seen at the destination meanwhile needs no flight; if the repository holds it, that is said before others.

local answers = {}
for at = 5, #ARGV do
  local name = ARGV[1] .. '|' .. ARGV[at]
  local holder = redis.call('GET', P .. 'blob:' .. name)
  if holder then
    local is_here = string.find('\n' .. holder, '\n' .. ARGV[2] .. ' ', 1, true)
    answers[#answers + 1] = is_here and ARGV[2] or string.match(holder, '^[^ ]+')
  elseif redis.call('SET', P .. 'flight:' .. name, ARGV[3], 'PX', ARGV[4], 'NX') then
    answers[#answers + 1] = 1
  else
    answers[#answers + 1] = 0
  end
end
return answers
