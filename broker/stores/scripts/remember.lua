-- Keep what a CRM said of a number, unless it was asked before somebody was forgotten whom it
-- names, or is older than what is kept.
-- KEYS  1 entry
-- ARGV  1 JSON: prefix, now (ms; absent = server time), crm, entry (hash of the number), asked and
--         ttl (ms), forgotten (ms, how long that is known), labels (hashes by which the entry can
--         be found: people, and ids of customers)
--       2 document
-- RETURN 1 kept, 0 not
local p = cjson.decode(ARGV[1])
local now = p.now
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
if now - p.asked >= p.forgotten then
  return 0
end
for _, label in ipairs(p.labels) do
  for _, whose in ipairs({label, p.crm .. ':' .. label}) do
    if tonumber(redis.call('GET', p.prefix .. 'forgotten:' .. whose) or -1) >= p.asked then
      return 0
    end
  end
end
local known = redis.call('HMGET', KEYS[1], 'asked', 'labels')
if tonumber(known[1] or 0) > p.asked then
  return 0
end

local member = p.crm .. ':' .. p.entry
for label in string.gmatch(known[2] or '', '%S+') do
  redis.call('ZREM', p.prefix .. 'cached:' .. label, member)
end
redis.call('HSET', KEYS[1], 'doc', ARGV[2], 'asked', string.format('%.0f', p.asked),
  'labels', table.concat(p.labels, ' '))
redis.call('PEXPIRE', KEYS[1], p.ttl)
for _, label in ipairs(p.labels) do
  local index = p.prefix .. 'cached:' .. label
  redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
  redis.call('ZADD', index, now + p.ttl, member)
  local last = redis.call('ZREVRANGE', index, 0, 0, 'WITHSCORES')
  redis.call('PEXPIRE', index, tonumber(last[2]) - now)
end
return 1
