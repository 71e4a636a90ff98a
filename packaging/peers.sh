#!/bin/bash
# peers.sh: .venv with the programs of others that tests and the demo compare with (Tests/Peers/requirements.txt).
# Does nothing when .venv already answers the file. Without a package index it says so and ends with 75: the tests then skip and count.
set -euo pipefail
cd "$(dirname "$0")/.."
wanted=Tests/Peers/requirements.txt stamp=.venv/.requirements
if cmp -s "$wanted" "$stamp" 2>/dev/null; then echo 'peers: .venv is up to date'; exit 0; fi
[ -x .venv/bin/python ] || /usr/bin/python3 -m venv .venv
if .venv/bin/pip install --quiet --disable-pip-version-check -r "$wanted"; then cp "$wanted" "$stamp"; echo 'peers: .venv is ready'; exit 0; fi
echo 'peers: could not fill .venv; tests that need it are skipped and counted' >&2
exit 75
