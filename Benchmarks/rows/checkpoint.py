"""Checkpoints of other programs on their way in and out, beside the digest they are named by."""

TITLE = "checkpoints: 0.4 GB in bfloat16, one thread, from the page cache"


def rows(bench):
    found = bench.forge_bench("checkpoint")
    sha = {"name": "SHA-256", "value": found["checkpoint.sha256"]["median"]}
    names = {
        "checkpoint.import.hugging-face": "Hugging Face's layout: convert and hash", "checkpoint.import.native": "native layout: convert and hash",
        "checkpoint.export.native": "to the native layout: convert and write",
    }
    copy = {"name": "copying them as float32", "value": found["checkpoint.unpack.copy"]["median"]}
    packed = [
        {"name": f"{kind} to float32, from a cache", "value": found["checkpoint.unpack." + kind]["median"], "unit": "M/s", "peer": copy}
        for kind in ("Q8_0", "Q4_K", "Q6_K", "F8_E4M3")
    ]
    return [{"name": text, "value": found[key]["median"], "unit": "MB/s", "peer": sha, "target": 0.8} for key, text in names.items()] + packed
