#!lua flags=allow-oom
-- forget: versions that are kept no longer. The one that is pinned stays.
--
-- KEYS infos records pin
-- ARGV version, ...
-- Answers how many are gone.

local infos, records, pin = KEYS[1], KEYS[2], KEYS[3]
local pinned, gone = redis.call('HGET', pin, 'version'), 0

for _, version in ipairs(ARGV) do
  if version ~= pinned then
    gone = gone + redis.call('HDEL', infos, version)
    redis.call('HDEL', records, version)
  end
end
return gone
