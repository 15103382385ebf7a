#!lua flags=allow-oom
-- finalise: move decisions whose horizon has ended, with their raw rewards, to the example stream: as F, or as N
-- those that were deferred and never activated.
--
-- Allowed at the memory limit, since it is what frees memory. Two at once are harmless: each id is looked at
-- again. What stays of a decision is its answer (d, for the retention), its rewards (r) and its tombstone.
--
-- KEYS due orph ex c skew, then for each decision: d r f
-- ARGV tombstone_ms, answer_ms, then for each decision: id, tombstone member
-- Answers how many were finalised.

local due, orph, ex, c, skew = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local shared, each = 5, 3
local tombstone_ms, answer_ms = tonumber(ARGV[1]), tonumber(ARGV[2])

local decisions = (#KEYS - shared) / each
if not tombstone_ms or not answer_ms or #ARGV ~= 2 + 2 * decisions then
  return redis.error_reply('BADBATCH keys and ids differ')
end

local now = clock(skew, c)
redis.call('HSET', c, 'clock_ms', whole(now))

local function finalise(id, member, d, r, f)
  local stored = text_at(d)
  if not stored then -- the store lost it: the books show it, and its rewards are given up, not forgotten
    redis.call('ZREM', due, id)
    count(c, 'dec_lost')
    redis.call('ZADD', orph, whole(now), id)
    return 0
  end
  local rewards = rewards_at(r)
  local _, mode, deferred, at = parts(stored) -- foreign bytes go on as they are: the reader puts them aside
  local fields = {'k', deferred == 'd' and 'N' or 'F', 'i', id, 'd', string.sub(stored, at or 1),
    'r', #rewards > 0 and cmsgpack.pack(rewards) or ''}
  if mode and mode ~= '' then fields[9], fields[10] = 'm', mode end
  append(ex, now, unpack(fields))
  redis.call('ZREM', due, id)
  if deferred == 'd' then count(c, 'fin_never') end
  redis.call('PEXPIRE', d, answer_ms)
  if #rewards > 0 then
    redis.call('PEXPIRE', r, tombstone_ms)
    count(c, 'rew_joined', #rewards / 2)
  end
  redis.call('SADD', f, member)
  redis.call('PEXPIRE', f, tombstone_ms)
  count(c, 'fin')
  return 1
end

local finalised = 0
for j = 1, decisions do
  local id, member, k = ARGV[2 * j + 1], ARGV[2 * j + 2], shared + each * (j - 1)
  local deadline = redis.call('ZSCORE', due, id)
  if deadline and tonumber(deadline) <= now then
    finalised = finalised + finalise(id, member, KEYS[k + 1], KEYS[k + 2], KEYS[k + 3])
  end
end
return finalised
