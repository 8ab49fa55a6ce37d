-- FREE_SLOT registry, slot, ticket -> nothing. The slot is free, and who waited with that ticket has left the line.

redis.set_repl(redis.REPL_NONE)
redis.call('ZREM', P .. 'slots:' .. ARGV[1], ARGV[2])
redis.call('ZREM', P .. 'waiting:' .. ARGV[1], ARGV[3])
