-- What wrk sends for tests/load, and one line of figures at the end.

wrk.method = "POST"
wrk.body = os.getenv("ORDER")
wrk.headers["Authorization"] = "Bearer " .. os.getenv("TOKEN")
wrk.headers["Content-Type"] = "application/json"

-- With IDS=1 each order has a client_order_id of its own, which grows with time.
if os.getenv("IDS") == "1" then
    local begun, sent = os.time(), 0
    local rest = wrk.body:sub(1, -2) .. ',"client_order_id":"'
    request = function()
        sent = sent + 1
        return wrk.format(nil, nil, nil, string.format('%s%d-%09d"}', rest, begun, sent))
    end
end

done = function(summary, latency)
    local broken = summary.errors
    local refused = broken.status + broken.connect + broken.read + broken.write + broken.timeout
    print(string.format("measured %d %d %d %d %d", summary.requests, refused, summary.duration,
        latency:percentile(50), latency:percentile(99)))
end
