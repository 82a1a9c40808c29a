-- Take over whatever is due, of anybody, under a new epoch each; keep the indexes alive and clean.
-- What a newer version of the broker has saved is put off by a lease, for a replica that reads it.
-- KEYS  1 calls set, 2 messages set
-- ARGV  1 JSON: prefix, now (ms; absent = server time), limit (per set), lease (ms), ttl (ms),
--         version (newest that can be read), suspect (tries that make work suspect of killing
--         whoever runs it), suspects (how many of those at most; the others make way for a moment)
-- RETURN {now ms, {call id, work, epoch, tries, revision, doc, nonce}, ...}
--        tries = how often the work was taken over since it was begun or put off
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
    local known = redis.call('HMGET', key, 'rev', 'doc', 'nonce', 'tries:' .. work, 'ep:' .. work)
    local suspect = tonumber(known[4] or 0) + 1 >= p.suspect
    local version = known[2] and tonumber(string.match(known[2], '^{"v":(%d+),')) or 0
    if not known[2] then
      redis.call('ZREM', KEYS[s], member)
    elseif version > p.version then
      redis.call('ZADD', KEYS[s], now + p.lease, member)
    elseif suspect and p.suspects == 0 then
      redis.call('ZADD', KEYS[s], now + p.lease / 10, member)
    else
      p.suspects = p.suspects - (suspect and 1 or 0)
      -- By the time, so that no store that forgets this claim gives its epoch away again.
      local before = tonumber(known[5] or 0)
      local epoch, tries = math.max(before + 1, now), 0
      redis.call('HSET', key, 'ep:' .. work, string.format('%.0f', epoch))
      if before > 0 then
        tries = redis.call('HINCRBY', key, 'tries:' .. work, 1)
      end
      redis.call('ZADD', KEYS[s], now + p.lease, member)
      answer[#answer + 1] = {id, work, epoch, tries, tonumber(known[1]), known[2], known[3]}
    end
  end
end
for _, name in ipairs({'due:calls', 'due:messages', 'active', 'dead:calls', 'dead:messages'}) do
  redis.call('PEXPIRE', p.prefix .. name, p.ttl)
  if string.sub(name, 1, 5) == 'dead:' then
    redis.call('ZREMRANGEBYSCORE', p.prefix .. name, '-inf', now - p.ttl)
  end
end
return answer
