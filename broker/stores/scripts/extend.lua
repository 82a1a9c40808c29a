-- Move the end of leases that are still ours: later to renew them, to now to give them back.
-- KEYS  1 calls set, 2 messages set
-- ARGV  1 JSON: prefix, now (ms; absent = server time), by (ms from now), leases: [[set (1 or 2),
--         call id, work, epoch], ...]
-- RETURN {now ms, 1, 0 or -3 per lease}        0 = taken over or done, -3 = the store has lost it
local p = cjson.decode(ARGV[1])
local now = p.now
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local answer = {now}
for _, lease in ipairs(p.leases) do
  local set, id, work = KEYS[lease[1]], lease[2], lease[3]
  local key, member = p.prefix .. 'call:' .. id, id .. '|' .. work
  local epoch = tonumber(redis.call('HGET', key, 'ep:' .. work) or 0)
  local ends = tonumber(redis.call('ZSCORE', set, member))
  -- What is due later than a lease may last was put off: it is nobody's, and keeps its time.
  if epoch == lease[4] and ends and ends <= now + p.lease then
    redis.call('ZADD', set, now + p.by, member)
    if p.by == 0 then
      redis.call('HINCRBY', key, 'tries:' .. work, -1) -- giving back is no crash
    end
    answer[#answer + 1] = 1
  elseif epoch < lease[4] then
    answer[#answer + 1] = -3
  else
    answer[#answer + 1] = 0
  end
end
return answer
