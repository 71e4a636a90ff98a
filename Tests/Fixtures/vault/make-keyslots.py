#!/usr/bin/env python3
"""A keyslots file made from docs/formats/keyslots.md alone, without any Forge code. Needs PyPI cryptography >= 50.

usage: make-keyslots.py > keyslots.json
"""
import base64, hashlib, hmac, json, struct, sys
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
b64 = lambda b: base64.b64encode(b).decode()
canonical = lambda v: json.dumps(v, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def message(key, salt, context, plaintext):
    okm = HKDFExpand(hashes.SHA512(), 76, b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + salt + context).derive(key)
    return salt + okm[44:] + AESGCM(okm[:32]).encrypt(okm[32:44], plaintext, b"")


root = hashlib.sha256(b"root").digest()
store, one, two = (hashlib.sha256(n).digest()[:16] for n in (b"store", b"slot 1", b"slot 2"))
salts = [hashlib.sha256(b"salt %d" % i).digest() for i in range(4)]
passphrase = "correct horse battery staple"
symbols = "".join(ALPHABET[b & 31] for b in hashlib.sha512(b"recovery").digest()[:50])
printed = []
for g in range(10):
    part = symbols[g * 5:g * 5 + 5]
    printed.append(part + ALPHABET[hashlib.sha256(b"forge.recovery.v1\0" + bytes([g]) + part.encode()).digest()[0] & 31])

slots = []
key = hashlib.scrypt(passphrase.encode(), salt=salts[0], n=1 << 10, r=8, p=1, dklen=32)
slots.append({"id": one.hex(), "type": "passphrase", "name": "operator", "created": 1795226584000000,
              "kdf": {"name": "scrypt", "n": 1 << 10, "r": 8, "p": 1, "salt": b64(salts[0])},
              "wrapped": b64(message(key, salts[1][:24], b"forge.keyslot.v1\0" + store + one + b"\1", root))})
key = HKDF(hashes.SHA512(), 32, salts[2], b"forge.recovery.v1").derive(symbols.encode())
slots.append({"id": two.hex(), "type": "recovery", "name": "printed", "created": 1795226584000001,
              "kdf": {"name": "hkdf-sha512", "salt": b64(salts[2])},
              "wrapped": b64(message(key, salts[3][:24], b"forge.keyslot.v1\0" + store + two + b"\2", root))})
body = {"format": "forge.keyslots.v1", "store": store.hex(), "created": 1795226584000000, "epoch": 1, "slots": slots}
derive = lambda label: HKDFExpand(hashes.SHA512(), 32, b"forge.root.v1\0" + label).derive(root)
body["mac"] = b64(hmac.new(derive(b"keyslots-mac"), canonical(body), "sha256").digest())
json.dump({"file": canonical(body).decode() + "\n", "passphrase": passphrase, "recovery": "-".join(printed[:5]) + "\n" + "-".join(printed[5:]) + "\n",
           "wrap": derive(b"wrap").hex(), "redaction1": derive(b"redaction/1").hex()}, sys.stdout, indent=1)
