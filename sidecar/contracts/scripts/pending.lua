-- Put below clock.lua in every script: how a decision is stored, and what is taught of it before its horizon ends.

-- A decision's id of ours, as ids.py makes them, or nil.
local function ours(id)
  return id and (#id == 29 or #id == 30) and string.match(id, '^[0-9a-f][0-9a-f]?%-[0-9a-f]+$')
end

-- A key of a text, or nil where it holds nothing or something else.
local function text_at(key)
  local stored = redis.pcall('GET', key)
  return type(stored) == 'string' and stored or nil
end

-- The rewards at a key as the flat list [key, record, ...].
local function rewards_at(key)
  return call('HGETALL', key)
end

-- Deadline, mode ('' = wait, a = assume, e = earliest), 'd' while deferred, and where the payload begins; nil
-- when these bytes are no decision.
local function parts(stored)
  return string.match(stored, '^(%d+)([ae]?)(d?)|()')
end

-- An entry for the trainer: A assumes the default, C corrects by reward `key`, E is the one training effect of
-- the first rewards. The row follows at the horizon. `rewards` is the flat list of all that there are.
local function teach(ex, c, now, kind, id, payload, rewards, key)
  local fields = {'k', kind, 'i', id, 'd', payload}
  if rewards then fields[7], fields[8] = 'r', cmsgpack.pack(rewards) end
  if key then fields[9], fields[10] = 'n', key end
  append(ex, now, unpack(fields))
  count(c, kind == 'A' and 'asm' or kind == 'C' and 'comp' or 'early_ex')
end

-- What is taught when a decision begins to count: at once, or at its activation. Rewards may be there already;
-- each is a correction of what was before it, so that the corrections add up whatever the aggregation is.
local function begin(ex, c, now, mode, id, payload, rewards)
  if mode == 'e' and #rewards > 0 then teach(ex, c, now, 'E', id, payload, rewards) end
  if mode ~= 'a' then return end
  teach(ex, c, now, 'A', id, payload)
  local known = {}
  for j = 1, #rewards, 2 do
    known[j], known[j + 1] = rewards[j], rewards[j + 1]
    teach(ex, c, now, 'C', id, payload, known, rewards[j])
  end
end
