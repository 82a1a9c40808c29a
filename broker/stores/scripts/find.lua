-- Find a call by its id, or by an alias that leads to it.
-- KEYS  1 call hash of the id, 2 the alias
-- ARGV  1 prefix, 2 "1": most likely it is an alias
-- RETURN {revision, document, nonce}, or nothing
local function call(key)
  local known = redis.call('HMGET', key, 'rev', 'doc', 'nonce')
  return known[2] and known
end

local function owner()
  local id = redis.call('GET', KEYS[2])
  return id and call(ARGV[1] .. 'call:' .. id)
end

if ARGV[2] == '1' then
  return owner() or call(KEYS[1])
end
return call(KEYS[1]) or owner()
