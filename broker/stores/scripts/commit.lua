-- Save a changed record if nobody changed it since and the work is still ours; move its work.
-- KEYS  1 call hash
-- ARGV  1 JSON: prefix, id, now (ms; absent = server time), revision (expected), work and epoch
--         (what is held; absent = nothing), ttl, lease (ms), notes (lines), and
--         lease  [[set, work], ...]      work begins, leased to the caller
--         due    [[set, work, ms], ...]  work is due at that time
--         drop   [[set, work], ...]      work is done
--         alias  [id, ...]               more ids of this call
--         over   true                    the call is no longer active
--       2 document
-- RETURN {1, now ms, revision, epochs of leased works ...}  saved (also if repeated)
--        {0, now ms, revision, doc}                         changed by somebody since
--        {-1, now ms}                                       unknown call
--        {-2, now ms}                                       fenced: the work was taken over
local p = cjson.decode(ARGV[1])
local id = p.id
local now = p.now
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end

local known = redis.call('HMGET', KEYS[1], 'rev', 'doc')
if not known[1] then
  return {-1, now}
end
local rev = tonumber(known[1])
if p.work and tonumber(redis.call('HGET', KEYS[1], 'ep:' .. p.work)) ~= p.epoch then
  return {-2, now}
end
local repeated = rev == p.revision + 1 and known[2] == ARGV[2]
if rev ~= p.revision and not repeated then
  return {0, now, rev, known[2]}
end

local answer = {1, now, p.revision + 1}
if repeated then
  for _, item in ipairs(p.begin) do
    answer[#answer + 1] = tonumber(redis.call('HGET', KEYS[1], 'ep:' .. item[2]))
  end
  return answer
end

redis.call('HSET', KEYS[1], 'rev', p.revision + 1, 'doc', ARGV[2])
redis.call('PEXPIRE', KEYS[1], p.ttl)
local trace = p.prefix .. 'trace:' .. id
for _, note in ipairs(p.notes) do
  redis.call('RPUSH', trace, note)
end
redis.call('PEXPIRE', trace, p.ttl)
for _, item in ipairs(p.begin) do
  answer[#answer + 1] = redis.call('HINCRBY', KEYS[1], 'ep:' .. item[2], 1)
  redis.call('ZADD', p.prefix .. 'due:' .. item[1], now + p.lease, id .. '|' .. item[2])
end
for _, item in ipairs(p.due) do
  redis.call('ZADD', p.prefix .. 'due:' .. item[1], item[3], id .. '|' .. item[2])
end
for _, item in ipairs(p.drop) do
  redis.call('ZREM', p.prefix .. 'due:' .. item[1], id .. '|' .. item[2])
end
for _, alias in ipairs(p.alias) do
  redis.call('SET', p.prefix .. 'alias:' .. alias, id, 'PX', p.ttl)
end
if p.over then
  redis.call('ZREM', p.prefix .. 'active', id)
end
return answer
