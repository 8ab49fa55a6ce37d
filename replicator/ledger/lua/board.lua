-- BOARD destination, repository, token, ttl_ms, [digest]... -> for each: 1 to bring it, 0 while another does, or who holds it
-- Whoever is told 1 holds the flight of that blob for ttl_ms, or until it says that the blob landed, or that it will not.
-- What was seen at the destination needs no flight; if the repository holds it, that is said before others. That counts
-- for LATELY seconds: who is told so asks the registry nothing. Of what was seen longer ago somebody makes sure.

local LATELY = 60

local answers = {}
for at = 5, #ARGV do
  local name = ARGV[1] .. '|' .. ARGV[at]
  local holder = redis.call('GET', P .. 'blob:' .. name)
  local _, last = string.find('\n' .. (holder or ''), '\n' .. ARGV[2] .. ' ', 1, true)
  local at_s = last and tonumber(string.match(holder, '^[^\n]+', last)) or 0
  if at_s > now - LATELY then
    answers[#answers + 1] = ARGV[2]
  elseif holder and not last then
    answers[#answers + 1] = string.match(holder, '^[^ ]+')
  elseif redis.call('SET', P .. 'flight:' .. name, ARGV[3], 'PX', ARGV[4], 'NX') then
    answers[#answers + 1] = 1
  else
    answers[#answers + 1] = 0
  end
end
return answers
