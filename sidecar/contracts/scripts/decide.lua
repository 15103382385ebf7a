#!lua
-- decide: log a batch of decisions of one partition, each at most once; one status a decision.
--
-- KEYS due orph ex c skew, then for each decision: d r s f
-- ARGV packed, most decisions that may be pending, tombstone_ms
-- packed is msgpack: [[id, client key, digest, arm, horizon_ms, tombstone member, payload, flags], ...], all raw
--   text. Flags: '-' for a decision that is not to be logged, else its mode ('' = wait, a = assume, e = earliest)
--   and 'd' when it is deferred until its activation. They are part of what is stored: a decision keeps its mode.
--   An entry may go on: [..., sticky key or '', window_ms, arm, arm, ...]. Within its window the session's decision
--   of that key is the answer; the arms are those by which rewards by session find it.
-- Answers for each that was logged now: "deadline_ms|decision id", as one text. For the others: status, decision id,
--   "deadline_ms<flags>|payload" ("" when not at hand).

local due, orph, ex, c, skew = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local shared, each = 5, 4

local entries = cmsgpack.unpack(ARGV[1])
local cap, tombstone_ms = tonumber(ARGV[2]), tonumber(ARGV[3])

-- The whole batch is checked before the first write, so that a bad one leaves nothing behind.
local function flaw()
  if type(entries) ~= 'table' or #KEYS ~= shared + each * #entries then return 'keys and entries differ' end
  if not cap or not tombstone_ms or tombstone_ms <= 0 then return 'no cap or no tombstone time' end
  for j, e in ipairs(entries) do
    if type(e) ~= 'table' or #e < 8 or #e == 9 then return 'entry ' .. j .. ' has not 8 fields' end
    for field = 1, #e do
      if type(e[field]) ~= 'string' then return 'entry ' .. j .. ' field ' .. field .. ' is no text' end
    end
    if not string.match(e[8], '^[ae]?d?$') and e[8] ~= '-' then return 'entry ' .. j .. ' has odd flags' end
    if e[1] == '' or (e[7] == '' and e[8] ~= '-') then return 'entry ' .. j .. ' has no id or no payload' end
    if not string.match(e[5], '^%d+$') then return 'entry ' .. j .. ' has no horizon_ms' end
    if not string.match(e[6], '^%d+$') then return 'entry ' .. j .. ' has no tombstone member' end
    if e[10] and not string.match(e[10], '^%d+$') then return 'entry ' .. j .. ' has no window_ms' end
  end
end

local wrong = flaw()
if wrong then return redis.error_reply('BADBATCH ' .. wrong) end

local now = clock(skew, c)
call('HSET', c, 'clock_ms', whole(now))

-- What the batch adds is written at its end, a command a kind of key: a command each costs more than all the rest.
local ids, texts, ends = {}, {}, {} -- its new ids; their keys and texts; their deadlines and ids
local text_of = {} -- id to text, of the new ones

local asked, tombs = {}, {} -- all ids, and where each would lie when it was finalised
for j, e in ipairs(entries) do asked[j], tombs[j] = e[1], KEYS[shared + each * j] end

local pending = {} -- whether an id waits for its horizon's end, of those that were asked for
local any_tomb = false -- mostly none of their minutes has one yet, and then nobody looks for theirs
for from = 1, #asked, 1000 do -- Lua hands over some thousands of arguments at most
  local last = math.min(from + 999, #asked)
  for j, score in ipairs(call('ZMSCORE', due, unpack(asked, from, last))) do
    pending[asked[from + j - 1]] = score and true
  end
  any_tomb = any_tomb or redis.call('EXISTS', unpack(tombs, from, last)) > 0
end

local function is_pending(id)
  if pending[id] == nil then pending[id] = call('ZSCORE', due, id) and true end
  return pending[id]
end

local horizon, deadline, stays_ms -- of the decision before, as texts: mostly all have the same horizon
local function look_ahead(horizon_ms)
  local ms = tonumber(horizon_ms)
  horizon, deadline, stays_ms = horizon_ms, whole(now + ms), whole(ms + tombstone_ms)
end

local function seen(status, id, stored)
  count(c, 'dec_dup')
  return {status, id, stored or ''}
end

-- The session has this client's key already: the same request again, or another one under its name.
local function known(session, client_key, digest)
  local prior = client_key ~= '' and call('HGET', session, 'k:' .. client_key)
  if not prior then return nil end
  local id, its_digest = string.match(prior, '^([^|]*)|(.*)$')
  if not ours(id) then return nil end -- foreign bytes
  if its_digest ~= digest then
    count(c, 'dec_conflict')
    return {'CONFLICT', id, ''}
  end
  return seen(is_pending(id) and 'DUP' or 'FIN', id, text_of[id])
end

-- The session was given a decision of this kind just now, and keeps it.
local function kept(session, sticky, window_ms)
  local prior = sticky and sticky ~= '' and call('HGET', session, 't:' .. sticky)
  if not prior then return nil end
  local id, at = string.match(prior, '^([^|]*)|(%d+)$')
  if not ours(id) or now - tonumber(at) >= tonumber(window_ms) then return nil end
  return seen(is_pending(id) and 'DUP' or 'FIN', id, text_of[id])
end

-- One more decision of the session, which stays known as long as its last one can be named.
local function remember(session, e)
  local id, client_key, digest, arm = unpack(e, 1, 4)
  local is_new = call('HSET', session, 'last', id, 'd:' .. id, arm) == 2
  if client_key ~= '' then call('HSET', session, 'k:' .. client_key, id .. '|' .. digest) end
  if e[9] and e[9] ~= '' then call('HSET', session, 't:' .. e[9], id .. '|' .. whole(now)) end
  for field = 11, #e do call('HSET', session, 'a:' .. e[field], id) end
  -- Both have the same effect in either order: first the one that is likely to have it.
  local first, other = 'GT', 'NX'
  if is_new then first, other = other, first end
  if call('PEXPIRE', session, stays_ms, first) == 0 then call('PEXPIRE', session, stays_ms, other) end
end

-- Not in the log: a reward by session must not go to the decision before it instead.
local function shed(session, id, status, counter)
  if call('EXISTS', session) == 1 then call('HSET', session, 'last', id) end
  count(c, counter)
  return {status, id, ''}
end

local room -- how many more may be pending

-- To be written with the others.
local function add(id, d, text)
  local n = #ids + 1
  ids[n], text_of[id], pending[id] = id, text, true
  texts[2 * n - 1], texts[2 * n] = d, text
  ends[2 * n - 1], ends[2 * n] = deadline, id
  room = room - 1
end

local function decide(e, d, r, s, f)
  local id, client_key, digest, _, horizon_ms, member, payload, flags = unpack(e, 1, 8)
  if pending[id] then return seen('DUP', id, text_of[id] or text_at(d)) end
  if any_tomb and call('SISMEMBER', f, member) == 1 then return seen('FIN', id, text_at(d)) end
  local repeated = known(s, client_key, digest) or kept(s, e[9], e[10])
  if repeated then return repeated end
  if flags == '-' then return shed(s, id, 'SHED', 'dec_thinned') end
  if room <= 0 then return shed(s, id, 'FULL', 'dec_shed') end
  if horizon_ms ~= horizon then look_ahead(horizon_ms) end
  add(id, d, deadline .. flags .. '|' .. payload)
  remember(s, e)
  local mode, deferred = string.match(flags, '^([ae]?)(d?)$')
  if deferred == '' and mode ~= '' then begin(ex, c, now, mode, id, payload, rewards_at(r)) end
  return deadline .. '|' .. id
end

room = cap - call('ZCARD', due)
local answers = {}
for j, e in ipairs(entries) do
  local k = shared + each * (j - 1)
  answers[j] = decide(e, KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], KEYS[k + 4])
end

for from = 1, #ids, 500 do
  local last = math.min(from + 499, #ids)
  redis.call('MSET', unpack(texts, 2 * from - 1, 2 * last))
  call('ZADD', due, unpack(ends, 2 * from - 1, 2 * last))
  call('ZREM', orph, unpack(ids, from, last)) -- their early rewards lie in r and wait with them from now on
end
if #ids > 0 then count(c, 'dec', #ids) end
return answers
