#!/usr/bin/env python3
"""transcript.py [RAW [PAGE]]   Makes the manual's page of a demo out of what was seen.

RAW   what demo.sh kept (.demo/transcript.raw); PAGE   the page (docs/manual/demo.md). Standard library only.

Colours go, a progress bar keeps its last state, the folders of this machine become `.demo`, and of a command that says much the first and
the last lines stay, with the number of those left out. Nothing else is changed, added or put in another order. A run that did not reach its
end makes no page.
"""
import os
import pathlib
import re
import sys

HEAD = """# The demo, as it ran

{what} on {cores}:
{minutes} minutes from beginning to end. This page was made by `packaging/demo/transcript.py` from what it printed. Lines with `$` were
run as shown, by the person before it; long outputs are shortened where it says so. The files are `packaging/demo/steps/`, one a step.
"""
SHOWN, FIRST, LAST = 18, 11, 4


def clean(text):
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]", "", text)
    lines = []
    for line in text.split("\n"):
        states = [state for state in line.rstrip("\r").split("\r") if state.strip()]
        lines.append(states[-1].rstrip() if states else "")
    return lines


def shortened(lines):
    """Runs of output between commands, each cut in the middle if it is long."""
    out, block = [], []

    def left_out(lines, first, last):
        return lines[:first] + [f"  … {len(lines) - first - last} lines left out …"] + lines[-last:] if len(lines) > first + last + 1 else lines

    def flush():
        # Each forgery is a line of its own and says something of its own.
        whole = any(line.startswith("  caught ") for line in block)
        out.extend(block if whole or len(block) <= SHOWN else left_out(block, FIRST, LAST))
        block.clear()

    progress = []
    for line in lines + [""]:
        if re.match(r"(training|reading) +\d+ %", line):
            progress.append(line)
            continue
        block.extend(left_out(progress, 1, 1))
        progress.clear()
        if re.match(r"[a-z]*\$ ", line) or not line:
            flush()
            out.append(line)
        else:
            block.append(line)
    return out[:-1]


def page(raw, here):
    lines = clean(raw)
    lines = [line for line in lines if not line.startswith(("Script started", "Script done"))]
    for folder in ("/var/tmp/forge-demo", f"{here}/.demo"):
        lines = [line.replace(folder, ".demo") for line in lines]
    lines = [line.replace(f"{here}/", "") for line in lines]
    titles = [i for i, line in enumerate(lines) if re.match(r"== .* \(\d+:\d\d\)$", line)]
    if not titles or not lines[titles[-1]].startswith("== Done"):
        sys.exit("transcript: this run did not reach its end; no page was made")
    minutes, seconds = map(int, re.search(r"\((\d+):(\d\d)\)$", lines[titles[-1]]).groups())
    cores = re.search(r"on (\d+) processors", "\n".join(lines[: titles[0]]))
    # A page of a practice says so at once; the shipped recipe has a page of its own as soon as it was run.
    practised = any("This is not the shipped recipe" in line or "This was practice" in line for line in lines)
    out = [HEAD.format(what="A practice of `make demo` with a much shorter recipe than the shipped one" if practised else "`make demo`", cores=f"{cores.group(1)} processors" if cores else "this machine", minutes=minutes + (seconds >= 30))]
    for start, end in zip(titles, titles[1:] + [len(lines)]):
        title = re.fullmatch(r"== (.*?)\s+(\(\d+:\d\d\))", lines[start])
        body = "\n".join(shortened(lines[start + 1 : end])).strip("\n")
        out.append(f"## {title.group(1)}\n\nAfter {title.group(2)[1:-1]}.\n\n```text\n{body}\n```\n")
    return "\n".join(out)


if __name__ == "__main__":
    here = os.getcwd()
    raw = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".demo/transcript.raw").read_text(encoding="utf-8", errors="replace")
    text = page(raw, here)
    pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else "docs/manual/demo.md").write_text(text, encoding="utf-8")
