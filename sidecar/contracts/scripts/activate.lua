#!lua
-- activate: deferred decisions of one partition begin to count, each at most once; one status a decision.
--
-- KEYS due ex c skew, then for each decision: d r s f
-- ARGV packed, tombstone_ms
-- packed is msgpack: [[id, tombstone member, horizon_ms], ...], all raw text. A horizon begins anew at the
--   activation; empty: the deadline stays.
-- Answers for each: status, decision id, deadline_ms ("" when it has none any more).

local due, ex, c, skew = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local shared, each = 4, 4

local entries = cmsgpack.unpack(ARGV[1])
local tombstone_ms = tonumber(ARGV[2])

local function flaw()
  if type(entries) ~= 'table' or #KEYS ~= shared + each * #entries then return 'keys and entries differ' end
  if not tombstone_ms or tombstone_ms <= 0 then return 'no tombstone time' end
  for j, e in ipairs(entries) do
    if type(e) ~= 'table' or #e ~= 3 then return 'entry ' .. j .. ' has not 3 fields' end
    for field = 1, 3 do
      if type(e[field]) ~= 'string' then return 'entry ' .. j .. ' field ' .. field .. ' is no text' end
    end
    if e[1] == '' or not string.match(e[2], '^%d+$') then return 'entry ' .. j .. ' has no id or no member' end
    if not string.match(e[3], '^%d*$') then return 'entry ' .. j .. ' has no horizon_ms' end
  end
end

local wrong = flaw()
if wrong then return redis.error_reply('BADBATCH ' .. wrong) end

local now = clock(skew, c)
call('HSET', c, 'clock_ms', whole(now))

local function told(status, counter, id, deadline)
  count(c, counter)
  return {status, id, deadline or ''}
end

-- The session stays known for as long as its last decision can be named.
local function move(id, s, horizon_ms)
  local deadline, ttl = whole(now + horizon_ms), horizon_ms + tombstone_ms
  call('ZADD', due, 'XX', deadline, id)
  if call('EXISTS', s) == 1 and call('PTTL', s) < ttl then call('PEXPIRE', s, whole(ttl)) end
  return deadline
end

local function activate(e, d, r, s, f)
  local id, member, horizon_ms = unpack(e)
  local stored = text_at(d)
  local deadline, mode, deferred, at = parts(stored or '')
  if not call('ZSCORE', due, id) then
    if call('SISMEMBER', f, member) ~= 1 then return told('UNKNOWN', 'act_unknown', id) end
    if deadline and deferred == '' then return told('DUP', 'act_dup', id, deadline) end
    return told('LATE', 'act_late', id)
  end
  if not deadline then return told('UNKNOWN', 'act_unknown', id) end -- the store lost it
  if deferred == '' then return told('DUP', 'act_dup', id, deadline) end
  local payload = string.sub(stored, at)
  if horizon_ms ~= '' then deadline = move(id, s, tonumber(horizon_ms)) end
  call('SET', d, deadline .. mode .. '|' .. payload)
  begin(ex, c, now, mode, id, payload, rewards_at(r))
  return told('OK', 'act', id, deadline)
end

local answers = {}
for j, e in ipairs(entries) do
  local k = shared + each * (j - 1)
  answers[j] = activate(e, KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], KEYS[k + 4])
end
return answers
