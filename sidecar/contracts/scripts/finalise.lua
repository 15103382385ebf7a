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
local tombstone_ms, answer_ms = ARGV[1], ARGV[2] -- as text: a number would be written out at every use

local decisions = (#KEYS - shared) / each
if not tonumber(tombstone_ms) or not tonumber(answer_ms) or #ARGV ~= 2 + 2 * decisions then
  return redis.error_reply('BADBATCH keys and ids differ')
end

local now = clock(skew, c)
call('HSET', c, 'clock_ms', whole(now))

-- What is the same command for many decisions is sent once, when all have been gone through.
local closed, tombs, tally = {}, {}, {}

local function note(field, n)
  tally[field] = (tally[field] or 0) + (n or 1)
end

local function bury(f, member)
  if not tombs[f] then tombs[f] = {} end
  table.insert(tombs[f], member)
end

local function finalise(id, stored, member, d, r, f)
  if not stored then -- the store lost it: the books show it, and its rewards are given up, not forgotten
    table.insert(closed, id)
    note('dec_lost')
    call('ZADD', orph, whole(now), id)
    return
  end
  local rewards = rewards_at(r)
  local _, mode, deferred, at = parts(stored) -- foreign bytes go on as they are: the reader puts them aside
  local kind, payload = deferred == 'd' and 'N' or 'F', string.sub(stored, at or 1)
  local more = {}
  if #rewards > 0 then more = {'r', cmsgpack.pack(rewards)} end
  if mode and mode ~= '' then table.insert(more, 'm') table.insert(more, mode) end
  append(ex, now, 'k', kind, 'i', id, 'd', payload, unpack(more))
  table.insert(closed, id) -- from here on it must not be appended again, whatever fails
  note('fin')
  if deferred == 'd' then note('fin_never') end
  bury(f, member)
  call('PEXPIRE', d, answer_ms)
  if #rewards > 0 then
    call('PEXPIRE', r, tombstone_ms)
    note('rew_joined', #rewards / 2)
  end
end

-- The places of those whose time has come, each once.
local function found_due()
  local ids, places, seen = {}, {}, {}
  for j = 1, decisions do ids[j] = ARGV[2 * j + 1] end
  local deadlines = decisions > 0 and call('ZMSCORE', due, unpack(ids)) or {}
  for j, id in ipairs(ids) do
    local deadline = not seen[id] and deadlines[j]
    seen[id] = true
    if deadline and tonumber(deadline) <= now then table.insert(places, j) end
  end
  return places
end

local function all()
  local places, keys = found_due(), {}
  for n, j in ipairs(places) do keys[n] = KEYS[shared + each * (j - 1) + 1] end
  local stored = #keys > 0 and call('MGET', unpack(keys)) or {} -- false where there is no text
  for n, j in ipairs(places) do
    local k = shared + each * (j - 1)
    finalise(ARGV[2 * j + 1], stored[n], ARGV[2 * j + 2], keys[n], KEYS[k + 2], KEYS[k + 3])
  end
end

local function close()
  if #closed > 0 then call('ZREM', due, unpack(closed)) end
  for f, members in pairs(tombs) do
    call('SADD', f, unpack(members))
    call('PEXPIRE', f, tombstone_ms)
  end
  for field, n in pairs(tally) do count(c, field, n) end
end

local done, wrong = pcall(all)
close() -- also of those before one that failed
if not done then error(wrong) end
return tally.fin or 0
