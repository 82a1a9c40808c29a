-- Forget calls, links, consents, learned numbers and counters of one person, but not that he wants no messages.
-- A tombstone keeps each call from being written back.
-- KEYS  1 person index
-- ARGV  1 JSON: prefix, person (hash), ttl (of the tombstones, ms), limit (members per run)
-- RETURN {members left, calls erased, links erased}
local p = cjson.decode(ARGV[1])
local calls, links = 0, 0

local function disown(people, member)
  for person in string.gmatch(people or '', '%S+') do
    redis.call('ZREM', p.prefix .. 'person:' .. person, member)
    redis.call('DEL', p.prefix .. 'limit:caller:' .. person, p.prefix .. 'line:' .. person)
  end
end

-- Of the consents of somebody with this call only those that were given in it.
local function forget_consents(people, id)
  local named = '"call_id":"' .. id .. '"'
  for person in string.gmatch(people or '', '%S+') do
    local given = p.prefix .. 'consents:' .. person
    for _, line in ipairs(redis.call('ZRANGE', given, 0, -1)) do
      if string.find(line, named, 1, true) then
        redis.call('ZREM', given, line)
      end
    end
    if redis.call('EXISTS', given) == 0 then
      redis.call('ZREM', p.prefix .. 'consents', person)
    end
  end
end

local function erase_call(id)
  local key, fields, ids, works = p.prefix .. 'call:' .. id, {}, {id}, {'idle'}
  local flat = redis.call('HGETALL', key)
  for i = 1, #flat, 2 do
    fields[flat[i]] = flat[i + 1]
    works[#works + 1] = string.match(flat[i], '^ep:(.+)$')
  end
  -- Of a record that nobody can read, the other ids are not known and end by themselves.
  pcall(function()
    local doc = cjson.decode(fields['doc'])
    for _, alias in ipairs(doc.aliases) do
      ids[#ids + 1] = alias
    end
    for _, message in ipairs(doc.messages) do
      works[#works + 1] = 'message:' .. message.purpose
    end
  end)
  for _, one in ipairs(ids) do
    redis.call('SET', p.prefix .. 'erased:' .. one, '1', 'PX', p.ttl)
    redis.call('DEL', p.prefix .. 'alias:' .. one)
  end
  for _, work in ipairs(works) do
    for _, set in ipairs({'due:calls', 'due:messages', 'dead:calls', 'dead:messages'}) do
      redis.call('ZREM', p.prefix .. set, id .. '|' .. work)
    end
  end
  redis.call('ZREM', p.prefix .. 'active', id)
  calls = calls + redis.call('DEL', key)
  redis.call('DEL', p.prefix .. 'trace:' .. id)
  disown(fields['people'], 'call:' .. id)
  forget_consents(fields['people'], id)
end

for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, p.limit - 1)) do
  local kind, name = string.match(member, '^(%a+):(.+)$')
  if kind == 'call' then
    erase_call(name)
  elseif kind == 'learned' then
    local key = p.prefix .. 'learned:' .. name
    disown(redis.call('HGET', key, 'people') or '', member)
    redis.call('DEL', key)
  else
    local key = p.prefix .. 'link:' .. name
    disown(redis.call('HGET', key, 'people') or '', member)
    links = links + redis.call('DEL', key)
  end
  redis.call('ZREM', KEYS[1], member)
end
for _, kind in ipairs({'limit:caller:', 'limit:number:', 'consents:', 'seen:', 'deflected:', 'line:',
  'talk:', 'conversation:', 'learned:'}) do
  redis.call('DEL', p.prefix .. kind .. p.person)
end
redis.call('ZREM', p.prefix .. 'consents', p.person)
return {redis.call('ZCARD', KEYS[1]), calls, links}
