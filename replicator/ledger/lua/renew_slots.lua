-- RENEW_SLOTS registry, lease, slot... -> nothing.
-- A slot that ran out meanwhile, while its process was frozen say, is taken all the same: its request goes on.

redis.set_repl(redis.REPL_NONE)
local slots = P .. 'slots:' .. ARGV[1]
for at = 3, #ARGV do
  redis.call('ZADD', slots, stamp(now + tonumber(ARGV[2])), ARGV[at])
end
redis.call('EXPIRE', slots, 60)
