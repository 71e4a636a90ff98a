#!/usr/bin/env python3
"""Vectors for docs/formats/sealed-blob.md, made without any Forge code (needs PyPI cryptography >= 50 for its own Cobblestone-256).

usage: make-sealed-blob.py > sealed-blob.json

Byte i of every plaintext is (i * 7 + (i >> 8)) & 255. The salt of segment i of a case with n bytes is SHA-256("salt n i")[:24].
Each segment is also opened with cryptography.cobblestone before it is printed.
"""
import hashlib, json, struct, sys
from cryptography.cobblestone import Cobblestone256Decryptor
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

KEY = bytes(range(32))
LABEL = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"


def message(key, salt, context, plaintext):
    okm = HKDFExpand(hashes.SHA512(), 76, LABEL + salt + context).derive(key)
    aead, base, commitment = AESGCM(okm[:32]), int.from_bytes(okm[32:44], "big"), okm[44:]
    out = salt + commitment
    for k in range(len(plaintext) // 16384 + 1):
        out += aead.encrypt((base ^ k).to_bytes(12, "big"), plaintext[k * 16384:(k + 1) * 16384], b"")
    opener = Cobblestone256Decryptor(key, context)
    assert opener.update(out) + opener.finalize() == plaintext
    return out


def blob(n, log2):
    header = b"FORGEBLB" + struct.pack(">HHB", 1, 1, log2) + b"\x11" * 16 + b"\x22" * 16 + b"\x33" * 16 + bytes(67)
    assert len(header) == 128
    plaintext = bytes((i * 7 + (i >> 8)) & 255 for i in range(n))
    out, size = header, 1 << log2
    for i in range(n // size + 1):
        salt = hashlib.sha256(f"salt {n} {i}".encode()).digest()[:24]
        out += message(KEY, salt, b"forge.blob.v1\0" + header + struct.pack(">Q", i), plaintext[i * size:(i + 1) * size])
    return {"count": n, "segmentLog2": log2, "fileCount": len(out), "sha256": hashlib.sha256(out).hexdigest(),
            "plaintextSha256": hashlib.sha256(plaintext).hexdigest(), "first": out[128:128 + 56].hex()}


wrap_context = b"forge.wrap.v1\0" + bytes([4]) + b"blob" + b"\x33" * 16 + b"\x22" * 16 + b"\x11" * 16 + struct.pack(">I", 3)
json.dump({
    "key": KEY.hex(),
    "blobs": [blob(n, 16) for n in [0, 1, 16383, 16384, 16385, 65535, 65536, 65537, 131072, 200000]] + [blob(5, 26)],
    "wrapped": {"secret": (b"\x44" * 32).hex(), "kekVersion": 3, "message": message(KEY, b"\x55" * 24, wrap_context, b"\x44" * 32).hex()},
}, sys.stdout, indent=1)
