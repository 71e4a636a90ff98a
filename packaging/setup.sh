#!/bin/bash
# setup.sh: the Debian packages that are missing, installed as root or named otherwise. Does nothing when all are there.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v swift >/dev/null; then
    echo 'setup: the Swift tool chain (6.2 or later) is not on the path; see https://www.swift.org/install/linux/' >&2; exit 1
fi
missing=()
while read -r name; do
    case $name in ''|'#'*) continue;; esac
    [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$name" 2>/dev/null)" = 'ii ' ] || missing+=("$name")
done <packaging/debian-packages.txt

if [ ${#missing[@]} -eq 0 ]; then echo 'setup: every Debian package is there'; exit 0; fi
if [ "$(id -u)" -ne 0 ]; then
    echo "setup: ${#missing[@]} Debian packages are missing. As root:" >&2
    echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
install() { apt-get -q install -y --no-install-recommends "${missing[@]}"; }
# The package lists may be old or absent on a fresh machine: a second try after an update.
log=$(mktemp); trap 'rm -f "$log"' EXIT
install >"$log" 2>&1 || { apt-get -q update >>"$log" 2>&1 && install >>"$log" 2>&1; } || { tail -n 20 "$log" >&2; exit 1; }
