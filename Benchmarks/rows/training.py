"""One training step against the best of PyTorch's modes on the same shape, in the same run."""
import json
import os
import pathlib
import subprocess

TITLE = "training: tokens/s of a whole step (forward, backward, clipping, AdamW)"
WANTED = {"1M": 3, "12M": 1.5, "30M": 1.5, "110M": 1.3}


def torch(bench, shape, mode, threads):
    """PyTorch's row, or None where it is not installed or cannot run the mode."""
    if not bench.python():
        return None
    script = pathlib.Path(__file__).parent.parent / "torch_training.py"
    done = subprocess.run([bench.python(), str(script), shape, mode, str(threads), "6"], capture_output=True, text=True, timeout=600)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def rows(bench):
    out = []
    threads = len(os.sched_getaffinity(0))
    for shape, wanted in WANTED.items():
        for precision, modes in (("bf16", ("autocast", "autocast+compile")), ("f32", ("f32", "f32+compile"))):
            if precision == "f32" and shape != "12M":
                continue
            ours = bench.forge_bench("training", shape, precision)[f"training.{shape}.{precision}"]
            peers = [peer for mode in modes if (peer := torch(bench, shape, mode, threads))]
            row = {"name": f"{shape} {precision}", "value": ours["median"], "unit": "tokens/s", "target": wanted if precision == "bf16" else 2,
                   "note": f"{ours['share_6nd']:.0%} of peak by 6ND, {ours['peak_bytes'] / 1e9:.2f} GB"}
            if peers:
                best = max(peers, key=lambda peer: peer["tokens_per_second"])
                name, version = best["peer"].split()
                bench.peer(name, version)
                row["peer"] = {"name": f"{name} {best['mode']} ({row['note']}; theirs {best['peak_bytes'] / 1e9:.2f} GB)", "value": best["tokens_per_second"]}
            out.append(row)
    return out
