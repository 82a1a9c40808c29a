-- Bring a record back that the store has lost, or holds in an older state, from who works on it.
-- Whatever else the call needs is due for a takeover, under an epoch that nobody can hold.
-- KEYS  1 call hash
-- ARGV  1 JSON: prefix, id, now (ms; absent = server time), nonce, revision, work and epoch (what
--         is held), ttl, lease (ms), works [[set, work, due ms or 0], ...], aliases,
--         received (ms since the epoch), over, people (hashes of whose data it holds), idle (ms)
--       2 document
-- RETURN {1, now ms}                           the store is as far as this record now, or further
--        {-1, now ms}                          erased: nothing is kept of this call any more
--        {-2, now ms}                          the work was taken over, or the call accepted anew
local p = cjson.decode(ARGV[1])
local id = p.id
local now = p.now
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
if redis.call('EXISTS', p.prefix .. 'erased:' .. id) == 1 then
  return {-1, now}
end
local known = redis.call('HMGET', KEYS[1], 'rev', 'nonce', 'ep:' .. p.work)
if known[2] and known[2] ~= p.nonce or tonumber(known[3] or 0) > p.epoch then
  return {-2, now}
end

redis.call('HSET', KEYS[1], 'ep:' .. p.work, p.epoch)
local older = tonumber(known[1] or 0) < p.revision
for _, item in ipairs(p.works) do
  local set, member = p.prefix .. 'due:' .. item[1], id .. '|' .. item[2]
  if item[2] == p.work then
    redis.call('ZADD', set, now + p.lease, member)
  elseif older then
    redis.call('ZADD', set, item[3] > 0 and item[3] or now, member)
    redis.call('HSET', KEYS[1], 'ep:' .. item[2], string.format('%.0f', now))
  end
end
if older then
  redis.call('HSET', KEYS[1], 'nonce', p.nonce, 'rev', p.revision, 'doc', ARGV[2],
    'people', table.concat(p.people, ' '))
  for _, person in ipairs(p.people) do
    local index = p.prefix .. 'person:' .. person
    redis.call('ZADD', index, math.max(now, p.idle) + p.ttl, 'call:' .. id)
    local last = redis.call('ZREVRANGE', index, 0, 0, 'WITHSCORES')
    redis.call('PEXPIRE', index, tonumber(last[2]) - now)
  end
  for _, alias in ipairs(p.aliases) do
    redis.call('SET', p.prefix .. 'alias:' .. alias, id, 'PX', p.ttl, 'NX')
  end
  if p.over then
    redis.call('ZREM', p.prefix .. 'active', id)
  else
    redis.call('ZADD', p.prefix .. 'active', p.received, id)
  end
end
redis.call('PEXPIRE', KEYS[1], p.ttl)
return {1, now}
