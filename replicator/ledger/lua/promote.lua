-- PROMOTION id, number, promotion (JSON), is new, submission...
-- The job is pending, with the promotion beside it: this one, or the one that was there if this is not new. In one
-- step, because a job that ends takes its promotion with it.

local key = P .. 'promotion:' .. ARGV[1]
if ARGV[4] == '1' or redis.call('EXISTS', key) == 0 then
  redis.call('DEL', key)
  redis.call('HSET', key, 'number', ARGV[2], 'promotion', ARGV[3])
end
submit(ARGV, 5)
return 1
