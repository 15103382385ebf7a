#!lua
-- sums: what arms earned, of one file of the log, is added to the sums of its parts of time; once.
--
-- For people: refused at the memory limit, and then missing.
--
-- KEYS counted sums...
-- ARGV partition, position (of the file's last row), others (the field of the rest), and for each of the sums:
--      milliseconds that it is kept, most fields, {field, numbers}... packed; numbers are doubles, least byte
--      first

local counted = KEYS[1]
local partition, position, others = ARGV[1], ARGV[2], ARGV[3]

local function parts(id)
  local ms, sequence = string.match(id or '', '^(%d+)-(%d+)$')
  return tonumber(ms) or 0, tonumber(sequence) or 0
end

local function is_after(one, other)
  local ms, sequence = parts(one)
  local other_ms, other_sequence = parts(other)
  return ms > other_ms or ms == other_ms and sequence > other_sequence
end

local function numbers_in(bytes)
  return { struct.unpack('<' .. string.rep('d', math.floor(#bytes / 8)), bytes) } -- and where it ended
end

local function added(before, more)
  if not before or #before % 8 > 0 then return more end
  local old, new, count = numbers_in(before), numbers_in(more), math.max(#before, #more) / 8
  for place = 1, count do
    new[place] = (place * 8 <= #more and new[place] or 0) + (place * 8 <= #before and old[place] or 0)
  end
  return struct.pack('<' .. string.rep('d', count), unpack(new, 1, count))
end

if not is_after(position, call('HGET', counted, partition) or '') then return 'KNOWN' end
for place = 2, #KEYS do
  local key, fields, at = KEYS[place], call('HLEN', KEYS[place]), 3 * place - 2
  local most = tonumber(ARGV[at + 1])
  for _, entry in ipairs(cmsgpack.unpack(ARGV[at + 2])) do
    local field, before = entry[1], call('HGET', key, entry[1])
    if not before and fields >= most then
      field, before = others, call('HGET', key, others)
    end
    if not before then fields = fields + 1 end
    call('HSET', key, field, added(before, entry[2]))
  end
  call('PEXPIRE', key, ARGV[at])
end
call('HSET', counted, partition, position)
return 'OK'
