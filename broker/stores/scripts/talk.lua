-- Keep that somebody wrote to us on a channel: free words reach him there for a while.
-- KEYS  one per name that he is known by
-- ARGV  1 channel
--       2 until when (ms since the epoch)
--       3 ttl (ms)
-- RETURN number of keys
for _, key in ipairs(KEYS) do
  redis.call('HSET', key, ARGV[1], ARGV[2])
  redis.call('PEXPIRE', key, ARGV[3])
end
return #KEYS
