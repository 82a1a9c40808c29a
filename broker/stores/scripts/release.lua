-- Give a lock back, if it still is the caller's.
-- KEYS  1 lock
-- ARGV  1 owner
-- RETURN 1 given back, 0 it was somebody else's or had run out
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
