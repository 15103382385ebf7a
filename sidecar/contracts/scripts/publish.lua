#!lua flags=allow-oom
-- publish: weights, version, epoch and stream positions in one write, with a notice on the version log.
--
-- KEYS w log epoch skew deltas
-- ARGV epoch, version, record, positions, examples, batches, checksum, delta, base version, base checksum,
--      the base that the model was taken over from (empty: it goes on from the version before)
-- The record is empty when the delta is all that is sent, the delta when there is none. From the last record
-- on, every version has its delta in the stream, so that whoever reads both in one step has the newest.
-- Answers FENCED (another learner took over: exit), STALE (a version as new is there: reload), BASE (a delta
-- alone, and not from what stands: send the record) or OK, which is also the answer to the same publication
-- again, whose first reply was lost.

local w, log, epoch_key, skew, deltas = unpack(KEYS)
local epoch, version, record, positions, examples, batches, checksum = unpack(ARGV)
local delta, base, base_checksum, taken_over = ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local KEPT = 64 -- deltas from before the record: for followers that are a little behind it

if #ARGV ~= 11 or not (tonumber(epoch) and tonumber(version)) then
  return redis.error_reply('BADBATCH a publication has 11 arguments, epoch and version being numbers')
end

counters = w
local taken = tonumber(call('GET', epoch_key) or '0')
local stored = call('HMGET', w, 'epoch', 'version', 'checksum')
if math.max(taken, tonumber(stored[1] or '0')) > tonumber(epoch) then return 'FENCED' end
if stored[1] == epoch and stored[2] == version and stored[3] == checksum then return 'OK' end
if tonumber(stored[2] or '0') >= tonumber(version) then return 'STALE' end

local is_whole = record ~= '' or delta == ''
local follows = delta ~= '' and stored[2] == base and stored[3] == base_checksum
if not (is_whole or follows) then return 'BASE' end

local now = whole(clock(skew, w))
call('HSET', w, 'version', version, 'epoch', epoch, 'positions', positions,
  'checksum', checksum, 'clock_ms', now)
if is_whole then
  call('HSET', w, 'record', record)
  call('XTRIM', deltas, 'MAXLEN', KEPT)
end
if follows then append(deltas, now, 'version', version, 'delta', delta) end
local entry = {'version', version, 'epoch', epoch, 'examples', examples, 'batches', batches,
  'checksum', checksum}
if taken_over ~= '' then
  entry[#entry + 1] = 'base'
  entry[#entry + 1] = taken_over
end
append(log, now, unpack(entry))
return 'OK'
