-- SPREAD_PAUSE name... -> 1, or 0 if no rule of these names is paused.
-- They are one rule's: if it is paused under one of them, so it is under all, since then and for that reason.

local found
for _, name in ipairs(ARGV) do
  found = found or redis.call('HGET', P .. 'paused', 'rule|' .. name)
end
if not found then
  return 0
end
for _, name in ipairs(ARGV) do
  redis.call('HSETNX', P .. 'paused', 'rule|' .. name, found)
end
return 1
