"""Sealing and opening models, beside what libcrypto alone does on one core with the same cipher and digest."""
import re

TITLE = "store: 64 MiB segments, one thread"


def openssl(bench, algorithm):
    """MB/s of `openssl speed` at 16 KiB, the size of our chunks."""
    text = bench.command(["openssl", "speed", "-mr", "-seconds", "2", "-bytes", "16384", "-evp", algorithm])
    return float(re.search(r"^\+F:\d+:[^:]+:([0-9.]+)", text, re.M).group(1)) / 1e6


def rows(bench):
    bench.peer("openssl", bench.command(["openssl", "version"]).split()[1])
    cipher, digest = openssl(bench, "aes-256-gcm"), openssl(bench, "sha256")
    found = bench.forge_bench("store")
    gcm, sha = {"name": "openssl AES-256-GCM", "value": cipher}, {"name": "openssl SHA-256", "value": digest}
    names = {
        "store.seal.memory": ("seal in memory", gcm, None), "store.open.memory": ("open in memory", gcm, None), "store.sha256": ("SHA-256", sha, None),
        "store.put.disk": ("seal, hash, write and sync a segment", sha, 0.8), "store.finish.disk": ("read a blob back and compare", sha, None), "store.read.disk": ("open a blob from disk", gcm, None),
    }
    out = []
    for key, (text, peer, target) in names.items():
        row = {"name": text, "value": found[key]["median"], "unit": "MB/s", "peer": peer}
        if target:
            row["target"] = target
        out.append(row)
    return out
