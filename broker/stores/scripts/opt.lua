-- Keep that people want no messages, or that they want them again.
-- KEYS  one per person
-- ARGV  1 when (ms since the epoch), or '' if they want them again
--       2 ttl (ms)
-- RETURN number of keys set or deleted
if ARGV[1] == '' then
  return redis.call('DEL', unpack(KEYS))
end
for _, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
end
return #KEYS
