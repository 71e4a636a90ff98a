#!/usr/bin/env python3
"""Makes the golden vectors of the audit formats, from docs/formats and docs/examples/verify.py alone (no Forge code).

    make.py [merkle-proofs.jsonl]     with the published proofs (transparency-dev/merkle 417fb0c, Apache-2.0) also chooses 64 of them

Writes leaves.json, notes.json, witness.json, proof.json and, when asked, merkle-proofs.jsonl beside itself. Deterministic.
"""
import base64, copy, hashlib, json, os, sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../../docs/examples"))
import verify as v


def secret(seed):
    h = hashlib.sha512(seed).digest()
    a = int.from_bytes(h[:32], "little") & (1 << 254) - 8 | 1 << 254
    return a, h[32:]


def encode(p):
    z = pow(p[2], v.P - 2, v.P)
    x, y = p[0] * z % v.P, p[1] * z % v.P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def sign(seed, message):  # RFC 8032, section 5.1.6
    a, prefix = secret(seed)
    public = encode(v.multiply(a, v.BASE))
    r = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % v.L
    big = encode(v.multiply(r, v.BASE))
    k = int.from_bytes(hashlib.sha512(big + public + message).digest(), "little") % v.L
    return big + ((r + k * a) % v.L).to_bytes(32, "little")


def vkey(name, kind, seed):
    data = bytes([kind]) + encode(v.multiply(secret(seed)[0], v.BASE))
    return "%s+%s+%s" % (name, hashlib.sha256(name.encode() + b"\n" + data).hexdigest()[:8], base64.b64encode(data).decode())


def line(name, kind, seed, text, time=None):
    key = v.Key(vkey(name, kind, seed))
    body = sign(seed, text) if kind == 1 else time.to_bytes(8, "big") + sign(seed, b"cosignature/v1\ntime %d\n" % time + text)
    return "\u2014 %s %s\n" % (name, base64.b64encode(key.id + body).decode())


def canonical(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def write(name, value):
    with open(os.path.join(HERE, name), "w") as file:
        json.dump(value, file, indent=1, ensure_ascii=False, sort_keys=True)
        file.write("\n")


LOG, WITNESS, OTHER = b"L" * 32, b"W" * 32, b"O" * 32
ORIGIN = "bank.example/forge-1/audit"
DIGEST = "sha256:" + "01" * 32

base = {
    "act": "model.promote", "boot": "0f0e0d0c0b0a09080706050403020100", "bt": 5000000, "clk": {"err": 16000000, "src": "kernel", "synced": False},
    "data": {"alias": "production"}, "dec": "deny", "obj": {"digest": DIGEST, "id": "policies", "type": "Forge::Model", "version": "2"}, "phase": "intent",
    "pol": {"digest": "sha256:" + "02" * 32, "epoch": 7, "errors": [], "rules": ["guard.four_eyes"]}, "req": "000102030405060708090a0b0c0d0e0f", "seq": 3,
    "svc": {"build": "0.1.0", "pid": 412, "uid": 990, "unit": "registry"}, "t": 1795226400000000, "v": 1,
    "who": {"auth": "sshsig", "id": "dana", "roles": ["data_scientist"], "type": "Forge::User", "uid": 1000}}


def changed(**members):
    value = copy.deepcopy(base)
    for k, x in members.items():
        if x is None:
            value.pop(k)
        else:
            value[k] = x
    return value


good = {
    "the example of the format page": base,
    "an outcome": changed(phase="outcome", dec=None, pol=None, out={"status": "ok"}, seq=4, approvers=["olga", "marc"], data={"alias": "production", "approval": "aa" * 16}),
    "an event of nobody": changed(act="login.refused", phase="event", dec=None, pol=None, obj=None, data=None, who={"auth": "none", "id": "", "roles": [], "type": "none", "uid": 65534}),
    "hashed values and their epoch": changed(why="hmac:" + "ab" * 16, data={"alias": "production", "reason": "hmac:" + "cd" * 16}, hk=2),
    "dropped values while sealed": changed(act="registry.unseal", data=None, obj=None, drop=["data.note", "why"]),
    "characters beyond the basic plane, quotes and backslashes": changed(who={"auth": "sshsig", "id": "d\u00e4na \U0001f9ff \"\\", "roles": ["a", "b"], "session": "11" * 16, "type": "Forge::User", "uid": 0}),
    "an erasable detail": changed(dc="sha256:" + "03" * 32),
    "an unknown outcome": changed(phase="outcome", dec=None, pol=None, out={"code": "daemon.restarted", "status": "unknown"}, data=None),
    "a list of digests": changed(act="run.submit", data={"datasets": [DIGEST, DIGEST], "recipe": DIGEST, "streamed": True, "steps": 0}),
}
text = canonical(base)
bad = {
    "white space": text.replace(":", ": ", 1),
    "members not sorted": text.replace('"act":"model.promote",', "", 1)[:-1] + ',"act":"model.promote"}',
    "a member twice": text[:-1].replace('"v":1', '"v":1,"v":1') + "}",
    "a number with a fraction": text.replace('"seq":3', '"seq":3.0'),
    "a number with an exponent": text.replace('"seq":3', '"seq":3e0'),
    "a number beyond 53 bits": text.replace('"seq":3', '"seq":9007199254740992'),
    "a negative index": text.replace('"seq":3', '"seq":-3'),
    "an escape that is not the shortest": text.replace("dana", "d\\u0061na"),
    "not UTF-8": None,
    "something after the value": text + "\n",
    "an unknown action": canonical(changed(act="model.steal")),
    "an unknown member": canonical(changed(note="x")),
    "a member missing": canonical(changed(boot=None)),
    "null": text.replace('"seq":3', '"seq":null'),
    "another version": canonical(changed(v=2)),
    "an intent without a decision": canonical(changed(dec=None, pol=None)),
    "an intent with an outcome": canonical(changed(out={"status": "ok"})),
    "an outcome with a decision": canonical(changed(phase="outcome", out={"status": "ok"})),
    "an outcome without a status": canonical(changed(phase="outcome", dec=None, pol=None)),
    "an effect-free action as an intent": canonical(changed(act="audit.read")),
    "a policy without a decision": canonical(changed(phase="event", dec=None)),
    "a reason in clear": canonical(changed(why="because", hk=1)),
    "an unlisted fact in clear": canonical(changed(data={"reason": "because"}, hk=1)),
    "a fact that is never recorded": canonical(changed(data={"prompt": "hmac:" + "ab" * 16}, hk=1)),
    "a fact of the wrong type": canonical(changed(data={"bytes": "12"})),
    "a hashed value without an epoch": canonical(changed(why="hmac:" + "ab" * 16)),
    "an epoch without a hashed value": canonical(changed(hk=1)),
    "an empty list of dropped values": canonical(changed(drop=[])),
    "dropped values not sorted": canonical(changed(drop=["why", "data.note"])),
    "a dropped value that is there": canonical(changed(why="hmac:" + "ab" * 16, hk=1, drop=["why"])),
    "a digest in upper case": text.replace("sha256:0101", "sha256:0A01"),
    "a digest without its prefix": text.replace("sha256:0202", "0202"),
    "roles not sorted": canonical(changed(who=dict(base["who"], roles=["b", "a"]))),
    "nobody with a name": canonical(changed(who=dict(base["who"], type="none", auth="none"))),
    "an unknown daemon": canonical(changed(svc=dict(base["svc"], unit="cron"))),
    "an ok outcome with a code": canonical(changed(phase="outcome", dec=None, pol=None, out={"code": "x", "status": "ok"})),
    "longer than 8192 bytes": canonical(changed(approvers=["x" * 512] * 16)),
}
encode64 = lambda data: base64.b64encode(data).decode()
bad_bytes = {k: (x.encode() if x is not None else text.encode().replace(b"dana", b"d\xffna")) for k, x in bad.items()}
write("leaves.json", {
    "good": [{"name": k, "leaf": canonical(x), "leaf_hash": v.sha256(b"\x00" + canonical(x).encode()).hex()} for k, x in good.items()],
    "bad": [{"class": k, "leaf": encode64(x)} for k, x in bad_bytes.items()],
})

# Notes.
head = (ORIGIN + "\n3\n" + encode64(v.sha256(b"root")) + "\n").encode()
signed = head.decode() + "\n" + line(ORIGIN, 1, LOG, head)
cosigned = signed + line("bank.example/admin", 4, WITNESS, head, 1795226400)
tail = "\n".join(signed.split("\n")[4:])
flip = lambda s, at: s[:at] + ("A" if s[at] != "A" else "B") + s[at + 1:]
write("notes.json", {
    "log_key": vkey(ORIGIN, 1, LOG), "witness_key": vkey("bank.example/admin", 4, WITNESS), "other_key": vkey(ORIGIN, 1, OTHER),
    "log_seed": LOG.hex(), "witness_seed": WITNESS.hex(),
    "c2sp": {"key": "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "note": "This is an example message.\n\n\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"},
    "checkpoint": signed, "cosigned": cosigned, "time": 1795226400,
    "bad": [
        {"class": "no signature", "note": head.decode() + "\n"},
        {"class": "no empty line", "note": head.decode()},
        {"class": "no newline at the end", "note": signed[:-1]},
        {"class": "a carriage return", "note": signed.replace("\n3\n", "\n3\r\n")},
        {"class": "an ASCII dash", "note": signed.replace("\u2014", "-")},
        {"class": "a signature that is not base64", "note": signed[:-3] + "!=\n"},
        {"class": "a changed root", "note": flip(signed, signed.index("\n3\n") + 3)},
        {"class": "a changed size", "note": signed.replace("\n3\n", "\n4\n")},
        {"class": "a changed signature", "note": flip(signed, len(signed) - 20)},
        {"class": "signed by another key of that name", "note": head.decode() + "\n" + line(ORIGIN, 1, OTHER, head)},
        {"class": "another origin", "note": (lambda t: t.decode() + "\n" + line("bank.example/forge-2/audit", 1, LOG, t))(head.replace(b"forge-1", b"forge-2"))},
        {"class": "an extension line", "note": (lambda t: t.decode() + "\n" + line(ORIGIN, 1, LOG, t))(head + b"more\n")},
        {"class": "a size with a leading zero", "note": (lambda t: t.decode() + "\n" + line(ORIGIN, 1, LOG, t))(head.replace(b"\n3\n", b"\n03\n"))},
        {"class": "a root of 31 bytes", "note": (lambda t: t.decode() + "\n" + line(ORIGIN, 1, LOG, t))((ORIGIN + "\n3\n" + encode64(b"r" * 31) + "\n").encode())},
        {"class": "an empty log with a root", "note": (lambda t: t.decode() + "\n" + line(ORIGIN, 1, LOG, t))(head.replace(b"\n3\n", b"\n0\n"))},
        {"class": "a text that is not a checkpoint", "note": "hello\n\n" + line(ORIGIN, 1, LOG, b"hello\n")},
    ],
})


# A log of seven of the good leaves' hashes, a proof and what a witness is asked.
def tree(n):
    e = v.Edge()
    for i in range(n):
        e.append(v.sha256(b"\x00leaf %d" % i))
    return e.root()


def mth(hashes):
    if len(hashes) == 1:
        return hashes[0]
    k = 1 << (len(hashes) - 1).bit_length() - 1
    return v.sha256(b"\x01" + mth(hashes[:k]) + mth(hashes[k:]))


def path(m, hashes):  # RFC 6962, section 2.1.1
    if len(hashes) == 1:
        return []
    k = 1 << (len(hashes) - 1).bit_length() - 1
    return path(m, hashes[:k]) + [mth(hashes[k:])] if m < k else path(m - k, hashes[k:]) + [mth(hashes[:k])]


def consistency(m, hashes, known=True):  # RFC 6962, section 2.1.2
    if m == len(hashes):
        return [] if known else [mth(hashes)]
    k = 1 << (len(hashes) - 1).bit_length() - 1
    if m <= k:
        return consistency(m, hashes[:k], known) + [mth(hashes[k:])]
    return consistency(m - k, hashes[k:], False) + [mth(hashes[:k])]


hashes = [v.sha256(b"\x00leaf %d" % i) for i in range(600)]
assert all(tree(n) == mth(hashes[:n]) for n in (1, 2, 3, 7, 8, 600))


def stamped(n, root=None):
    t = ("%s\n%d\n%s\n" % (ORIGIN, n, encode64(root or mth(hashes[:n])))).encode()
    return t.decode() + "\n" + line(ORIGIN, 1, LOG, t)


request = lambda old, new, proof=None, root=None: "old %d\n" % old + "".join(encode64(h) + "\n" for h in (consistency(old, hashes[:new]) if proof is None and old else proof or [])) + "\n" + stamped(new, root)
write("witness.json", {"steps": [
    {"name": "the first head needs no proof", "request": request(0, 5), "code": None},
    {"name": "the same head again", "request": request(5, 5), "code": None},
    {"name": "a proven growth", "request": request(5, 8), "code": None},
    {"name": "a request from an older size", "request": request(5, 9), "code": "witness.stale"},
    {"name": "another root of the same size", "request": request(8, 8, [], v.sha256(b"x")), "code": "witness.fork"},
    {"name": "a proof that does not lead there", "request": request(8, 9, consistency(7, hashes[:9])), "code": "witness.fork"},
    {"name": "a smaller head", "request": request(8, 8).replace(stamped(8), stamped(7)), "code": "audit.malformed"},
    {"name": "a head nobody signed", "request": request(8, 9).replace("\n9\n", "\n10\n"), "code": "audit.unproven"},
    {"name": "a proof of 64 hashes", "request": request(8, 9, [hashes[0]] * 64), "code": "audit.malformed"},
    {"name": "growth by hundreds", "request": request(8, 600), "code": None},
]})
write("proof.json", {
    "proof": "c2sp.org/tlog-proof@v1\nextra %s\nindex 5\n" % encode64(b"leaf 5") + "".join(encode64(h) + "\n" for h in path(5, hashes[:7])) + "\n" + stamped(7),
    "leaf": "leaf 5", "roots": [[n, mth(hashes[:n]).hex()] for n in (1, 2, 3, 7, 8, 255, 256, 257, 600)],
})

if len(sys.argv) > 1:
    with open(sys.argv[1]) as file:
        cases = [line.rstrip("\n") for line in file]
    chosen = [c for c in cases if json.loads(c)["case"]["wantErr"] is False]
    others = [c for c in cases if c not in chosen]
    step = len(others) / (64 - len(chosen))
    chosen += [others[int(i * step)] for i in range(64 - len(chosen))]
    with open(os.path.join(HERE, "merkle-proofs.jsonl"), "w") as file:
        file.write("".join(c + "\n" for c in sorted(chosen, key=lambda c: cases.index(c))))
