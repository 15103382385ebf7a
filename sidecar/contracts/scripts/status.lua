#!lua flags=allow-oom
-- status: the learner says how it is. Allowed at the memory limit, since one that is silent counts as stuck.
--
-- KEYS learner
-- ARGV field, value, ...

return redis.call('HSET', KEYS[1], unpack(ARGV))
