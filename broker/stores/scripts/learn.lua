-- Keep whom a number leads to by a reference that was typed in a call. Two customers lead nowhere.
-- KEYS  1 learned number
-- ARGV  1 JSON: prefix, now (ms), ttl (ms), call (its id), number (hash),
--               customer (hash; absent if the call itself contradicts)
--       2 document
-- RETURN 1 kept
--        0 not: different customers' references came from this number, or the call was erased
local p = cjson.decode(ARGV[1])
local people = redis.call('HGET', p.prefix .. 'call:' .. p.call, 'people')
if not people then
  return 0
end
local known = redis.call('HGET', KEYS[1], 'doc')
if known == '' and p.customer then
  return 0
end
for person in string.gmatch(redis.call('HGET', KEYS[1], 'people') or '', '%S+') do
  redis.call('ZREM', p.prefix .. 'person:' .. person, 'learned:' .. p.number)
end
if not p.customer or (known and cjson.decode(known).customer ~= p.customer) then
  redis.call('HSET', KEYS[1], 'doc', '', 'people', '')
  redis.call('PEXPIRE', KEYS[1], p.ttl)
  return 0
end
redis.call('HSET', KEYS[1], 'doc', ARGV[2], 'people', people)
redis.call('PEXPIRE', KEYS[1], p.ttl)
for person in string.gmatch(people, '%S+') do
  local index = p.prefix .. 'person:' .. person
  redis.call('ZREMRANGEBYSCORE', index, '-inf', p.now)
  redis.call('ZADD', index, p.now + p.ttl, 'learned:' .. p.number)
  local last = redis.call('ZREVRANGE', index, 0, 0, 'WITHSCORES')
  redis.call('PEXPIRE', index, tonumber(last[2]) - p.now)
end
return 1
