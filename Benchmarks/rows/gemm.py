"""Matrix products at training and serving shapes, as shares of what this machine's registers or memory allow in the same run."""

TITLE = "matrix products: share of the registers' peak, or of memory bandwidth at one row"


def rows(bench):
    found = bench.forge_bench("gemm")
    bandwidth = found.pop("read.memory")
    out = [{"name": "reading memory", "value": bandwidth["value"], "unit": "GB/s"}]
    for key, row in found.items():
        _, kind, shape = key.split(".")
        limit = {"name": "registers", "value": row["peak"]}
        # With one row every weight is read for two operations: memory is the limit, unless the caches hold the matrix.
        target = 0.9 if kind in ("f32", "bf16") and shape.startswith("512x") else 0.6 if shape.startswith("512x") else None
        note = {"name": f"{kind} {shape}", "value": row["median"], "unit": "GOP/s", "peer": limit}
        if target:
            note["target"] = target
        out.append(note)
    return out
