"""Decisions put on record, beside what SQLite alone does with as many rows a commit: the peer writes no tree and signs nothing."""
import os
import sqlite3
import time

TITLE = "log: a decision on record, durable when answered"


def plain(path, rows, per_commit):
    """Rows a second of raw SQLite, WAL and synchronous=FULL; the row is as long as a leaf."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE leaf (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL)")
    bytes_ = os.urandom(700)
    begun = time.perf_counter()
    for start in range(0, rows, per_commit):
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT INTO leaf (seq, bytes) VALUES (?, ?)", ((start + n, bytes_) for n in range(per_commit)))
        database.execute("COMMIT")
    seconds = time.perf_counter() - begun
    database.close()
    return rows / seconds


def rows(bench):
    found = bench.forge_bench("log")
    bench.peer("sqlite", sqlite3.sqlite_version)
    out = []
    for writers, text in ((1, "one writer"), (100, "100 writers at once")):
        peer = plain(str(bench.scratch / f"plain-{writers}.sqlite"), 2_000 if writers == 1 else 20_000, writers)
        out.append({"name": f"{text}: wait of each", "value": found[f"log.append.{writers}"]["median"], "p99": found[f"log.append.{writers}"]["p99"], "unit": "ms", "lower": True, "note": "median"})
        out.append({"name": f"{text}: all together", "value": found[f"log.rate.{writers}"]["value"], "unit": "records/s",
                    "peer": {"name": f"SQLite alone, {writers} a commit", "value": peer}})
    return out
