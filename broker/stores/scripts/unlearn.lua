-- Forget whom a number leads to, if it still is what the caller says.
-- KEYS  1 learned number
-- ARGV  1 JSON: prefix, number (hash)
--       2 document
-- RETURN 1 forgotten, 0 something else is known by now, or nothing
local p = cjson.decode(ARGV[1])
if redis.call('HGET', KEYS[1], 'doc') ~= ARGV[2] then
  return 0
end
for person in string.gmatch(redis.call('HGET', KEYS[1], 'people') or '', '%S+') do
  redis.call('ZREM', p.prefix .. 'person:' .. person, 'learned:' .. p.number)
end
return redis.call('DEL', KEYS[1])
