#!lua flags=allow-oom
-- roster: replace the roster of models, if it is still the one that the change was made from. The records of
-- its fixed versions are copied beside it, so that thinning the history never takes a model from who serves it.
--
-- KEYS roster deployed records notices w skew epoch
-- ARGV revision (of the roster that was changed), models, epoch ('' when it is not a learner's), what (for
--   people), evidence (JSON, or ''), version, ...
-- Answers FENCED (another learner took over), STALE (somebody else changed it), UNKNOWN (a version is neither
--   kept nor deployed) or the new revision.

local roster, deployed, records, notices, w, skew, epoch_key = unpack(KEYS)
local revision, models, epoch, what, evidence = unpack(ARGV)
local first_version = 6

if #KEYS ~= 7 or #ARGV < 5 or not tonumber(revision) then
  return redis.error_reply('BADBATCH a roster has 7 keys and at least 5 arguments, the first being a number')
end
if epoch ~= '' and tonumber(redis.call('GET', epoch_key) or '0') > tonumber(epoch) then return 'FENCED' end
if (redis.call('HGET', roster, 'revision') or '0') ~= revision then return 'STALE' end

local wanted = {}
for i = first_version, #ARGV do
  local version = ARGV[i]
  wanted[version] = true
  if redis.call('HEXISTS', deployed, version) == 0 and redis.call('HEXISTS', records, version) == 0 then
    return 'UNKNOWN'
  end
end

for version in pairs(wanted) do
  if redis.call('HEXISTS', deployed, version) == 0 then
    redis.call('HSET', deployed, version, redis.call('HGET', records, version))
  end
end
for _, version in ipairs(redis.call('HKEYS', deployed)) do
  if not wanted[version] then redis.call('HDEL', deployed, version) end
end

local now = whole(clock(skew, w))
local new = whole(tonumber(revision) + 1)
redis.call('HSET', roster, 'models', models, 'revision', new, 'clock_ms', now, 'what', what)
redis.call('XADD', notices, 'MAXLEN', '~', 1000, '*', 'clock_ms', now, 'roster', new,
  'what', what, 'evidence', evidence)
return new
