-- Sends one body again and again to one path, with a new id each time where it says @; prints as wrk.lua does.
local threads = 0
function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

local n = 0

function init(args)
  run, path, body = args[1], args[3], args[4]
  headers = { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. args[2] }
end

function request()
  n = n + 1
  local this = string.gsub(body, "@", string.format("b%s-%d-%d", run, id, n))
  return wrk.format("POST", path, headers, this)
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'JSON{"requests":%d,"duration_s":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"not_2xx":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.status, e.connect + e.read + e.write + e.timeout))
end
