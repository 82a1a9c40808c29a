-- Forget what CRMs said of one person or customer; what was asked for before is not kept any more.
-- KEYS  1 index of the label
-- ARGV  1 JSON: prefix, now (ms; absent = server time), label, crm (only what this one said;
--         absent = all), forgotten (ms, how long that is known), skip and limit (members per run)
-- RETURN {entries forgotten, members to skip in the next run, 1 if there are more}
local p = cjson.decode(ARGV[1])
local now = p.now
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local whose = p.crm and p.crm .. ':' .. p.label or p.label
redis.call('SET', p.prefix .. 'forgotten:' .. whose, string.format('%.0f', now), 'PX', p.forgotten)
local count, skip = 0, p.skip
-- The latest first: what is renewed or ends meanwhile moves nobody out of what is still to come.
local members = redis.call('ZREVRANGE', KEYS[1], skip, skip + p.limit - 1)
for _, member in ipairs(members) do
  if p.crm and string.match(member, '^(.*):') ~= p.crm then
    skip = skip + 1
  else
    local entry = p.prefix .. 'cache:' .. member
    for label in string.gmatch(redis.call('HGET', entry, 'labels') or p.label, '%S+') do
      redis.call('ZREM', p.prefix .. 'cached:' .. label, member)
    end
    redis.call('ZREM', KEYS[1], member)
    count = count + redis.call('DEL', entry)
  end
end
return {count, skip, #members == p.limit and 1 or 0}
