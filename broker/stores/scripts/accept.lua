-- Keep a new call with its first work, leased to the caller; or return the call that is known.
-- KEYS  1 call hash
-- ARGV  1 JSON: prefix, id, now (ms; absent = server time), nonce (of this accept), ttl, lease (ms),
--         idle, received (ms since the epoch), works [[set, work], ...], live (whether it is a call
--         that goes on), aliases (other ids), notes (lines), people (hashes of whose data it holds)
--       2 document
-- RETURN {1, now ms}                           kept (also if this very accept is repeated)
--        {0, now ms, owner id, revision, doc}  known already
--        {-1, now ms}                          erased: nothing is kept of this call any more
local p, id = cjson.decode(ARGV[1]), nil
id = p.id
local now = p.now
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end

local owner = false
if redis.call('EXISTS', KEYS[1]) == 1 then
  owner = id
else
  owner = redis.call('GET', p.prefix .. 'alias:' .. id)
  for _, alias in ipairs(p.aliases) do
    owner = owner or redis.call('GET', p.prefix .. 'alias:' .. alias)
  end
end
if owner then
  local known = redis.call('HMGET', p.prefix .. 'call:' .. owner, 'nonce', 'rev', 'doc')
  if known[3] then
    if known[1] == p.nonce then
      return {1, now}
    end
    if owner ~= id then
      redis.call('SET', p.prefix .. 'alias:' .. id, owner, 'PX', p.ttl)
    end
    return {0, now, owner, tonumber(known[2]), known[3]}
  end
end

local erased = redis.call('EXISTS', p.prefix .. 'erased:' .. (owner or id))
for _, alias in ipairs(p.aliases) do
  erased = erased + redis.call('EXISTS', p.prefix .. 'erased:' .. alias)
end
if erased > 0 or redis.call('EXISTS', p.prefix .. 'erased:' .. id) == 1 then
  return {-1, now}
end

local trace = p.prefix .. 'trace:' .. id
redis.call('HSET', KEYS[1], 'nonce', p.nonce, 'rev', 1, 'doc', ARGV[2],
  'people', table.concat(p.people, ' '))
for _, item in ipairs(p.works) do
  redis.call('HSET', KEYS[1], 'ep:' .. item[2], 1)
  redis.call('ZADD', p.prefix .. 'due:' .. item[1], now + p.lease, id .. '|' .. item[2])
end
redis.call('PEXPIRE', KEYS[1], p.ttl)
if p.live then
  redis.call('ZADD', p.prefix .. 'due:calls', p.idle, id .. '|idle')
  redis.call('ZADD', p.prefix .. 'active', p.received, id)
end
for _, alias in ipairs(p.aliases) do
  redis.call('SET', p.prefix .. 'alias:' .. alias, id, 'PX', p.ttl, 'NX')
end
for _, person in ipairs(p.people) do
  local index = p.prefix .. 'person:' .. person
  redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
  redis.call('ZADD', index, math.max(now, p.idle) + p.ttl, 'call:' .. id)
  local last = redis.call('ZREVRANGE', index, 0, 0, 'WITHSCORES')
  redis.call('PEXPIRE', index, tonumber(last[2]) - now)
end
for _, note in ipairs(p.notes) do
  redis.call('RPUSH', trace, note)
  redis.call('PEXPIRE', trace, p.ttl)
end
return {1, now}
