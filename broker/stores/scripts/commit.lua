-- Save a changed record if nobody changed it since and the work is still ours; move its work.
-- KEYS  1 call hash
-- ARGV  1 JSON: prefix, id, now (ms; absent = server time), revision (expected), work and epoch
--         (what is held; absent = nothing), nonce (of the accept), by (whoever changes it without
--         holding anything), ttl, lease (ms), notes (lines), and
--         begin  [[set, work], ...]      work begins, leased to the caller
--         due    [[set, work, ms], ...]  work is due at that time
--         drop   [[set, work], ...]      work is done
--         alias  [id, ...]               more ids of this call
--         known  [id, ...]               ids it had, which live on as long as it does; absent = none
--         over   true                    the call is no longer active
--         dead, revived  [[set, work], ...]  became a dead letter, is none any more
--         people [hash, ...]             whose data it holds; absent = as before
--         idle   ms                      with people: when the call ends by itself
--         unless    [key, ...]           nothing is saved if one of them exists
--         counters  [[key, most, window ms (from its first count), by], ...]  nothing is saved
--                                        if one has no room; else all are counted
--         marks     [[key, value, ttl], ...]  kept with it
--         consents  [[person (hash), at ms, line], ...], kept (ms)
--       2 document
-- RETURN {1, now ms, revision, epochs of leased works ...}  saved (also if repeated)
--        {0, now ms, revision, doc}                         changed by somebody since
--        {-1, now ms}                                       unknown call
--        {-2, now ms}                                       fenced: the work was taken over
--        {-3, now ms}                                       the store has lost what we held
--        {-4, now ms, index}                                this key of `unless` exists
--        {-5, now ms, index}                                this counter has no room
local p = cjson.decode(ARGV[1])
local id = p.id
local now = p.now
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end

local known = redis.call('HMGET', KEYS[1], 'rev', 'doc', 'nonce', 'ep:' .. (p.work or ''), 'by')
local rev = tonumber(known[1] or 0)
if p.work then
  local epoch = tonumber(known[4] or 0)
  if known[1] and known[3] ~= p.nonce or epoch > p.epoch then
    return {-2, now}
  elseif epoch < p.epoch or rev < p.revision then
    return {-3, now}
  end
elseif rev == 0 then
  return {-1, now}
end
-- Two who are told the same at once make the same document, but only one of them saves it.
local repeated = rev == p.revision + 1 and known[2] == ARGV[2] and (p.work or known[5] == p.by)
if rev ~= p.revision and not repeated then
  return {0, now, rev, known[2]}
end

local counters = p.counters or {}
if not repeated then
  for i, key in ipairs(p.unless or {}) do
    if redis.call('EXISTS', p.prefix .. key) == 1 then
      return {-4, now, i}
    end
  end
  for i, counter in ipairs(counters) do
    local counted = tonumber(redis.call('GET', p.prefix .. counter[1]) or '0')
    if counted + counter[4] > counter[2] then
      return {-5, now, i}
    end
  end
end

local answer = {1, now, p.revision + 1}
-- Also if repeated: whoever has claimed it since then must not share an epoch with the caller.
for _, item in ipairs(p.begin) do
  answer[#answer + 1] = redis.call('HINCRBY', KEYS[1], 'ep:' .. item[2], 1)
  redis.call('ZADD', p.prefix .. 'due:' .. item[1], now + p.lease, id .. '|' .. item[2])
end
if repeated then
  return answer
end

redis.call('HSET', KEYS[1], 'rev', p.revision + 1, 'doc', ARGV[2], 'by', p.by or '')
redis.call('PEXPIRE', KEYS[1], p.ttl)
local trace = p.prefix .. 'trace:' .. id
for _, note in ipairs(p.notes) do
  redis.call('RPUSH', trace, note)
end
redis.call('PEXPIRE', trace, p.ttl)
for _, item in ipairs(p.due) do
  redis.call('ZADD', p.prefix .. 'due:' .. item[1], item[3], id .. '|' .. item[2])
  redis.call('HSET', KEYS[1], 'tries:' .. item[2], -1) -- being claimed then is no crash
end
for _, item in ipairs(p.drop) do
  redis.call('ZREM', p.prefix .. 'due:' .. item[1], id .. '|' .. item[2])
end
for _, alias in ipairs(p.known or {}) do
  redis.call('PEXPIRE', p.prefix .. 'alias:' .. alias, p.ttl)
end
for _, alias in ipairs(p.alias) do
  redis.call('SET', p.prefix .. 'alias:' .. alias, id, 'PX', p.ttl)
end
if p.people then
  redis.call('HSET', KEYS[1], 'people', table.concat(p.people, ' '))
  for _, person in ipairs(p.people) do
    local index = p.prefix .. 'person:' .. person
    redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
    redis.call('ZADD', index, math.max(now, p.idle) + p.ttl, 'call:' .. id)
    local last = redis.call('ZREVRANGE', index, 0, 0, 'WITHSCORES')
    redis.call('PEXPIRE', index, tonumber(last[2]) - now)
  end
end
if p.over then
  redis.call('ZREM', p.prefix .. 'active', id)
end
for _, item in ipairs(p.dead) do
  redis.call('ZADD', p.prefix .. 'dead:' .. item[1], now, id .. '|' .. item[2])
end
for _, item in ipairs(p.revived) do
  redis.call('ZREM', p.prefix .. 'dead:' .. item[1], id .. '|' .. item[2])
end
for _, counter in ipairs(counters) do
  if redis.call('INCRBY', p.prefix .. counter[1], counter[4]) == counter[4] then
    redis.call('PEXPIRE', p.prefix .. counter[1], counter[3])
  end
end
for _, mark in ipairs(p.marks or {}) do
  redis.call('SET', p.prefix .. mark[1], mark[2], 'PX', mark[3])
end
for _, consent in ipairs(p.consents or {}) do
  local person, at = consent[1], consent[2]
  local given, index = p.prefix .. 'consents:' .. person, p.prefix .. 'consents'
  redis.call('ZADD', given, at, consent[3])
  redis.call('ZADD', index, at, person)
  for _, key in ipairs({given, index}) do
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now - p.kept)
    redis.call('PEXPIRE', key, p.kept)
  end
end
return answer
