-- ROUTE group, entry id, submission... -> 1, or 0 if the entry was settled before, and then nothing is done.
-- The notification leaves the inbox and its jobs are due, in one step: no crash can come between.

if redis.call('XACK', P .. 'inbox', ARGV[1], ARGV[2]) == 0 then
  return 0
end
for first = 3, #ARGV, SUBMISSION do
  submit(ARGV, first)
end
redis.call('XDEL', P .. 'inbox', ARGV[2])
return 1
