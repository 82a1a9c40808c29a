-- For wrk: a call-start per request, with ids and a caller number nobody used before.
-- RUN: hex digits that make this run's ids its own. HEADERS: further headers, "name: value|...".
local run = os.getenv("RUN")
local count = 0

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
for name, value in os.getenv("HEADERS"):gmatch("([^:|]+): ([^|]+)") do
  wrk.headers[name] = value
end

local body = '{"call_id":"%s%08x","session_id":"%s%08x","from":"+49151%08d","to":"+4930123456"}'

function request()
  count = count + 1
  local number = (tonumber(run:sub(1, 6), 16) * 7919 + count) % 100000000
  return wrk.format(nil, nil, nil, body:format(run, count, run, count, number))
end
