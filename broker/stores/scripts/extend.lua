-- Move the end of leases that are still ours: later to renew them, to now to give them back.
-- KEYS  1 calls set, 2 messages set
-- ARGV  1 JSON: prefix, now (ms; absent = server time), by (ms from now), leases: [[set (1 or 2),
--         call id, work, epoch], ...]
-- RETURN {now ms, 1 or 0 per lease}            0 = taken over or done
local p = cjson.decode(ARGV[1])
local now = p.now
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local answer = {now}
for _, lease in ipairs(p.leases) do
  local set, id, work = KEYS[lease[1]], lease[2], lease[3]
  local member = id .. '|' .. work
  local epoch = tonumber(redis.call('HGET', p.prefix .. 'call:' .. id, 'ep:' .. work))
  local ends = tonumber(redis.call('ZSCORE', set, member))
  -- What is due later than a lease may last was rescheduled: it is nobody's any more.
  if epoch == lease[4] and ends and (p.by == 0 or ends <= now + p.by) then
    redis.call('ZADD', set, now + p.by, member)
    answer[#answer + 1] = 1
  else
    answer[#answer + 1] = 0
  end
end
return answer
