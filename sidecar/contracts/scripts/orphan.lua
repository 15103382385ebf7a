#!lua flags=allow-oom
-- orphan: give up waiting for decisions that never came; their rewards are kept as late ones of kind P.
--
-- KEYS due orph late c skew, then r for each decision
-- ARGV the decisions' ids
-- Answers how many rewards were given up.

local due, orph, late, c, skew = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local shared = 5
if #KEYS ~= shared + #ARGV then return redis.error_reply('BADBATCH keys and ids differ') end

local now = clock(skew, c)
call('HSET', c, 'clock_ms', whole(now))

local function give_up(id, r)
  local rewards = rewards_at(r)
  for j = 1, #rewards, 2 do
    append(late, now, 'k', 'P', 'i', id, 'm', rewards[j], 'r', rewards[j + 1])
  end
  call('UNLINK', r)
  count(c, 'rew_orphan', #rewards / 2)
  return #rewards / 2
end

local given_up = 0
for j, id in ipairs(ARGV) do
  local deadline = call('ZSCORE', orph, id)
  if deadline and tonumber(deadline) <= now then
    call('ZREM', orph, id)
    if not call('ZSCORE', due, id) then given_up = given_up + give_up(id, KEYS[shared + j]) end
  end
end
return given_up
