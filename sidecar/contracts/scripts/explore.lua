#!lua flags=allow-oom
-- explore: replace how an application explores, if it is still what the change was made from.
--
-- KEYS explore notices w skew
-- ARGV revision (of what was changed), plan, what (for people)
-- Answers STALE (somebody else changed it) or the new revision.

local explore, notices, w, skew = unpack(KEYS)
local revision, plan, what = unpack(ARGV)

if #KEYS ~= 4 or #ARGV ~= 3 or not tonumber(revision) then
  return redis.error_reply('BADBATCH a change has 4 keys and 3 arguments, the first being a number')
end
if (redis.call('HGET', explore, 'revision') or '0') ~= revision then return 'STALE' end

local now = whole(clock(skew, w))
local new = whole(tonumber(revision) + 1)
redis.call('HSET', explore, 'plan', plan, 'revision', new, 'clock_ms', now, 'what', what)
redis.call('XADD', notices, 'MAXLEN', '~', 1000, '*', 'clock_ms', now, 'explore', new, 'plan', plan, 'what', what)
return new
