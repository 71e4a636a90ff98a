#!/bin/bash
# run.sh DEB: what a customer does with the package, in a booted system that has no network.
#
# owns      the medium, the box and the order of the chapters (one file each, below); the counted last line
# promises  leaves no mount, process or control group behind, also when it is interrupted
# needs     root, about 600 MB, and systemd-nspawn; says so and counts a skip where it has not
# flow      base.sh (once) → medium.sh → box.sh up → install → doors → sandbox → life → days → remove → box.sh down
set -uo pipefail
deb=$(realpath "${1:?the package}")
cd "$(dirname "$0")/../.."
. Tests/Packaging/report.sh
here=$PWD/Tests/BootTest

for tool in systemd-nspawn debootstrap apt-ftparchive gpg nsenter gcc; do
    command -v $tool >/dev/null || { skip 'the package works in a booted system' "$tool is not installed"; finish; exit; }
done
[ "$(id -u)" -eq 0 ] || { skip 'the package works in a booted system' 'this needs root (mounts, a container)'; finish; exit; }

made=$("$here/base.sh") || { not_ok 'a minimal Debian 12 can be made' "see the lines above"; finish; exit; }
read -r base pool <<<"$made"
export BOX_BASE=$base BOX_DIR
BOX_DIR=$(mktemp -d "${TMPDIR:-/tmp}/forge-boot-XXXXXX")
name=forge-$$
trap '"$here/box.sh" down $name >/dev/null 2>&1; rm -rf "$BOX_DIR"' EXIT
trap 'exit 130' INT TERM

inside() { "$here/box.sh" sh $name "$@"; }
as()     { local who=$1; shift; inside runuser -u "$who" -- "$@"; }
# call WHO SOCKET PATH [curl arguments]: the answer's body, then its status on a line of its own.
call()   { local who=$1 socket=$2 path=$3; shift 3; as "$who" curl -sS --max-time 20 -w '\n%{http_code}\n' --unix-socket "/run/forge/$socket.sock" "$@" "http://forge$path"; }
wait_for() { # wait_for SECONDS COMMAND…
    local n=$(($1 * 5)); shift
    until "$@" >/dev/null 2>&1; do n=$((n - 1)); [ $n -gt 0 ] || return 1; sleep 0.2; done
}
daemons='forge-admin forge-registry forged forge-serve'

gcc -O1 -Wall -Wextra -Werror -static -o "$BOX_DIR/attack" "$here/attack.c" || { not_ok 'the attack program builds'; finish; exit; }
# The medium must hold all that apt needs and a minimal system lacks.
packaging/medium.sh "$BOX_DIR/medium" "$deb" "$pool"/*.deb >"$BOX_DIR/medium.log" 2>&1 || { not_ok 'the medium is made and signed' "$(cat "$BOX_DIR/medium.log")"; finish; exit; }
packaging/medium.sh "$BOX_DIR/stranger" "$deb" "$pool"/*.deb >/dev/null 2>&1

box_began=$SECONDS
if state=$("$here/box.sh" up $name --bind="$BOX_DIR/medium:/media/forge" --bind-ro="$BOX_DIR/stranger:/media/stranger"); then ok "a Debian 12 system is up ($state)"
else not_ok 'a Debian 12 system is up' "$state"; finish; exit; fi
install -m 0755 "$BOX_DIR/attack" "$("$here/box.sh" root $name)/usr/local/bin/forge-attack"

for chapter in install doors sandbox life days remove; do
    printf '%s\n' "-- $chapter"
    # Without daemons that are up the other chapters mean nothing; the count then holds a failure. The others stand for themselves.
    . "$here/$chapter.sh" || [ $chapter != install ] || break
done
printf '%s\n' "-- $((SECONDS - box_began)) s"
finish
