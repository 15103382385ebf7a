#!lua flags=allow-oom
-- lease: which joiner closes a partition's decisions. It saves work, no more: two at once are harmless.
--
-- Allowed at the memory limit, since what it is for frees memory.
--
-- KEYS lease c skew
-- ARGV holder, ttl_ms (0: give it back), from (of whom it may be taken before its end; empty: of nobody)
-- Answers 1: the lease is the holder's now; 0: it is not.

local lease, c, skew = KEYS[1], KEYS[2], KEYS[3]
local holder, ttl_ms, from = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local linger_ms = 60000 -- the key outlives its end: a clock that tests move may be behind the store's

local now = clock(skew, c)
local held_by, until_ms = string.match(redis.call('GET', lease) or '', '^(.*)|(%d+)$')
local free = not held_by or tonumber(until_ms) <= now

if ttl_ms == 0 then
  if held_by == holder then redis.call('DEL', lease) end
  return 0
end
if not free and held_by ~= holder and (from == '' or held_by ~= from) then return 0 end
redis.call('SET', lease, holder .. '|' .. whole(now + ttl_ms), 'PX', whole(ttl_ms + linger_ms))
return 1
