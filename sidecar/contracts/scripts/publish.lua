#!lua flags=allow-oom
-- publish: weights, version, epoch and stream positions in one write, with a notice on the version log.
--
-- KEYS w log epoch skew
-- ARGV epoch, version, record, positions, examples, batches, checksum
-- Answers FENCED (another learner took over: exit), STALE (a version as new is there: reload) or OK, which is
-- also the answer to the same publication again, whose first reply was lost.

local w, log, epoch_key, skew = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local epoch, version, record, positions, examples, batches, checksum = unpack(ARGV)

if #ARGV ~= 7 or not (tonumber(epoch) and tonumber(version)) then
  return redis.error_reply('BADBATCH a publication has 7 arguments, epoch and version being numbers')
end

local taken = tonumber(redis.call('GET', epoch_key) or '0')
local stored = redis.call('HMGET', w, 'epoch', 'version', 'checksum')
if math.max(taken, tonumber(stored[1] or '0')) > tonumber(epoch) then return 'FENCED' end
if stored[1] == epoch and stored[2] == version and stored[3] == checksum then return 'OK' end
if tonumber(stored[2] or '0') >= tonumber(version) then return 'STALE' end

local now = whole(clock(skew, w))
redis.call('HSET', w, 'record', record, 'version', version, 'epoch', epoch, 'positions', positions,
  'checksum', checksum, 'clock_ms', now)
redis.call('XADD', log, now .. '-*', 'version', version, 'epoch', epoch, 'examples', examples,
  'batches', batches, 'checksum', checksum)
return 'OK'
