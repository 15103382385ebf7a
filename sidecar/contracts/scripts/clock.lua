-- Put below the first line of every script: commands on keys of ours, the time of the join, and short words.

local counters -- the hash in which these keys' scripts count, once the time was asked for

-- A command on a key of ours. Where it holds another kind of value, nobody can use it, and what was there before
-- is gone: it is thrown away and counted, and the work goes on as if there were nothing.
local function call(command, key, ...)
  local answer = redis.pcall(command, key, ...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  if string.sub(answer.err, 1, 9) ~= 'WRONGTYPE' then error(answer) end
  redis.call('UNLINK', key)
  if counters then call('HINCRBY', counters, 'foreign', 1) end
  return redis.call(command, key, ...)
end

-- Milliseconds of the store's clock plus the tests' skew, never less than a script of these keys saw before.
local function clock(skew_key, guard_key)
  counters = guard_key
  local t = redis.call('TIME')
  local now = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(redis.call('GET', skew_key) or '0')
  local seen = call('HGET', guard_key, 'clock_ms') or ''
  local guard = #seen <= 15 and string.match(seen, '^%d+$') -- foreign bytes guard nothing
  return math.max(now, tonumber(guard or '0'))
end

-- Whole numbers as text: Lua would write large ones as 1.7e+12.
local function whole(number)
  return string.format('%.0f', number)
end

local stamped, stamp

-- An entry under the time of the join; or, where a stranger has put one with a later id, behind that one.
local function append(stream, now, ...)
  if stamped ~= now then stamped, stamp = now, whole(now) .. '-*' end
  local added = redis.pcall('XADD', stream, stamp, ...)
  if type(added) == 'table' then added = call('XADD', stream, '*', ...) end
  return added
end

-- What is no number begins anew: the books will not balance, and say so.
local function count(hash, field, n)
  local counted = redis.pcall('HINCRBY', hash, field, n or 1)
  if type(counted) == 'table' then call('HSET', hash, field, n or 1) end
end

-- Whoever said nothing for ten minutes is taken off a list, which holds name to "milliseconds|…".
local function forget_silent(list, now)
  local listed = redis.call('HGETALL', list)
  for i = 1, #listed, 2 do
    local at = tonumber(string.match(listed[i + 1], '^(%d+)|'))
    if not at or now - at > 600000 then redis.call('HDEL', list, listed[i]) end
  end
end
