-- Take one back in every counter that still counts.
-- KEYS  the counters
-- RETURN 0
for i = 1, #KEYS do
  if tonumber(redis.call('GET', KEYS[i]) or '0') > 0 then
    redis.call('DECR', KEYS[i])
  end
end
return 0
