-- Take over whatever is due, of anybody, under a new epoch each.
-- KEYS  1 calls set, 2 messages set
-- ARGV  1 JSON: prefix, now (ms; absent = server time), limit (per set), lease (ms)
-- RETURN {now ms, {call id, work, epoch, revision, doc}, ...}
local p = cjson.decode(ARGV[1])
local now = p.now
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local answer = {now}
for s = 1, 2 do
  local due = redis.call('ZRANGEBYSCORE', KEYS[s], '-inf', now, 'LIMIT', 0, p.limit)
  for _, member in ipairs(due) do
    local bar = string.find(member, '|', 1, true)
    local id, work = string.sub(member, 1, bar - 1), string.sub(member, bar + 1)
    local key = p.prefix .. 'call:' .. id
    local known = redis.call('HMGET', key, 'rev', 'doc')
    if known[2] then
      local epoch = redis.call('HINCRBY', key, 'ep:' .. work, 1)
      redis.call('ZADD', KEYS[s], now + p.lease, member)
      answer[#answer + 1] = {id, work, epoch, tonumber(known[1]), known[2]}
    else
      redis.call('ZREM', KEYS[s], member)
    end
  end
end
return answer
