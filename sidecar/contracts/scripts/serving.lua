#!lua flags=allow-oom
-- serving: a sidecar says what it serves; those that said nothing for ten minutes are taken off the list.
--
-- KEYS serving w skew
-- ARGV sidecar, version, pinned (0 or 1), word (why the version asked for is not served; empty if it is)

local serving, w, skew = KEYS[1], KEYS[2], KEYS[3]
local sidecar, version, pinned, word = unpack(ARGV)
local now = clock(skew, w)

local listed = redis.call('HGETALL', serving)
for i = 1, #listed, 2 do
  local at = tonumber(string.match(listed[i + 1], '^(%d+)|'))
  if not at or now - at > 600000 then redis.call('HDEL', serving, listed[i]) end
end
redis.call('HSET', serving, sidecar, whole(now) .. '|' .. version .. '|' .. pinned .. '|' .. word)
return 'OK'
