-- NOTE_HOLDINGS ttl_s, {key, before, after}... -> the time, or nothing if a key has not the text that it had before.
-- Each key has its new text, after the time; an empty text before stands for no key.

for at = 2, #ARGV, 3 do
  if (redis.call('GET', ARGV[at]) or '') ~= ARGV[at + 1] then
    return ''
  end
end
for at = 2, #ARGV, 3 do
  redis.call('SET', ARGV[at], stamp(now) .. ' ' .. ARGV[at + 2], 'EX', ARGV[1])
end
return stamp(now)
