-- Save a changed record if nobody changed it since and the work is still ours; move its work.
-- KEYS  1 call hash, 2 calls set, 3 messages set, 4 active index, 5 trace list
-- ARGV  1 key prefix, 2 call id, 3 now ms ('' = server time), 4 expected revision,
--       5 work held ('' = none), 6 its epoch, 7 document, 8 ttl ms, 9 lease ms,
--       10 number of notes, then the notes, then operations of three fields each:
--         lease S work   work of set S (2 or 3) begins, leased to the caller
--         S ms work      work of set S is due at that time
--         drop S work    work of set S is done
--         alias id -     one more id of this call
--         over - -       the call is no longer active
-- RETURN {1, now ms, revision, epochs of leased works ...}  saved (also if repeated)
--        {0, now ms, revision, doc}                         changed by somebody since
--        {-1, now ms}                                       unknown call
--        {-2, now ms}                                       fenced: the work was taken over
local prefix, id = ARGV[1], ARGV[2]
local now = tonumber(ARGV[3])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local known = redis.call('HMGET', KEYS[1], 'rev', 'doc')
if not known[1] then
  return {-1, now}
end
local rev, expected = tonumber(known[1]), tonumber(ARGV[4])
if ARGV[5] ~= '' and redis.call('HGET', KEYS[1], 'ep:' .. ARGV[5]) ~= ARGV[6] then
  return {-2, now}
end
local repeated = rev == expected + 1 and known[2] == ARGV[7]
if rev ~= expected and not repeated then
  return {0, now, rev, known[2]}
end

local ttl, notes = tonumber(ARGV[8]), tonumber(ARGV[10])
local answer = {1, now, expected + 1}
local first = 11 + notes
if repeated then
  for i = first, #ARGV, 3 do
    if ARGV[i] == 'lease' then
      answer[#answer + 1] = tonumber(redis.call('HGET', KEYS[1], 'ep:' .. ARGV[i + 2]))
    end
  end
  return answer
end

redis.call('HSET', KEYS[1], 'rev', expected + 1, 'doc', ARGV[7])
redis.call('PEXPIRE', KEYS[1], ttl)
for i = 11, first - 1 do
  redis.call('RPUSH', KEYS[5], ARGV[i])
end
redis.call('PEXPIRE', KEYS[5], ttl)
for i = first, #ARGV, 3 do
  local op, where, what = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if op == 'lease' then
    answer[#answer + 1] = redis.call('HINCRBY', KEYS[1], 'ep:' .. what, 1)
    redis.call('ZADD', KEYS[tonumber(where)], now + tonumber(ARGV[9]), id .. '|' .. what)
  elseif op == 'drop' then
    redis.call('ZREM', KEYS[tonumber(where)], id .. '|' .. what)
  elseif op == 'alias' then
    redis.call('SET', prefix .. 'alias:' .. where, id, 'PX', ttl)
  elseif op == 'over' then
    redis.call('ZREM', KEYS[4], id)
  else
    redis.call('ZADD', KEYS[tonumber(op)], where, id .. '|' .. what)
  end
end
return answer
