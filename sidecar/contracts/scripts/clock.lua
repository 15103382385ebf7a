-- Put below the first line of every script: the time of the join, and short words for what several of them do.

-- Milliseconds of the store's clock plus the tests' skew, never less than a script of these keys saw before.
local function clock(skew_key, guard_key)
  local t = redis.call('TIME')
  local now = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(redis.call('GET', skew_key) or '0')
  local seen = redis.call('HGET', guard_key, 'clock_ms') or ''
  local guard = #seen <= 15 and string.match(seen, '^%d+$') -- foreign bytes guard nothing
  return math.max(now, tonumber(guard or '0'))
end

-- Whole numbers as text: Lua would write large ones as 1.7e+12.
local function whole(number)
  return string.format('%.0f', number)
end

-- An entry under the time of the join; or, where a stranger has put one with a later id, behind that one.
local function append(stream, now, ...)
  local added = redis.pcall('XADD', stream, whole(now) .. '-*', ...)
  if type(added) == 'table' then added = redis.call('XADD', stream, '*', ...) end
  return added
end

local function count(counters, field, n)
  redis.call('HINCRBY', counters, field, n or 1)
end

-- Whoever said nothing for ten minutes is taken off a list, which holds name to "milliseconds|…".
local function forget_silent(list, now)
  local listed = redis.call('HGETALL', list)
  for i = 1, #listed, 2 do
    local at = tonumber(string.match(listed[i + 1], '^(%d+)|'))
    if not at or now - at > 600000 then redis.call('HDEL', list, listed[i]) end
  end
end
