#!/usr/bin/env python3
"""Rewrites Wycheproof's Cobblestone-256 vectors (C2SP/wycheproof at dac1dd4729fd, Apache-2.0) so that a reader needs no zlib.

usage: make-cobblestone.py c2sp_chunked_encryption_aes_256_gcm_test.json > cobblestone-256.json

`ct` becomes a list of pairs: bytes in hexadecimal, and how often they repeat. Nothing else changes.
"""
import json, re, sys, zlib

data = json.load(open(sys.argv[1]))
tests = []
for test in (t for g in data["testGroups"] for t in g["tests"]):
    ct, runs = zlib.decompress(bytes.fromhex(test["ct"])), []
    for part in re.finditer(rb"(?s)(.)\1{31,}|((?:(?!(.)\3{31,}).)+)", ct):
        if part.group(1):
            runs.append([part.group(1).hex(), len(part.group(0))])
        else:
            runs.append([part.group(0).hex(), 1])
    assert b"".join(bytes.fromhex(h) * n for h, n in runs) == ct
    keep = ["tcId", "comment", "result", "key", "ctx"] + (["msgLength", "msgSha512"] if test["result"] == "valid" else [])
    tests.append({k: test[k] for k in keep} | {"ct": runs})
out = {"source": "C2SP/wycheproof at commit dac1dd4729fd, Apache-2.0; generated there with filippo.io/cobblestone", "tests": tests}
json.dump(out, sys.stdout, indent=0, separators=(",", ":"))
