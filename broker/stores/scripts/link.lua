-- Keep a tracking link, and remember whose it is.
-- KEYS  1 link hash
-- ARGV  1 JSON: prefix, now (ms), ttl (ms), call (its id), token (its hash)
--       2 document
-- RETURN 1 kept
--        0 the call was erased: nothing is kept of it any more
local p = cjson.decode(ARGV[1])
if redis.call('EXISTS', p.prefix .. 'erased:' .. p.call) == 1 then
  return 0
end
local people = redis.call('HGET', p.prefix .. 'call:' .. p.call, 'people') or ''
redis.call('HSET', KEYS[1], 'doc', ARGV[2], 'people', people)
redis.call('PEXPIRE', KEYS[1], p.ttl)
for person in string.gmatch(people, '%S+') do
  local index = p.prefix .. 'person:' .. person
  redis.call('ZREMRANGEBYSCORE', index, '-inf', p.now)
  redis.call('ZADD', index, p.now + p.ttl, 'link:' .. p.token)
  local last = redis.call('ZREVRANGE', index, 0, 0, 'WITHSCORES')
  redis.call('PEXPIRE', index, tonumber(last[2]) - p.now)
end
return 1
