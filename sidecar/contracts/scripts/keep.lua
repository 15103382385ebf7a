#!lua
-- keep: put a version of the weights among those that can be served again. At the memory limit it is refused:
-- history is worth less than room for decisions.
--
-- KEYS infos records w skew epoch
-- ARGV version, info, record, epoch ('' when it is not a learner's)
-- Answers FENCED (another learner took over), KEPT (that version is there already, unchanged) or OK.

local infos, records, w, skew, epoch_key = unpack(KEYS)
local version, info, record, epoch = unpack(ARGV)

if #ARGV ~= 4 or not tonumber(version) then
  return redis.error_reply('BADBATCH a version to keep has 4 arguments, the first being a number')
end
if epoch ~= '' and tonumber(redis.call('GET', epoch_key) or '0') > tonumber(epoch) then return 'FENCED' end
if redis.call('HEXISTS', infos, version) == 1 then return 'KEPT' end

redis.call('HSET', records, version, record)
redis.call('HSET', infos, version, whole(clock(skew, w)) .. '|' .. info)
return 'OK'
