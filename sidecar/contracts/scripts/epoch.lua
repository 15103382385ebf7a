#!lua flags=allow-oom
-- epoch: become the learner. Allowed at the memory limit, since the learner is what makes room.
--
-- KEYS epoch
-- ARGV an epoch that was taken before, for all that the caller knows: a store that lost its data counts on
-- Answers the epoch taken.

local taken = redis.call('INCR', KEYS[1])
local before = tonumber(ARGV[1] or '0')
if not before or taken > before then return taken end
redis.call('SET', KEYS[1], whole(before + 1))
return before + 1
