-- RENEW id, token, lease_s -> 1, or 0 if the lease is lost.
-- Lease and locks last `lease_s` from now.

if not holds(ARGV[1], ARGV[2]) then
  return 0
end
lend(ARGV[1], ARGV[2], tonumber(ARGV[3]))
return 1
