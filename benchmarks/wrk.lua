-- What wrk sends: a new session each time, contexts from a small set; and what it prints: one line of JSON.
local threads = 0
function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

local n = 0
local devices = { "ios", "android", "web" }
local countries = { "de", "fr", "it", "se", "pl" }
local referrers = { "search", "mail", "friend", "none" }

function init(args)
  run = args[1] or "0"
  headers = { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. (args[2] or "") }
  local pause = tonumber(args[3] or "0")
  if pause > 0 then -- wrk asks before each request, in whole milliseconds, if there is such a function
    delay = function() return math.floor(pause * 2 * math.random() + 0.5) end
  end
end

-- Half of the shoppers are customers who sign in; each context has seven features of its own.
function request()
  n = n + 1
  local unit = (n % 2 == 0) and string.format('"unit_id":"u-%03d",', n % 101) or ""
  local body = string.format(
    '{"session_id":"b%s-%d-%d",%s"context":{"device":"%s","hour":%d,"returning":%s,"basket":%d,"visits":%d,"country":"%s","referrer":"%s"}}',
    run, id, n, unit, devices[n % 3 + 1], n % 24, (n % 2 == 0) and "true" or "false", n % 7, n % 11,
    countries[n % 5 + 1], referrers[n % 4 + 1])
  return wrk.format("POST", "/v1/recommendations", headers, body)
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'JSON{"requests":%d,"duration_s":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"not_2xx":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.status, e.connect + e.read + e.write + e.timeout))
end
