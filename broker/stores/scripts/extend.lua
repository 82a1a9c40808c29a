-- Move the end of leases that are still ours: later to renew them, to now to give them back.
-- KEYS  1 calls set, 2 messages set
-- ARGV  1 key prefix, 2 now ms ('' = server time), 3 ms from now, then per lease:
--       set (1 or 2), call id, work, epoch
-- RETURN {now ms, 1 or 0 per lease}            0 = taken over or done
local prefix = ARGV[1]
local now = tonumber(ARGV[2])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local answer = {now}
for i = 4, #ARGV, 4 do
  local set, id, work = KEYS[tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2]
  local member = id .. '|' .. work
  local ours = redis.call('HGET', prefix .. 'call:' .. id, 'ep:' .. work) == ARGV[i + 3]
  if ours and redis.call('ZSCORE', set, member) then
    redis.call('ZADD', set, now + tonumber(ARGV[3]), member)
    answer[#answer + 1] = 1
  else
    answer[#answer + 1] = 0
  end
end
return answer
