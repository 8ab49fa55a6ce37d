-- RENEW lease_s, {id, token}... -> for each 1, or 0 if the lease is lost.
-- Lease and locks last `lease_s` from now.

local answers = {}
for at = 2, #ARGV, 2 do
  local is_ours = holds(ARGV[at], ARGV[at + 1])
  if is_ours then
    lend(ARGV[at], ARGV[at + 1], tonumber(ARGV[1]))
  end
  answers[#answers + 1] = is_ours and 1 or 0
end
return answers
