#!/usr/bin/env python3
"""tamper_state.py REGISTRY ADMIN --older REGISTRY -- VERIFIER...   Does to copies of the daemons' own directories what an intruder with root would.

REGISTRY and ADMIN are copies of state/registry and state/admin that verify; --older is a copy of state/registry taken before. VERIFIER is a
command; `{registry}` and `{admin}` in it are replaced by the tampered copies. Standard library only; written from docs/formats/catalog.md,
docs/formats/admin-state.md and docs/formats/audit-tree.md.

One bit is flipped in a file of every kind, and in every column of every table. A file of a kind that is not listed here is an error: a new
kind has to say who notices. Each must be refused (exit status not 0) and named (something is said); the untouched copy must pass.
"""
import json
import pathlib
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile

import tamper

# Files that say nothing and are made anew at each start: there is nothing in them to falsify.
IDLE = {"registry.sqlite-shm", "registry.lock", "lock"}
KINDS = {
    "registry": [
        (r"keyslots\.json", "the key slots"), (r"admin\.key", "the pinned key of forge-admin"), (r"reserve", "the reserve for a full disk"),
        (r"registry\.sqlite", "the database"), (r"registry\.sqlite-wal", "its write-ahead log"), (r"blobs/../[0-9a-f]{32}", "a sealed file"),
    ],
    "admin": [
        (r"site\.json", "the people"), (r"policy\.json", "the policy in force"), (r"approvals\.journal", "the votes"), (r"appkeys\.journal", "the apps' keys"),
        (r"epoch", "the epoch"), (r"snapshot\.key", "the snapshot key"), (r"witness\.key", "the witness's key"), (r"witness\.json", "the witness's memory"),
    ],
}
# Notes of work in hand, and times of storing: nothing is read from them that a record does not say (docs/formats/catalog.md).
UNVOUCHED = {("tree_head", "t"), ("cosignature", "t")}
WORK = {"upload", "upload_segment"}


def kinds(folder, known):
    """One file of each kind, the largest; an unknown kind ends it."""
    chosen = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = str(path.relative_to(folder))
        if name in IDLE or not path.stat().st_size:
            continue
        kind = next((kind for pattern, kind in known if re.fullmatch(pattern, name)), None)
        if kind is None:
            sys.exit(f"tamper_state: `{name}` is of a kind that nobody vouches for")
        if kind not in chosen or path.stat().st_size > (folder / chosen[kind]).stat().st_size:
            chosen[kind] = name
    return chosen


def flip_at(path, at, bit):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


def opened(folder):
    database = sqlite3.connect(folder / "registry.sqlite", isolation_level=None)
    for line in ("PRAGMA foreign_keys=OFF", "PRAGMA ignore_check_constraints=ON"):
        database.execute(line)
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f"DROP TRIGGER {name}")
    return database


def merged(folder):
    """All pages in the one file: a page that a newer one in the write-ahead log replaces is read by nobody."""
    database = sqlite3.connect(folder / "registry.sqlite")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def flip_file(folder, name, source):
    path = folder / name
    if name == "registry.sqlite":
        # A page has room that nothing uses; the flip goes into a record.
        merged(folder)
        places = [m.start() for m in re.finditer(rb'"act":"', path.read_bytes())]
        return flip_at(path, source.choice(places), source.randrange(8))
    size = path.stat().st_size
    if name == "registry.sqlite-wal":
        # Frames that a checkpoint left behind are read by nobody: those of the present turn carry the header's salt.
        data = path.read_bytes()
        page = int.from_bytes(data[8:12], "big")
        size = next((at for at in range(32, size, 24 + page) if data[at + 8:at + 16] != data[16:24]), size)
        last = max(at for at in range(32, size, 24 + page) if data[at + 4:at + 8] != bytes(4))
        size = last + 24 + page
    flip_at(path, source.randrange(size), source.randrange(8))


def flipped(value, source):
    if isinstance(value, int):
        return value ^ 1 << source.randrange(40)
    data = bytearray(value.encode() if isinstance(value, str) else value)
    data[source.randrange(len(data))] ^= 1  # the lowest bit keeps ASCII a text
    return data.decode() if isinstance(value, str) else bytes(data)


def flip_column(folder, table, column, source):
    database = opened(folder)
    columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    where = " AND key <> 'closed_below'" if table == "meta" else ""
    rows = database.execute(f"SELECT * FROM {table} WHERE {column} IS NOT NULL AND length({column}) > 0{where}").fetchall()
    row = source.choice(rows)
    same = " AND ".join(f"{name} IS ?" for name in columns)
    for _ in range(32):
        try:
            database.execute(f"UPDATE {table} SET {column} = ? WHERE {same}", (flipped(row[columns.index(column)], source), *row))
            break
        except sqlite3.IntegrityError:
            continue  # another row has that key: take another bit
    else:
        sys.exit(f"tamper_state: no bit of {table}.{column} can be flipped")
    database.close()


def columns_of(folder):
    database = sqlite3.connect(folder / "registry.sqlite")
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name").fetchall():
        names = []
        for row in database.execute(f"PRAGMA table_info({table})").fetchall():
            if (table, row[1]) not in UNVOUCHED and database.execute(f"SELECT 1 FROM {table} WHERE {row[1]} IS NOT NULL AND length({row[1]}) > 0").fetchone():
                names.append(row[1])
        if names and table not in WORK:
            yield table, names
    database.close()


def rewritten(folder):
    """One record says something else, and everything that follows from it is computed again. Only the signatures are out of reach."""
    database = opened(folder)
    leaves = [bytes(row[0]) for row in database.execute("SELECT bytes FROM leaf ORDER BY seq")]
    index = next(i for i, leaf in enumerate(leaves) if b'"dec":"deny"' in leaf)
    leaves[index] = leaves[index].replace(b'"dec":"deny"', b'"dec":"allow"', 1)
    database.execute("BEGIN")
    database.execute("UPDATE leaf SET bytes = ?, hash = ? WHERE seq = ?", (leaves[index], tamper.sha256(b"\0" + leaves[index]), index))
    database.execute("UPDATE record_index SET dec = 'allow' WHERE seq = ?", (index,))
    nodes, level = [tamper.sha256(b"\0" + leaf) for leaf in leaves], 0
    while len(nodes) > 1:
        nodes, level = [tamper.sha256(b"\1" + nodes[i] + nodes[i + 1]) for i in range(0, len(nodes) - 1, 2)], level + 1
        database.executemany("UPDATE node SET hash = ? WHERE level = ? AND idx = ?", [(h, level, i) for i, h in enumerate(nodes)])
    database.execute("COMMIT")
    database.close()


def cut(folder, keep):
    """The last records and all that belongs to them are gone, and the checkpoints over them too."""
    database = opened(folder)
    database.execute("BEGIN")
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        names = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
        for column in ({"record"} & names) | ({"seq"} & names):
            database.execute(f"DELETE FROM {table} WHERE {column} >= ?", (keep,))
    database.execute("DELETE FROM node WHERE (idx + 1) * (1 << level) > ?", (keep,))
    for table in ("cosignature", "tree_head"):
        database.execute(f"DELETE FROM {table} WHERE size > ?", (keep,))
    database.execute("COMMIT")
    database.close()


def main():
    split = sys.argv.index("--")
    registry, admin = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    older = pathlib.Path(sys.argv[sys.argv.index("--older") + 1])
    verifier = sys.argv[split + 1:]
    source = random.Random(20261121)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="forge-tamper-"))
    copies = {"registry": scratch / "registry", "admin": scratch / "admin"}
    results = []

    def attempt(forge, origin=registry):
        for name, folder in (("registry", origin), ("admin", admin)):
            shutil.rmtree(copies[name], ignore_errors=True)
            # The reserve is 64 MiB of nothing: it is copied for its own turn alone.
            shutil.copytree(folder, copies[name], ignore=shutil.ignore_patterns("reserve", "*.lock", "lock", "*-shm"))
        forge()
        command = [w.replace("{registry}", str(copies["registry"])).replace("{admin}", str(copies["admin"])) for w in verifier]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        said = (done.stderr.strip() or done.stdout.strip()).split("\n")[-1]
        return done.returncode, said.replace(str(scratch) + "/", "").removeprefix("NOT VERIFIED: ")

    def judge(name, forge, origin=registry, refuse=True):
        code, said = attempt(forge, origin)
        right = (code != 0 and bool(said)) if refuse else code == 0
        results.append(right)
        verdict = ("caught" if refuse else "verifies") if right else ("MISSED" if refuse else "DOES NOT VERIFY")
        print(f"  {verdict:9} {name}: {said[:150]}", flush=True)

    def flip(part, name):
        if name == "reserve":
            shutil.copyfile(registry / name, copies["registry"] / name)
        flip_file(copies[part], name, source)

    try:
        judge("the copies as they are", lambda: None, refuse=False)
        for part, folder in (("registry", registry), ("admin", admin)):
            for kind, name in kinds(folder, KINDS[part]).items():
                judge(f"one bit flipped in {kind}", lambda part=part, name=name: flip(part, name))
        for table, names in columns_of(copies["registry"]):
            missed, first = [], ""
            for column in names:
                code, said = attempt(lambda column=column: flip_column(copies["registry"], table, column, source))
                if not first or "refers to a row" in first:  # true, and the least that can be said
                    first = said
                missed += [column] if code == 0 else []
            results.append(not missed)
            print(f"  {'MISSED' if missed else 'caught':9} one bit in each of the {len(names)} columns of {table}: {', '.join(missed) or first[:150]}", flush=True)
        judge("a record edited, every hash computed again", lambda: rewritten(copies["registry"]))
        signed = int(json.loads((admin / "witness.json").read_bytes().split(b"\n", 1)[1])["head"].split("\n")[1])
        judge("the tail cut off, with its checkpoints", lambda: cut(copies["registry"], signed - 1))
        judge("an older database restored", lambda: None, origin=older)
    finally:
        shutil.rmtree(scratch)
    print(f"  {sum(results)} of {len(results)} as they should be")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
