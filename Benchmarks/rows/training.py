"""One training step against the best of PyTorch's modes on the same shape, in the same run."""
import json
import os
import pathlib
import subprocess

TITLE = "training: tokens/s of a whole step (forward, backward, clipping, AdamW)"
WANTED = {"12M": 1.5, "1M": 3, "30M": 1.5, "110M": 1.3}
MODES = [precision + how for precision in ("f32", "autocast", "bf16") for how in ("", "+compile")]


def peer(bench, script, *arguments, limit=300):
    """What a peer's program says, or None where it is not installed, cannot do it, or takes longer than `limit` seconds."""
    if not bench.python():
        return None
    program = pathlib.Path(__file__).parent.parent / script
    try:
        done = subprocess.run([bench.python(), str(program), *arguments], capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return None
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def best_of(found, bench):
    """The fastest of what peers said, as a row's peer."""
    best = max(found, key=lambda one: one["tokens_per_second"])
    name, version = best["peer"].split()
    bench.peer(name, version)
    return name, best


def rows(bench):
    out, threads, modes = [], str(len(os.sched_getaffinity(0))), MODES
    for shape, wanted in WANTED.items():
        # Every mode at the first shape; elsewhere the two that won there, for a mode that loses here by far loses there too.
        found = {mode: said for mode in modes if (said := peer(bench, "torch_training.py", shape, mode, threads, "6", limit=120))}
        if modes is MODES and found:
            modes = sorted(found, key=lambda mode: -found[mode]["tokens_per_second"])[:2]
        for precision in ("bf16", "f32") if shape == "12M" else ("bf16",):
            ours = bench.forge_bench("training", shape, precision)[f"training.{shape}.{precision}"]
            # Against our float32 stand theirs in float32; against bfloat16 the best of all.
            peers = [said for mode, said in found.items() if precision == "bf16" or mode.startswith("f32")]
            row = {"name": f"{shape} {precision}", "value": ours["median"], "unit": "tokens/s", "target": wanted if precision == "bf16" else 2,
                   "note": f"{ours['share_6nd']:.0%} of peak by 6ND, {ours['peak_bytes'] / 1e9:.2f} GB"}
            if peers:
                name, best = best_of(peers, bench)
                row["peer"] = {"name": f"{name} {best['mode']} ({row['note']}; theirs {best['peak_bytes'] / 1e9:.2f} GB)", "value": best["tokens_per_second"]}
            out.append(row)

    # PEFT in the precisions of the modes that won: bfloat16 without the instruction takes minutes a step.
    precisions = dict.fromkeys("f32" if mode.startswith("f32") else "bf16" for mode in modes)
    found = [said for mode in precisions if (said := peer(bench, "peft_training.py", mode, threads, limit=240))]
    for frozen in ("bf16", "q4"):
        ours = bench.forge_bench("adapters", frozen, "bf16")[f"adapters.{frozen}.bf16"]
        row = {"name": f"adapters, 1.1 B frozen in {frozen}", "value": ours["median"], "unit": "tokens/s", "target": 1.4,
               "note": f"{ours['share_4nd']:.0%} of peak by 4ND, {ours['peak_bytes'] / 1e9:.2f} GB"}
        if found:
            name, best = best_of(found, bench)
            row["peer"] = {"name": f"{name} {best['mode']} ({row['note']}; theirs {best['peak_bytes'] / 1e9:.2f} GB)", "value": best["tokens_per_second"]}
        out.append(row)
    return out
