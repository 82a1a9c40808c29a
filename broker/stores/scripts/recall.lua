-- What was kept of a number, and the store's time.
-- KEYS  1 entry
-- ARGV  1 now (ms; 0 = server time)
-- RETURN {now ms, when it was asked for in ms or '', document or ''}
local now = tonumber(ARGV[1])
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local entry = redis.call('HMGET', KEYS[1], 'asked', 'doc')
return {now, entry[1] or '', entry[2] or ''}
