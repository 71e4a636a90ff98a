#!/bin/bash
# docs.sh: what the documents point to exists: relative links, files of the source that walks name, targets of the Makefile.
set -uo pipefail
cd "$(dirname "$0")/../.."
. Tests/Packaging/report.sh

documents=$(find README.md docs -name '*.md' | sort)
for document in $documents; do
    broken=$(python3 - "$document" <<'END'
import pathlib, re, sys
document = pathlib.Path(sys.argv[1])
text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.S)
for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", text):
    if "://" not in target and not (document.parent / target).exists(): print(f"no `{target}`")
for target in re.findall(r"`((?:Sources|Tests|docs|policy|packaging|systemd)/[A-Za-z0-9_./+-]*[A-Za-z0-9])`", text):
    if not pathlib.Path(target).exists(): print(f"no `{target}`")
END
)
    equal "$document points to things that are there" '' "$broken"
done
for target in $(grep -ohE '`make [a-z-]+`|^make [a-z-]+' README.md docs/*.md docs/manual/*.md | tr -d '`' | awk '{print $2}' | sort -u); do
    check "\`make $target\` exists" grep -q "^$target:" Makefile
done
# A walk that names a file by its name alone must name one that exists.
for walk in docs/walks/*.md; do
    missing=$(grep -ohE '`[A-Z][A-Za-z+]*\.swift`' "$walk" | tr -d '`' | sort -u | while read -r name; do [ -n "$(find Sources -name "$name" | head -n 1)" ] || echo "$name"; done)
    equal "$walk names files that are there" '' "$missing"
done
finish
