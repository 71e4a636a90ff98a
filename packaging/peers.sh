#!/bin/bash
# peers.sh [FILE…]: .venv with the programs of others that tests and the demo compare with (Tests/Peers/requirements.txt), and for
# `make bench` those it measures (Benchmarks/requirements.txt). Does nothing for a file that .venv already answers. Without a package
# index it says so and ends with 75: the tests then skip and count, the bench leaves the peer out.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- Tests/Peers/requirements.txt
[ -x .venv/bin/python ] || /usr/bin/python3 -m venv .venv
status=0
for wanted in "$@"; do
    stamp=.venv/.${wanted//\//-}
    if cmp -s "$wanted" "$stamp"; then echo "peers: .venv has $wanted"; continue; fi
    if .venv/bin/pip install --quiet --disable-pip-version-check -r "$wanted"; then cp "$wanted" "$stamp"; echo "peers: .venv has $wanted"
    else echo "peers: could not fill .venv with $wanted; what needs it is skipped and counted" >&2; status=75; fi
done
exit $status
