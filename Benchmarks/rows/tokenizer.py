"""Byte-level BPE: learning a vocabulary and encoding with it, one thread, beside Hugging Face tokenizers on the same documents. The peer
encodes with the tokenizer that Forge learnt, so the number of tokens must be the same."""
import hashlib
import json
import os
import pathlib

TITLE = "tokenizer: one thread, 8,192 tokens"
TARGETS = {"train": 2, "encode": 5}  # docs/performance.md

PEER = r"""
import json, sys, time
from tokenizers import Tokenizer, models, pre_tokenizers, trainers, __version__
documents = [d.decode() for d in open(sys.argv[1], "rb").read().split(b"\0") if d]
megabytes = sum(len(d.encode()) for d in documents) / 1e6
ours = Tokenizer.from_file(sys.argv[2])
train, encode = [], []
for _ in range(3):
    fresh = Tokenizer(models.BPE())
    fresh.pre_tokenizer = ours.pre_tokenizer
    begun = time.perf_counter()
    fresh.train_from_iterator(documents, trainers.BpeTrainer(vocab_size=8192, min_frequency=2, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    train.append(megabytes / (time.perf_counter() - begun))
    begun = time.perf_counter()
    tokens = sum(len(ours.encode(d, add_special_tokens=False).ids) for d in documents)
    encode.append(megabytes / (time.perf_counter() - begun))
print(json.dumps({"version": __version__, "train": sorted(train)[1], "encode": sorted(encode)[1], "tokens": tokens}))
"""


def corpus(bench, limit=16_000_000):
    """English and code that every checkout has: the sources and pages of the dependencies, in the order of their paths."""
    path, size = bench.scratch / "corpus", 0
    names = (p for base in (bench.root / ".build/checkouts", pathlib.Path("/usr/share/common-licenses")) for p in sorted(base.rglob("*")) if base.exists())
    with open(path, "wb") as out:
        for name in names:
            if size >= limit or not name.is_file() or name.suffix not in (".swift", ".md", ".h", ".c", ""):
                continue
            data = name.read_bytes()
            if not data or len(data) > 1 << 20 or b"\0" in data:
                continue
            try:
                data.decode()
            except UnicodeDecodeError:
                continue
            out.write(data + b"\0")
            size += len(data)
    return path


def rows(bench):
    text = corpus(bench)
    found = bench.forge_bench("tokenizer", text)
    bench.peer("corpus", f"{found['tokenizer.train']['megabytes']:.1f} MB, sha256 {hashlib.sha256(text.read_bytes()).hexdigest()[:12]}")
    peer, python = None, bench.python()
    if python:
        environment = {**os.environ, "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        peer = json.loads(bench.command([python, "-c", PEER, str(text), str(bench.scratch / "forge-tokenizer/tokenizer.json")], env=environment))
        bench.peer("tokenizers", peer["version"])
        if peer["tokens"] != found["tokenizer.encode"]["tokens"]:
            raise ValueError(f"the peer finds {peer['tokens']} tokens where Forge finds {found['tokenizer.encode']['tokens']}")
    out = []
    for key, name in (("train", "learn"), ("encode", "encode")):
        row = {"name": name, "value": found[f"tokenizer.{key}"]["median"], "unit": "MB/s", "target": TARGETS[key]}
        row.update({"peer": {"name": "HF tokenizers", "value": peer[key]}} if peer else {"note": "no peer: packaging/peers.sh"})
        out.append(row)
    return out
