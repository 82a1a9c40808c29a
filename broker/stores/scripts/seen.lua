-- Note a call of a person, and tell what was before it.
-- KEYS  1 his latest call, 2 his latest deflected call
-- ARGV  1 call id, 2 window (ms)
-- RETURN {1 if he had not called within the window else 0, 1 if deflected in another call else 0}
local last = redis.call('GET', KEYS[1])
local first = last and 0 or 1
if last and string.sub(last, 3) == ARGV[1] then
  first = tonumber(string.sub(last, 1, 1))
end
redis.call('SET', KEYS[1], first .. '|' .. ARGV[1], 'PX', ARGV[2])
local deflected = redis.call('GET', KEYS[2])
return {first, deflected and deflected ~= ARGV[1] and 1 or 0}
