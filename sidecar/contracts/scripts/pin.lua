#!lua flags=allow-oom
-- pin: serve a version that is kept instead of the newest one; without a version, serve the newest again.
-- Publishing goes on beneath: no learner's state depends on what is served.
--
-- KEYS pin records notices w skew
-- ARGV version ('' to end the pin), reason
-- Answers UNKNOWN (that version is not kept), SAME (it is so already) or OK.

local pin, records, notices, w, skew = unpack(KEYS)
local version, reason = ARGV[1], ARGV[2]
local pinned = redis.call('HGET', pin, 'version') or ''

if #ARGV ~= 2 then return redis.error_reply('BADBATCH a pin has 2 arguments') end
if version ~= '' and redis.call('HEXISTS', records, version) == 0 then return 'UNKNOWN' end
if pinned == version then return 'SAME' end

local now = whole(clock(skew, w))
if version == '' then
  redis.call('DEL', pin)
else
  redis.call('HSET', pin, 'version', version, 'clock_ms', now, 'reason', reason)
end
redis.call('XADD', notices, 'MAXLEN', '~', 1000, '*', 'clock_ms', now, 'pinned', version, 'before', pinned,
  'reason', reason)
return 'OK'
