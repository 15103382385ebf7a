#!lua flags=allow-oom
-- working: a joiner or an archiver says how it is; who said nothing for ten minutes is taken off the list.
--
-- Allowed at the memory limit, since one that is silent counts as stuck.
--
-- KEYS workers w skew
-- ARGV worker, report (empty: it has stopped)

local workers, w, skew = KEYS[1], KEYS[2], KEYS[3]
local worker, report = ARGV[1], ARGV[2]
local now = clock(skew, w)

forget_silent(workers, now)
if report == '' then
  redis.call('HDEL', workers, worker)
else
  redis.call('HSET', workers, worker, whole(now) .. '|' .. report)
end
return 'OK'
