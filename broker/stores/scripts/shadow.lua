-- Count one comparison with a CRM in shadow mode; keep it in its call's hash if it is telling.
-- KEYS  1 tally hash, 2 list of durations, 3 index of differences, 4 call hash
-- ARGV  1 JSON: now (ms), ttl (of tally and durations, ms), retention (of the index, ms),
--         counted (fields of the tally), ms (how long it took; absent = it failed),
--         times, most (how many durations and differences are kept), member, field
--       2 document, empty if there is nothing to look at
-- RETURN 1 kept, 0 only counted
local p = cjson.decode(ARGV[1])
redis.call('HSETNX', KEYS[1], 'since', p.now)
for _, name in ipairs(p.counted) do
  redis.call('HINCRBY', KEYS[1], name, 1)
end
redis.call('PEXPIRE', KEYS[1], p.ttl)
if p.ms then
  redis.call('LPUSH', KEYS[2], p.ms)
  redis.call('LTRIM', KEYS[2], 0, p.times - 1)
  redis.call('PEXPIRE', KEYS[2], p.ttl)
end
-- A call that was forgotten or erased gets nothing back.
if ARGV[2] == '' or redis.call('EXISTS', KEYS[4]) == 0 then
  return 0
end
redis.call('HSET', KEYS[4], p.field, ARGV[2])
redis.call('ZADD', KEYS[3], p.now, p.member)
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - p.most)
redis.call('PEXPIRE', KEYS[3], p.retention)
return 1
