-- Count words of one CRM for tiers that nobody mapped; only so many different ones.
-- KEYS  1 hash: word -> how often
-- ARGV  1 different words at most, 2 ttl (ms, begins with the first word), then word, count, ...
-- RETURN 0
local first = redis.call('HLEN', KEYS[1]) == 0
for i = 3, #ARGV, 2 do
  local known = redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1
  if known or redis.call('HLEN', KEYS[1]) < tonumber(ARGV[1]) then
    redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
if first then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
