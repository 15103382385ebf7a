#!lua
-- reward: take a batch of rewards of one partition, each at most once; one status a reward.
--
-- KEYS due orph ex late c skew, then for each reward: r s f d (those it does not need name the counters)
-- ARGV packed, early_ms, tombstone_ms, most rewards a decision, most decisions that may be awaited
-- packed is msgpack: [[id, reward key, tail, tombstone member, session, rule, aim], ...], all raw text
--   session is empty for a reward that names its decision; otherwise id is what the caller found to be the
--   session's target (empty: none), and MOVED names the right one when that has changed meanwhile.
--   rule: '' the session's last decision; 'a:<arm>' the last that showed the arm; '*' all, of which id is one and
--   aim the list of them, newest first, with commas.
-- Answers for each: status, decision id.

local due, orph, ex, late, c, skew = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local shared, each = 6, 4

local HEAD = 31 -- the last byte of what is read to know a decision's mode: its deadline and flags are shorter

local MOST_OF_A_SESSION = 64 -- decisions that one reward by session reaches

local entries = cmsgpack.unpack(ARGV[1])
local early_ms, tombstone_ms = tonumber(ARGV[2]), tonumber(ARGV[3])
local most, most_awaited = tonumber(ARGV[4]), tonumber(ARGV[5])

local function flaw()
  if type(entries) ~= 'table' or #KEYS ~= shared + each * #entries then return 'keys and entries differ' end
  if not (early_ms and tombstone_ms and most and most_awaited) then return 'a limit is no number' end
  if tombstone_ms <= 0 then return 'no tombstone time' end
  for j, e in ipairs(entries) do
    if type(e) ~= 'table' or #e ~= 7 then return 'entry ' .. j .. ' has not 7 fields' end
    for field = 1, 7 do
      if type(e[field]) ~= 'string' then return 'entry ' .. j .. ' field ' .. field .. ' is no text' end
    end
    if e[1] == '' and e[5] == '' then return 'entry ' .. j .. ' names neither decision nor session' end
    if e[2] == '' then return 'entry ' .. j .. ' has no reward key' end
    local value = tonumber((string.match(e[3], '^([^|]+)|%-?%d+|[^|]*|')))
    if not value or value ~= value or math.abs(value) == math.huge then
      return 'entry ' .. j .. ' has no finite value'
    end
    if e[1] ~= '' and not string.match(e[4], '^%d+$') then return 'entry ' .. j .. ' has no member' end
  end
end

local wrong = flaw()
if wrong then return redis.error_reply('BADBATCH ' .. wrong) end

local now = clock(skew, c)
call('HSET', c, 'clock_ms', whole(now))

-- A reward that joins nothing is kept with its reason, under the name that it came with.
local function keep(kind, name, key, record)
  append(late, now, 'k', kind, 'i', name, 'm', key, 'r', record)
end

-- The same key again; with another value it contradicts: the first stays, this one is kept beside.
local function again(name, key, record, old)
  count(c, 'rew_dup')
  if string.match(old, '%d+|([^|]*)') ~= string.match(record, '%d+|([^|]*)') then
    keep('X', name, key, record)
    count(c, 'rew_contradicts')
  end
  return 'DUP'
end

local function over(name, key, record)
  keep('O', name, key, record)
  count(c, 'rew_over')
  return 'OVER'
end

local function unknown(name, key, record)
  keep('P', name, key, record)
  count(c, 'rew')
  count(c, 'rew_orphan')
  count(c, 'rew_unknown')
  return 'UNKNOWN'
end

-- What the trainer is told of a reward that has joined its pending decision: nothing in wait mode, nor while
-- the decision is deferred; in mode earliest the first reward only.
local function learn(id, key, held, r, d)
  local head = redis.pcall('GETRANGE', d, 0, HEAD)
  local _, mode, deferred = parts(type(head) == 'string' and head or '')
  if not mode or mode == '' or deferred ~= '' or (mode == 'e' and held > 0) then return end
  local stored = call('GET', d)
  local payload = string.sub(stored, string.find(stored, '|', 1, true) + 1)
  if mode == 'a' then
    teach(ex, c, now, 'C', id, payload, call('HGETALL', r), key)
  else
    teach(ex, c, now, 'E', id, payload, call('HGETALL', r))
  end
end

local function of_decision(id, key, record, member, r, f, d)
  local old = call('HGET', r, key)
  if old then return again(id, key, record, old) end
  local held = call('HLEN', r)
  if held >= most then return over(id, key, record) end
  if call('ZSCORE', due, id) then
    call('HSET', r, key, record)
    count(c, 'rew')
    learn(id, key, held, r, d)
    return 'OK'
  end
  if call('SISMEMBER', f, member) == 1 then
    call('HSET', r, key, 'L' .. record)
    call('PEXPIRE', r, tombstone_ms)
    call('PEXPIRE', f, tombstone_ms) -- never sooner than r: without it r would look like an early reward's
    keep('L', id, key, record)
    count(c, 'rew_late')
    return 'LATE'
  end
  if not call('ZSCORE', orph, id) and call('ZCARD', orph) >= most_awaited then
    return unknown(id, key, record)
  end
  call('HSET', r, key, record)
  call('ZADD', orph, 'NX', whole(now + early_ms), id)
  count(c, 'rew')
  count(c, 'rew_early')
  return 'EARLY'
end

-- Every decision of the session that still takes rewards, newest first; where none does, its last.
local function all_of(s)
  local found = {}
  for _, field in ipairs(call('HKEYS', s)) do
    local id = string.sub(field, 1, 2) == 'd:' and ours(string.sub(field, 3))
    if id and call('ZSCORE', due, id) then found[#found + 1] = id end
  end
  if #found == 0 then return ours(call('HGET', s, 'last')) or '' end
  table.sort(found, function(one, other) return one > other end)
  return table.concat(found, ',', 1, math.min(#found, MOST_OF_A_SESSION))
end

-- Whom a reward by session means; foreign bytes lead nowhere.
local function target_of(s, rule, went)
  if rule == '*' then
    if went then return string.match(went, '^[0-9a-f,-]+$') or '' end
    return all_of(s)
  end
  return ours(went or call('HGET', s, rule == '' and 'last' or rule)) or ''
end

-- How many rewards a session remembers.
local function rewards_in(s)
  if call('HLEN', s) < most then return 0 end
  local found = 0
  for _, field in ipairs(call('HKEYS', s)) do
    if string.sub(field, 1, 2) == 'w:' then found = found + 1 end
  end
  return found
end

-- The session remembers where each of its rewards went: a retry goes there too, whatever is last by now.
local function of_session(e, record, r, s, f, d)
  local id, key, _, member, session, rule, aim = unpack(e)
  local went = call('HGET', s, 'w:' .. key)
  local nobody = went and string.sub(went, 1, 1) == '|'
  local target = not nobody and target_of(s, rule, went) or ''
  if target ~= (rule == '*' and aim or id) then return 'MOVED', target end
  if nobody then return again(session, key, record, went), id end
  if id == '' then
    if rewards_in(s) >= most then return over(session, key, record), id end
    call('HSET', s, 'w:' .. key, '|' .. record)
    call('PEXPIRE', s, tombstone_ms)
    return unknown(session, key, record), id
  end
  local status = of_decision(id, key, record, member, r, f, d)
  if status == 'OK' or status == 'LATE' then call('HSET', s, 'w:' .. key, target) end
  return status, id
end

local answers = {}
for j, e in ipairs(entries) do
  local k = shared + each * (j - 1)
  local id, key, tail, member, session = unpack(e, 1, 5)
  local record = whole(now) .. '|' .. tail
  if session == '' then
    answers[j] = {of_decision(id, key, record, member, KEYS[k + 1], KEYS[k + 3], KEYS[k + 4]), id}
  else
    answers[j] = {of_session(e, record, KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], KEYS[k + 4])}
  end
end
return answers
