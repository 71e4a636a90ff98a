"""A route that does nothing, over the Unix socket: what a daemon adds to every call. No peer is at hand that reads peer credentials."""
TITLE = "http: a call of a route that does nothing"


def rows(bench):
    found, out = bench.forge_bench("http"), []
    for key, text in (("kept", "one connection kept"), ("client", "our client, a connection a call")):
        for callers in (1, 16):
            wait, rate = found[f"http.{key}.{callers}"], found[f"http.{key}.rate.{callers}"]
            who = "one caller" if callers == 1 else f"{callers} callers"
            out.append({"name": f"{text}, {who}", "value": wait["median"], "p99": wait["p99"], "unit": "µs", "lower": True, "note": f"median; {rate['value']:,.0f} calls/s"})
    return out
