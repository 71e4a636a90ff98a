"""The forward pass of serving at the TinyLlama shape: decoding as a share of memory bandwidth, prefill as a share of the registers' peak."""

TITLE = "forward pass, 1.1 B parameters: tokens/s, and what they are a share of"


def rows(bench):
    out = []
    for kind in ("bf16", "q8", "q4"):
        for key, row in bench.forge_bench("serving", kind).items():
            _, _, phase, sequences = key.split(".")
            share, limit, target = (row["bandwidth_share"], f"of {row['bandwidth']:.0f} GB/s", 0.85) if sequences == "1" and phase == "decode" else (
                row["peak_share"], f"of {row['peak']:.0f} GOP/s", (0.8 if kind == "bf16" else 0.6) if phase == "prefill" else None)
            name = f"{kind} {phase}" + (f", {sequences} sequences" if phase == "decode" else ", 512 tokens")
            entry = {"name": name, "value": row["median"], "unit": "tokens/s", "peer": {"name": f"limit, {limit}", "value": row["median"] / share}}
            if target:
                entry["target"] = target
            out.append(entry)
    return out
