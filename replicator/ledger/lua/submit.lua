-- SUBMIT submission...
-- Every submission's job is pending.

for first = 1, #ARGV, SUBMISSION do
  submit(ARGV, first)
end
return 1
