#!lua flags=allow-oom
-- strangers: take members out of the timers that are no ids of decisions, and count them.
--
-- KEYS due orph c
-- ARGV the members
-- Answers how many there were.

counters = KEYS[3]

local gone = 0
for _, member in ipairs(ARGV) do
  if not ours(member) then gone = gone + call('ZREM', KEYS[1], member) + call('ZREM', KEYS[2], member) end
end
if gone > 0 then count(KEYS[3], 'strangers', gone) end
return gone
