#!/usr/bin/env python3
"""Verifies an exported audit archive with nothing but the Python standard library.

Written from docs/formats/{audit-leaf,audit-tree,checkpoint,catalog}.md alone, so that nobody has to trust our own programs.

    verify.py ARCHIVE [--log-key FILE] [--witness FILE]

--log-key   the log's verifier key as you were given it (a line `name+id+key`); without it the key inside the archive is used,
            which only proves that the archive agrees with itself
--witness   the last checkpoint a witness signed: the archive must contain it

Exit code: 0 it verifies, 1 it does not, 2 it could not be read or the command was wrong.
"""
import base64, hashlib, json, os, re, sys


class Bad(Exception):
    """Evidence that is not true; the message names the first bad index or file."""


# ---- Ed25519 verification, RFC 8032 section 5.1.7, in extended coordinates -------------------------------------------------
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
I = pow(2, (P - 1) // 4, P)


def point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == -u % P:
        x = x * I % P
    if v * x * x % P != u or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(n, p):
    r = (0, 1, 1, 0)
    while n:
        if n & 1:
            r = add(r, p)
        p, n = add(p, p), n >> 1
    return r


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519(public, message, signature):
    if len(public) != 32 or len(signature) != 64:
        return False
    a, r, s = point(public), point(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    left, right = multiply(s, BASE), add(r, multiply(k, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


# ---- signed notes and checkpoints (checkpoint.md) --------------------------------------------------------------------------
def unbase64(text):
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Bad("not base64")
    if base64.b64encode(data).decode() != text:
        raise Bad("not canonical base64")
    return data


class Key:
    def __init__(self, line):
        try:
            self.name, identity, rest = line.strip().split("+", 2)
            data = unbase64(rest)
        except (ValueError, Bad):
            raise Bad("not a verifier key")
        self.type, self.public = data[0], data[1:]
        self.id = hashlib.sha256(self.name.encode() + b"\n" + data).digest()[:4]
        if self.id.hex() != identity or self.type not in (1, 4) or len(self.public) != 32:
            raise Bad("not a verifier key: its id or type is wrong")

    def verifies(self, text, signature):
        if self.type == 1:
            return ed25519(self.public, text, signature)
        seconds = int.from_bytes(signature[:8], "big")
        return len(signature) == 72 and ed25519(self.public, b"cosignature/v1\ntime %d\n" % seconds + text, signature[8:])


def note(data, keys):
    """Returns the text and the set of names of `keys` that signed it."""
    if not data.endswith(b"\n") or any(c < 32 and c != 10 for c in data) or b"\n\n" not in data:
        raise Bad("not a signed note")
    split = data.rindex(b"\n\n") + 1
    text, signed = data[:split], set()
    for line in data[split + 1 : -1].decode().split("\n"):
        words = line.split(" ")
        if len(words) != 3 or words[0] != "\u2014" or len(unbase64(words[2])) < 5:
            raise Bad("not a signature line")
        blob = unbase64(words[2])
        for key in keys:
            if key.name == words[1] and key.id == blob[:4]:
                if not key.verifies(text, blob[4:]):
                    raise Bad("the signature of %s does not verify" % key.name)
                signed.add(key.name)
    return text, signed


def checkpoint(data, log, witnesses):
    """Returns size, root and the witnesses that signed."""
    text, signed = note(data, [log] + witnesses)
    lines = text.decode().split("\n")
    if len(lines) != 4 or lines[0] != log.name or not re.fullmatch("0|[1-9][0-9]{0,18}", lines[1]):
        raise Bad("not a checkpoint of this log")
    root = unbase64(lines[2])
    if len(root) != 32 or log.name not in signed:
        raise Bad("not signed by the log")
    return int(lines[1]), root, signed - {log.name}


# ---- the tree (audit-tree.md) ----------------------------------------------------------------------------------------------
def sha256(data):
    return hashlib.sha256(data).digest()


class Edge:
    """The complete subtrees on the right edge, largest first, and the nodes of the tile levels."""

    def __init__(self):
        self.size, self.peaks = 0, []

    def append(self, leaf_hash):
        h, n, level, completed = leaf_hash, self.size, 0, [(0, leaf_hash)]
        while n & 1:
            h, n, level = sha256(b"\x01" + self.peaks.pop() + h), n >> 1, level + 1
            completed.append((level, h))
        self.peaks.append(h)
        self.size += 1
        return completed

    def root(self):
        if not self.peaks:
            return sha256(b"")
        r = self.peaks[-1]
        for p in reversed(self.peaks[:-1]):
            r = sha256(b"\x01" + p + r)
        return r


def tile_name(n):
    groups = []
    while True:
        groups.append("%03d" % (n % 1000))
        n //= 1000
        if not n:
            break
    return "/".join(["x" + g for g in reversed(groups[1:])] + [groups[0]])


def tile_path(level, n, width):
    return "tile/%s/%s" % (level, tile_name(n)) + ("" if width == 256 else ".p/%d" % width)


# ---- leaves (audit-leaf.md) ------------------------------------------------------------------------------------------------
EFFECTS = set(
    """policy.activate appkey.create appkey.revoke registry.init registry.unseal registry.seal audit.export model.put model.evaluate model.promote
    model.rollback model.delete model.export model.load key.release store.scrub data.add run.submit run.start run.cancel run.resume infer receipt.replay serve.load
    serve.unload""".split())
EVENTS = set(
    """log.init clock.step daemon.start daemon.stop daemon.drain login login.refused logout user.read user.enrol policy.read approval.read approval.request
    approval.vote approval.veto approval.withdraw appkey.list audit.read audit.verify audit.witness data.read model.read models.list receipt.read run.read run.checkpoint
    recipe.read""".split())
NEEDED = {"v", "seq", "t", "bt", "boot", "clk", "svc", "who", "act", "phase", "req"}
KNOWN = NEEDED | {"obj", "dec", "pol", "out", "why", "approvers", "data", "dc", "hk", "drop"}


def members(pairs):
    if len({k for k, _ in pairs}) != len(pairs):
        raise Bad("a member is written twice")
    return dict(pairs)


def refuse(_):
    raise Bad("a number that is not an integer")


def leaf(data):
    if len(data) > 8192:
        raise Bad("longer than 8192 bytes")
    try:
        value = json.loads(data, object_pairs_hook=members, parse_float=refuse, parse_constant=refuse)
        again = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    except (ValueError, UnicodeError):
        raise Bad("not JSON")
    if again != data or not isinstance(value, dict):
        raise Bad("not canonical JSON")
    if not NEEDED <= set(value) <= KNOWN or value["v"] != 1:
        raise Bad("members missing or unknown: %s" % sorted(NEEDED - set(value) | set(value) - KNOWN))
    if value["act"] not in EFFECTS | EVENTS:
        raise Bad("unknown action")
    phase, decision, out = value["phase"], "dec" in value, "out" in value
    if phase not in ("intent", "outcome", "event") or (phase != "event" and value["act"] not in EFFECTS):
        raise Bad("phase and action do not fit")
    if (phase == "intent" and (not decision or out)) or (phase == "outcome" and (decision or not out)) or ("pol" in value and not decision):
        raise Bad("phase and members do not fit")
    if "why" in value and not re.fullmatch("hmac:[0-9a-f]{32}", value["why"]):
        raise Bad("a reason in clear")
    return value


# ---- the archive -----------------------------------------------------------------------------------------------------------
def read(root, path):
    try:
        with open(os.path.join(root, path), "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise Bad("%s is missing" % path)


def bundles(root, size, seen):
    for n in range((size + 255) // 256):
        width = min(256, size - n * 256)
        path = tile_path("entries", n, width)
        seen.add(path)
        data, at = read(root, path), 0
        for i in range(width):
            if at + 2 > len(data):
                raise Bad("%s ends before leaf %d" % (path, n * 256 + i))
            count = int.from_bytes(data[at : at + 2], "big")
            yield data[at + 2 : at + 2 + count]
            at += 2 + count
        if at != len(data):
            raise Bad("%s does not end with its last leaf" % path)


def verify(root, log_key=None, witness=None):
    seen = {"FORMAT", "checkpoint", "keys/log.vkey", "keys/witnesses.vkeys", "catalog.jsonl"}
    if read(root, "FORMAT") != b"forge-audit-archive 1\n":
        raise Bad("FORMAT: not an archive of version 1")
    inside = read(root, "keys/log.vkey").decode()
    log = Key(log_key or inside)
    if log_key and inside.strip() != log_key.strip():
        raise Bad("keys/log.vkey: not the key that was given")
    witnesses = [Key(line) for line in read(root, "keys/witnesses.vkeys").decode().splitlines()]
    heads = {}  # size → (root, where)
    try:
        size, top, signers = checkpoint(read(root, "checkpoint"), log, witnesses)
    except Bad as e:
        raise Bad("checkpoint: %s" % e)
    heads[size] = (top, "checkpoint")
    for name in sorted(os.listdir(os.path.join(root, "checkpoints"))) if os.path.isdir(os.path.join(root, "checkpoints")) else []:
        path = "checkpoints/" + name
        seen.add(path)
        try:
            n, r, _ = checkpoint(read(root, path), log, witnesses)
        except Bad as e:
            raise Bad("%s: %s" % (path, e))
        if name != "%020d" % n or n > size:
            raise Bad("%s: it is a checkpoint of size %d" % (path, n))
        heads[n] = (r, path)
    if witness is not None:
        try:
            n, r, _ = checkpoint(witness, log, witnesses)
        except Bad as e:
            raise Bad("the witness's checkpoint: %s" % e)
        if n > size:
            raise Bad("truncated: the archive has %d records, a witness signed %d" % (size, n))
        if heads.get(n, (r, 0))[0] != r:
            raise Bad("the log was rewritten before index %d: the witness signed another root" % n)
        heads[n] = (r, "the witness's checkpoint")

    edge, tiles, previous, intents, facts = Edge(), {}, None, {}, []
    rows = {"data.add": "dataset", "model.put": "model_version", "model.promote": "alias_move", "model.rollback": "alias_move", "model.evaluate": "evaluation", "infer": "receipt"}

    def check_head():
        if edge.size in heads and heads[edge.size][0] != edge.root():
            raise Bad("%s: the leaves before index %d do not have the root it signs" % (heads[edge.size][1], edge.size))

    check_head()
    for index, data in enumerate(bundles(root, size, seen)):
        try:
            v = leaf(data)
            if v["seq"] != index:
                raise Bad("its seq is %s" % v["seq"])
            if previous:
                if v["boot"] == previous["boot"] and v["bt"] < previous["bt"]:
                    raise Bad("boot time runs backwards")
                if v["t"] < previous["t"] and v["act"] not in ("clock.step", "daemon.start"):
                    raise Bad("time runs backwards")
            if v["phase"] == "intent" and v["dec"] == "allow":
                intents[v["req"], v["act"]] = index
            if v["phase"] == "outcome":
                if intents.pop((v["req"], v["act"]), None) is None:
                    raise Bad("an outcome without an open intent")
                table = rows.get(v["act"])
                if v["act"] == "model.put" and "version" not in v.get("obj", {}):
                    table = None  # an upload was opened; the commit makes the version
                wanted = table and v["out"]["status"] == "ok"
                if table == "receipt":
                    wanted = "receipt" in v.get("data", {})
                if wanted and not (v["act"] in ("data.add", "model.evaluate") and v["svc"]["unit"] != "registry"):
                    facts.append((index, table, v))
        except Bad as e:
            raise Bad("leaf %d: %s" % (index, e))
        previous = v
        for level, h in edge.append(sha256(b"\x00" + data)):
            if level % 8 == 0:
                tiles.setdefault(level // 8, []).append(h)
        check_head()
    for level, hashes in tiles.items():
        for n in range((len(hashes) + 255) // 256):
            part = hashes[n * 256 : n * 256 + 256]
            path = tile_path(level, n, len(part))
            seen.add(path)
            if read(root, path) != b"".join(part):
                raise Bad("%s: it does not hold the hashes of the leaves" % path)
    if os.path.exists(os.path.join(root, "catalog.jsonl")):
        catalog(read(root, "catalog.jsonl"), facts)
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), root)
            if path not in seen:
                raise Bad("%s: nothing vouches for this file" % path)
    return size, top, len(heads), sorted(signers), sorted(intents.values())


def catalog(data, facts):
    wanted = []
    for index, table, v in facts:
        o, d = v.get("obj", {}), v.get("data", {})
        row = {"record": index, "table": table}
        if table == "dataset":
            row.update(digest=o.get("digest"), name=o.get("id"))
        elif table == "model_version":
            row.update(digest=o.get("digest"), name=o.get("id"), version=int(o.get("version", "0")))
        elif table == "alias_move":
            row.update(alias=d.get("alias"), name=o.get("id"), to=int(o.get("version", "0")))
        elif table == "evaluation":
            row.update(dataset=d.get("heldout"), id=d.get("evaluation"), microbits_per_byte=d.get("microbits_per_byte"), name=o.get("id"), report=d.get("report"), version=int(o.get("version", "0")))
        else:
            row.update(id=d.get("receipt"))
        wanted.append(row)
    lines = data.decode().splitlines()
    for n, line in enumerate(lines):
        row = json.loads(line, object_pairs_hook=members)
        row.pop("from", None)
        if n >= len(wanted) or row != wanted[n]:
            record = row.get("record") if n >= len(wanted) else min(row.get("record", 0), wanted[n]["record"])
            raise Bad("catalog.jsonl line %d: the log does not say this (leaf %s)" % (n + 1, record))
    if len(lines) < len(wanted):
        raise Bad("catalog.jsonl: the row that leaf %d recorded is missing" % wanted[len(lines)]["record"])


def main(arguments):
    options, paths = {}, []
    while arguments:
        word = arguments.pop(0)
        if word in ("--log-key", "--witness") and arguments:
            with open(arguments.pop(0), "rb") as file:
                options[word] = file.read()
        else:
            paths.append(word)
    if len(paths) != 1 or paths[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        key = options.get("--log-key")
        size, top, heads, signers, still_open = verify(paths[0], key and key.decode(), options.get("--witness"))
    except Bad as e:
        print("NOT VERIFIED: %s" % e)
        return 1
    print("verified: %d records, root %s" % (size, base64.b64encode(top).decode()))
    print("%d checkpoints agree; the latest is cosigned by: %s" % (heads, ", ".join(signers) or "nobody"))
    print("open intents: %s" % (", ".join(map(str, still_open)) or "none"))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (OSError, UnicodeError) as e:
        print("cannot read: %s" % e, file=sys.stderr)
        sys.exit(2)
