-- Take a turn at what may be asked so often, or let nobody take one for a while. A token bucket,
-- kept as the time at which it is full again (GCRA): turns come in the order they were asked for.
-- KEYS  1 when the bucket is full, microseconds since the epoch
-- ARGV  1 now (microseconds; 0 = server time), 2 microseconds per turn, 3 turns that a full bucket
--       holds, 4 how long the caller would wait, 5 pause (0 = take a turn)
-- RETURN microseconds until the turn comes; more than the caller would wait = none was taken
local now = tonumber(ARGV[1])
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000000 + t[2]
end
local each, held, patience, pause = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local wait = 0
if pause > 0 then
  full = math.max(full, now + pause + (held - 1) * each)
else
  wait = math.max(0, math.ceil(full + each - held * each - now))
  if wait > patience then
    return wait
  end
  full = full + each
end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 60000)
return wait
