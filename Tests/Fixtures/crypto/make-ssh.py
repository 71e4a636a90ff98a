#!/usr/bin/env python3
"""Keys and signatures of every kind OpenSSH writes, over one message. Needs ssh-keygen and PyPI cryptography.

usage: make-ssh.py > ssh.json

ssh-keygen makes the software keys. The two `sk-` keys are made here as a FIDO authenticator would (OpenSSH PROTOCOL.u2f); ssh-keygen then verifies
every signature before it is printed, so that OpenSSH, not this script, says what is genuine. No private key is kept.
"""
import base64, hashlib, json, os, struct, subprocess, sys, tempfile
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

MESSAGE, NAMESPACE = b"promote support@4\n", "forge-approval"
s = lambda b: struct.pack(">I", len(b)) + b
mpint = lambda n: s(n.to_bytes(n.bit_length() // 8 + 1, "big"))


def run(*args, data=None):
    return subprocess.run(args, input=data, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def armour(blob):
    text = base64.b64encode(blob).decode()
    lines = [text[i:i + 70] for i in range(0, len(text), 70)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


def authenticator(kind, flags, hash_name="sha512"):
    application = b"ssh:"
    if kind == "sk-ssh-ed25519@openssh.com":
        key = ed25519.Ed25519PrivateKey.generate()
        raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        blob = s(kind.encode()) + s(raw) + s(application)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
        point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        blob = s(kind.encode()) + s(b"nistp256") + s(point) + s(application)
    signed = b"SSHSIG" + s(NAMESPACE.encode()) + s(b"") + s(hash_name.encode()) + s(hashlib.new(hash_name, MESSAGE).digest())
    covered = hashlib.sha256(application).digest() + struct.pack(">BI", flags, 7) + hashlib.sha256(signed).digest()
    if kind == "sk-ssh-ed25519@openssh.com":
        signature = key.sign(covered)
    else:
        r, q = decode_dss_signature(key.sign(covered, ec.ECDSA(hashes.SHA256())))
        signature = mpint(r) + mpint(q)
    inner = s(kind.encode()) + s(signature) + struct.pack(">BI", flags, 7)
    whole = b"SSHSIG" + struct.pack(">I", 1) + s(blob) + s(NAMESPACE.encode()) + s(b"") + s(hash_name.encode()) + s(inner)
    return f"{kind} {base64.b64encode(blob).decode()} token", armour(whole)


cases = []
with tempfile.TemporaryDirectory() as d:
    def add(name, public, signature, valid=True):
        with open(f"{d}/allowed", "w") as f:
            f.write("somebody " + public + "\n")
        with open(f"{d}/sig", "w") as f:
            f.write(signature)
        if valid:
            run("ssh-keygen", "-Y", "verify", "-f", f"{d}/allowed", "-I", "somebody", "-n", NAMESPACE, "-s", f"{d}/sig", data=MESSAGE)
        with open(f"{d}/pub", "w") as f:
            f.write(public + "\n")
        print_ = run("ssh-keygen", "-l", "-f", f"{d}/pub").decode().split()[1]
        cases.append({"name": name, "publicKey": public, "fingerprint": print_, "signature": signature, "valid": valid})

    for name, options in [("ed25519", ["-t", "ed25519"]), ("ecdsa", ["-t", "ecdsa", "-b", "256"]), ("rsa", ["-t", "rsa", "-b", "2048"])]:
        for hash_name in ["sha512", "sha256"] if name != "ecdsa" else ["sha512"]:
            key = f"{d}/{name}-{hash_name}"
            run("ssh-keygen", "-q", *options, "-N", "", "-C", f"{name}@example", "-f", key)
            signature = run("ssh-keygen", "-Y", "sign", "-O", f"hashalg={hash_name}", "-n", NAMESPACE, "-f", key, data=MESSAGE).decode()
            add(f"{name}, {hash_name}", open(key + ".pub").read().strip(), signature)
    add("authenticator ed25519, touched", *authenticator("sk-ssh-ed25519@openssh.com", 1))
    add("authenticator ed25519, touched and verified", *authenticator("sk-ssh-ed25519@openssh.com", 5))
    add("authenticator p256, touched", *authenticator("sk-ecdsa-sha2-nistp256@openssh.com", 1))
    add("authenticator p256, not touched", *authenticator("sk-ecdsa-sha2-nistp256@openssh.com", 0), valid=False)
json.dump({"message": MESSAGE.decode(), "namespace": NAMESPACE, "cases": cases}, sys.stdout, indent=1)
