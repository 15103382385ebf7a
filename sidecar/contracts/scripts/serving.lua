#!lua flags=allow-oom
-- serving: a sidecar says what it serves; those that said nothing for ten minutes are taken off the list.
--
-- KEYS serving w skew
-- ARGV sidecar, version, pinned (0 or 1), word (why the version asked for is not served; empty if it is)

local serving, w, skew = KEYS[1], KEYS[2], KEYS[3]
local sidecar, version, pinned, word = unpack(ARGV)
local now = clock(skew, w)

forget_silent(serving, now)
redis.call('HSET', serving, sidecar, whole(now) .. '|' .. version .. '|' .. pinned .. '|' .. word)
return 'OK'
