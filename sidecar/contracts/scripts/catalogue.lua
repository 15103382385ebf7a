#!lua
-- catalogue: put a version of the catalogue in place of the one that is current.
--
-- KEYS now catalogues notices skew
-- ARGV kind, version, arms, the version that must be current, reason, version of the sender's file
--   kind 'file': the arms of the application's file. One that was never seen before is put in place whatever is
--   current; one that was is not, since a replica that starts must not undo what was changed since.
--   kind 'change': only while the version that it was made of is current. The sender's file counts as seen from
--   then on: a store that was emptied is told what was served, and no file undoes it.
-- Answers status, current version: OK; SAME (it is so already); SEEN; MOVED (another version is current).

local now_key, catalogues, notices, skew = unpack(KEYS)
local kind, version, arms, expected, reason, file = unpack(ARGV)
if #ARGV ~= 6 or version == '' or arms == '' then
  return redis.error_reply('BADBATCH a catalogue has a version and arms')
end

local now = whole(clock(skew, now_key))
local current = redis.call('HGET', now_key, 'version') or ''
if kind == 'file' then
  local is_new = redis.call('HSETNX', now_key, 'f:' .. version, now) == 1
  if not is_new and current ~= '' and current ~= version then return {'SEEN', current} end
elseif current ~= expected then
  return {'MOVED', current}
else
  redis.call('HSETNX', now_key, 'f:' .. file, now)
end
redis.call('HSETNX', catalogues, version, arms)
if version == current then return {'SAME', current} end
local revision = redis.call('HINCRBY', now_key, 'revision', 1)
redis.call('HSET', now_key, 'version', version, 'at_ms', now, 'clock_ms', now, 'reason', reason)
redis.call('XADD', notices, 'MAXLEN', '~', 1000, '*', 'revision', revision, 'version', version, 'before', current,
  'clock_ms', now, 'reason', reason)
return {'OK', version}
