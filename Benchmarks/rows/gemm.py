"""Matrix products at training and serving shapes, as shares of what this machine's registers or memory allow in the same run."""

import subprocess
import sys

TITLE = "matrix products: share of what registers or memory allow"


def rows(bench):
    found = bench.forge_bench("gemm")
    bandwidth = found.pop("read.memory")
    out = [{"name": "reading memory", "value": bandwidth["value"], "unit": "GB/s"}]
    for key, row in found.items():
        _, kind, shape = key.split(".")
        rows_at_once = int(shape.split("x")[0])
        limit = {"name": "registers" if row["limit"] == row["peak"] else "memory", "value": row["limit"]}
        note = {"name": f"{kind} {shape}", "value": row["median"], "unit": "GOP/s", "peer": limit,
                "target": 0.85 if rows_at_once <= 16 else 0.9 if kind in ("f32", "bf16") else 0.6}
        out.append(note)
    return out + beside_a_neighbour(bench)


def beside_a_neighbour(bench):
    """All threads against one while another program keeps a processor busy: a thread that is not run must not hold up the other."""
    neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        found = list(bench.forge_bench("neighbour").values())
    finally:
        neighbour.kill()
        neighbour.wait()
    if len(found) < 2:
        return []
    one, all_threads = found
    return [{"name": "q8, 1 row, all threads beside a busy program", "value": all_threads["median"], "unit": "products/s", "target": 1.0,
             "peer": {"name": "one thread", "value": one["median"]}}]
