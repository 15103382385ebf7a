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

-- What is the same command for many decisions is sent once, when all have been gone through.
local closed, tombs, tally = {}, {}, {}

local function note(field, n)
  tally[field] = (tally[field] or 0) + (n or 1)
end

local function bury(f, member)
  if not tombs[f] then tombs[f] = {} end
  table.insert(tombs[f], member)
end

local function finalise(id, member, d, r, f)
  local stored = text_at(d)
  if not stored then -- the store lost it: the books show it, and its rewards are given up, not forgotten
    table.insert(closed, id)
    note('dec_lost')
    redis.call('ZADD', orph, whole(now), id)
    return
  end
  local rewards = rewards_at(r)
  local _, mode, deferred, at = parts(stored) -- foreign bytes go on as they are: the reader puts them aside
  local fields = {'k', deferred == 'd' and 'N' or 'F', 'i', id, 'd', string.sub(stored, at or 1),
    'r', #rewards > 0 and cmsgpack.pack(rewards) or ''}
  if mode and mode ~= '' then fields[9], fields[10] = 'm', mode end
  append(ex, now, unpack(fields))
  table.insert(closed, id) -- from here on it must not be appended again, whatever fails
  note('fin')
  if deferred == 'd' then note('fin_never') end
  bury(f, member)
  redis.call('PEXPIRE', d, answer_ms)
  if #rewards > 0 then
    redis.call('PEXPIRE', r, tombstone_ms)
    note('rew_joined', #rewards / 2)
  end
end

local function all()
  local ids, seen = {}, {}
  for j = 1, decisions do ids[j] = ARGV[2 * j + 1] end
  local deadlines = decisions > 0 and redis.call('ZMSCORE', due, unpack(ids)) or {}
  for j, id in ipairs(ids) do
    local deadline, k = not seen[id] and deadlines[j], shared + each * (j - 1)
    seen[id] = true
    if deadline and tonumber(deadline) <= now then
      finalise(id, ARGV[2 * j + 2], KEYS[k + 1], KEYS[k + 2], KEYS[k + 3])
    end
  end
end

local failure

local function try(...)
  local answer = redis.pcall(...)
  local failed = type(answer) == 'table' and answer.err
  if failed then failure = failure or answer end
  return not failed
end

-- Foreign bytes under one key must not cost the others theirs.
local function close()
  if #closed > 0 then try('ZREM', due, unpack(closed)) end
  for f, members in pairs(tombs) do
    if try('SADD', f, unpack(members)) then try('PEXPIRE', f, tombstone_ms) end
  end
  for field, n in pairs(tally) do try('HINCRBY', c, field, n) end
end

local done, wrong = pcall(all)
close() -- also of those before one that failed
if not done then error(wrong) end
if failure then return failure end
return tally.fin or 0
