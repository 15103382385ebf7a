#!lua flags=allow-oom
-- contests: what the learner knows of every model, unless a later learner took over.
--
-- KEYS contests epoch w skew
-- ARGV epoch, state (the learner's own), shown (JSON)
-- Answers FENCED or OK.

local contests, epoch_key, w, skew = unpack(KEYS)
local epoch, state, shown = unpack(ARGV)

if #KEYS ~= 4 or #ARGV ~= 3 or not tonumber(epoch) then
  return redis.error_reply('BADBATCH contests have 4 keys and 3 arguments, the first being a number')
end
if tonumber(redis.call('GET', epoch_key) or '0') > tonumber(epoch) then return 'FENCED' end
redis.call('HSET', contests, 'state', state, 'shown', shown, 'clock_ms', whole(clock(skew, w)))
return 'OK'
