#!/usr/bin/env python3
"""tamper.py ARCHIVE --older ARCHIVE -- VERIFIER...   Does to copies of an exported audit archive what a forger would, and asks a verifier.

VERIFIER is a command; `{archive}` in it is replaced by the tampered copy and `{witness}` by the checkpoint that the forger could not reach
(the one of ARCHIVE, kept elsewhere). Standard library only; written from docs/formats/audit-tree.md.

Each forgery must be refused (exit status not 0) and named (something is said). The untouched archive must pass. Exit 0 if all is so.
"""
import hashlib
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile


def sha256(data):
    return hashlib.sha256(data).digest()


def spelled(number):
    """Tile and bundle numbers in groups of three digits (C2SP tlog-tiles)."""
    text = f"{number:03d}" if number < 1000 else str(number)
    text = text.zfill((len(text) + 2) // 3 * 3)
    groups = [text[i:i + 3] for i in range(0, len(text), 3)]
    return "/".join(["x" + g for g in groups[:-1]] + groups[-1:])


def size_of(archive):
    return int((archive / "checkpoint").read_text().split("\n")[1])


def place(level, number, width):
    name = f"tile/{level}/{spelled(number)}"
    return name if width == 256 else f"{name}.p/{width}"


def read_leaves(archive):
    leaves, size = [], size_of(archive)
    for number in range((size + 255) // 256):
        width = min(256, size - 256 * number)
        data = (archive / place("entries", number, width)).read_bytes()
        while data:
            length = int.from_bytes(data[:2], "big")
            leaves.append(data[2:2 + length])
            data = data[2 + length:]
    return leaves


def write_tree(archive, leaves):
    """All bundles and tiles of these leaves, every hash computed again."""
    shutil.rmtree(archive / "tile")

    def put(level, number, blob, width):
        path = archive / place(level, number, width)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blob)

    for number in range((len(leaves) + 255) // 256):
        part = leaves[256 * number:256 * number + 256]
        put("entries", number, b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in part), len(part))
    nodes, level = [sha256(b"\0" + leaf) for leaf in leaves], 0
    while nodes:
        for number in range((len(nodes) + 255) // 256):
            part = nodes[256 * number:256 * number + 256]
            put(level, number, b"".join(part), len(part))
        for _ in range(8):  # a tile's level is eight levels of the tree; only complete subtrees have a node
            nodes = [sha256(b"\1" + nodes[i] + nodes[i + 1]) for i in range(0, len(nodes) - 1, 2)]
        level += 1


def kinds(archive):
    """One file of each stored kind: the largest, so that a flip meets something that matters."""
    chosen = {}
    for path in sorted(p for p in archive.rglob("*") if p.is_file() and p.stat().st_size):
        part = path.relative_to(archive).parts
        if part[0] == "tile":
            kind = "an entry bundle" if part[1] == "entries" else "a hash tile"
        elif part[0] == "checkpoints":
            kind = "an earlier checkpoint"
        else:
            kind = "`" + "/".join(part) + "`"
        if kind not in chosen or path.stat().st_size > chosen[kind].stat().st_size:
            chosen[kind] = path
    return {kind: path.relative_to(archive) for kind, path in chosen.items()}


def flip(path, source):
    data = bytearray(path.read_bytes())
    at = source.randrange(len(data))
    data[at] ^= 1 << source.randrange(8)
    path.write_bytes(data)


def edited(archive):
    """One record says something else, and every hash above it is right again. Only the signature is out of reach."""
    leaves = read_leaves(archive)
    for index, leaf in enumerate(leaves):
        for old, new in ((b'"dec":"deny"', b'"dec":"allow"'), (b'"out":"ok"', b'"out":"no"'), (b'"deny"', b'"ally"')):
            if old in leaf:
                leaves[index] = leaf.replace(old, new, 1)
                write_tree(archive, leaves)
                return
    leaves[0] = leaves[0][:-2] + b" }"
    write_tree(archive, leaves)


def truncated(archive):
    leaves = read_leaves(archive)
    write_tree(archive, leaves[:-max(1, len(leaves) // 20)])


def main():
    cut = sys.argv.index("--")
    archive = pathlib.Path(sys.argv[1])
    older = pathlib.Path(sys.argv[sys.argv.index("--older") + 1])
    verifier = sys.argv[cut + 1:]
    source = random.Random(20261121)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="forge-tamper-"))
    witness = scratch / "witness"
    # What a witness keeps is what it signed itself: the newest checkpoint with a line beside the log's own.
    signed = [path for path in sorted((archive / "checkpoints").iterdir()) if path.read_text().count("\n\u2014 ") > 1]
    shutil.copyfile(signed[-1] if signed else archive / "checkpoint", witness)
    passed = 0

    def judge(name, origin, forge, refuse=True):
        nonlocal passed
        copy = scratch / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(origin, copy)
        forge(copy)
        command = [w.replace("{archive}", str(copy)).replace("{witness}", str(witness)) for w in verifier]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        said = (done.stderr.strip() or done.stdout.strip()).replace(str(scratch) + "/", "").split("\n")
        right = (done.returncode != 0 and bool(said[0])) if refuse else done.returncode == 0
        passed += right
        verdict = ("caught" if refuse else "verifies") if right else ("MISSED" if refuse else "DOES NOT VERIFY")
        print(f"  {verdict:9} {name}: {said[0][:150]}")
        return right

    try:
        results = [judge("the archive as it is", archive, lambda copy: None, refuse=False)]
        for kind, path in kinds(archive).items():
            results.append(judge(f"one bit flipped in {kind}", archive, lambda copy, path=path: flip(copy / path, source)))
        results.append(judge("a record edited, every hash computed again", archive, edited))
        results.append(judge("the tail cut off", archive, truncated))
        results.append(judge("an older database restored", older, lambda copy: None))
        results.append(judge("a file that nothing proves", archive, lambda copy: (copy / "note.txt").write_text("trust me\n")))
    finally:
        shutil.rmtree(scratch)
    print(f"  {passed} of {len(results)} as they should be")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
