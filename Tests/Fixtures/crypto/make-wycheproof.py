#!/usr/bin/env python3
"""Picks a compact set out of Wycheproof's test vectors (C2SP/wycheproof at dac1dd4729fd, Apache-2.0).

usage: make-wycheproof.py DIRECTORY-OF-*_test.json[.gz] > wycheproof.json

Of each file: the first two tests of every combination of result and flags that our parameters allow. The numbers are as published.
"""
import glob, gzip, json, os, sys

WANTED = {
    "aes_gcm": lambda g: g["keySize"] == 256 and g["ivSize"] == 96 and g["tagSize"] == 128,
    "hmac_sha256": lambda g: g["tagSize"] == 256,
    "hkdf_sha512": lambda g: True,
    "ed25519": lambda g: True,
    "ecdsa_secp256r1_sha256": lambda g: True,
    "rsa_signature_2048_sha256": lambda g: True,
}
KEEP = {
    "aes_gcm": ["key", "iv", "aad", "msg", "ct", "tag"], "hmac_sha256": ["key", "msg", "tag"],
    "hkdf_sha512": ["ikm", "salt", "info", "size", "okm"], "ed25519": ["msg", "sig"], "ecdsa_secp256r1_sha256": ["msg", "sig"],
    "rsa_signature_2048_sha256": ["msg", "sig"],
}
out = {"source": "C2SP/wycheproof at commit dac1dd4729fd, Apache-2.0", "sets": {}}
for name, fits in WANTED.items():
    path = glob.glob(os.path.join(sys.argv[1], name + "_test.json*"))[0]
    data = json.load(gzip.open(path) if path.endswith(".gz") else open(path))
    seen, tests = {}, []
    for group in data["testGroups"]:
        if not fits(group):
            continue
        public = group.get("publicKey", {})
        key = public.get("pk") or public.get("uncompressed") or group.get("publicKeyDer")
        for test in group["tests"]:
            kind = (test["result"], tuple(sorted(test["flags"])))
            seen[kind] = seen.get(kind, 0) + 1
            if seen[kind] > 2 or len(json.dumps(test)) > 2500:
                continue
            row = {k: test[k] for k in ["tcId", "comment", "result"] + KEEP[name]}
            if key:
                row["publicKey"] = key
            tests.append(row)
    out["sets"][name] = tests
json.dump(out, sys.stdout, indent=0, separators=(",", ":"))
