-- Keep a new call with its first work, leased to the caller; or return the call that is known.
-- KEYS  1 call hash, 2 calls set, 3 active index, 4 trace list
-- ARGV  1 key prefix, 2 call id, 3 now ms ('' = server time), 4 nonce of this accept, 5 document,
--       6 ttl ms, 7 lease ms, 8 idle due ms, 9 received ms, 10 note ('' = none),
--       11 number of works, then the works, then the other ids of this call (aliases)
-- RETURN {1, now ms}                           kept (also if this very accept is repeated)
--        {0, now ms, owner id, revision, doc}  known already
local prefix, id = ARGV[1], ARGV[2]
local now = tonumber(ARGV[3])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local ttl, works = tonumber(ARGV[6]), tonumber(ARGV[11])

local owner = false
if redis.call('EXISTS', KEYS[1]) == 1 then
  owner = id
else
  owner = redis.call('GET', prefix .. 'alias:' .. id)
  for i = 12 + works, #ARGV do
    owner = owner or redis.call('GET', prefix .. 'alias:' .. ARGV[i])
  end
end
if owner then
  local known = redis.call('HMGET', prefix .. 'call:' .. owner, 'nonce', 'rev', 'doc')
  if known[3] then
    if known[1] == ARGV[4] then
      return {1, now}
    end
    if owner ~= id then
      redis.call('SET', prefix .. 'alias:' .. id, owner, 'PX', ttl)
    end
    return {0, now, owner, tonumber(known[2]), known[3]}
  end
end

redis.call('HSET', KEYS[1], 'nonce', ARGV[4], 'rev', 1, 'doc', ARGV[5])
for i = 12, 11 + works do
  redis.call('HSET', KEYS[1], 'ep:' .. ARGV[i], 1)
  redis.call('ZADD', KEYS[2], now + tonumber(ARGV[7]), id .. '|' .. ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], ttl)
redis.call('ZADD', KEYS[2], ARGV[8], id .. '|idle')
redis.call('ZADD', KEYS[3], ARGV[9], id)
for i = 12 + works, #ARGV do
  redis.call('SET', prefix .. 'alias:' .. ARGV[i], id, 'PX', ttl, 'NX')
end
if ARGV[10] ~= '' then
  redis.call('RPUSH', KEYS[4], ARGV[10])
  redis.call('PEXPIRE', KEYS[4], ttl)
end
return {1, now}
