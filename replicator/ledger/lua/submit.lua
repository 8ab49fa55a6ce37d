-- SUBMIT delay_s, submission...
-- Every submission's job is pending and due `delay_s` from now, or sooner if it was.

for first = 2, #ARGV, 8 do
  submit(ARGV, first, tonumber(ARGV[1]))
end
return 1
