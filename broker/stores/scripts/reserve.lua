-- Count one in every counter, or in none if any is used up.
-- KEYS  the counters
-- ARGV  per counter: most, window ms (begins with its first count)
-- RETURN 0, or the 1-based index of the counter that is used up
for i = 1, #KEYS do
  if tonumber(redis.call('GET', KEYS[i]) or '0') >= tonumber(ARGV[2 * i - 1]) then
    return i
  end
end
for i = 1, #KEYS do
  if redis.call('INCR', KEYS[i]) == 1 then
    redis.call('PEXPIRE', KEYS[i], ARGV[2 * i])
  end
end
return 0
