#!lua flags=allow-oom
-- heal: throw away what lies under keys of ours and is of another kind: it stops whoever reads, and what was there
-- before is gone with it.
--
-- KEYS the hash in which it is counted, then others
-- ARGV the kind of each
-- Answers the keys that are empty now.

counters = KEYS[1]
if #KEYS ~= #ARGV then return redis.error_reply('BADBATCH keys and kinds differ') end

local emptied = {}
for j, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'none' and kind ~= ARGV[j] then
    redis.call('UNLINK', key)
    count(counters, 'foreign')
    table.insert(emptied, key)
  end
end
return emptied
