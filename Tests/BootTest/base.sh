#!/bin/bash
# base.sh: makes, once, the customer's machine that every boot test starts from, and the packages a medium must carry.
#
# owns      $FORGE_CACHE/base-bookworm-VERSION (a minimal Debian 12 with systemd) and $FORGE_CACHE/pool-VERSION (Forge's dependencies as .deb files)
# promises  the base has no package source and no Forge dependency that a minimal system lacks: an install must find everything on the medium
# never     needs the network again once the cache stands; never prints the mirror
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
version=5   # raise it when this file changes what it makes
cache=${FORGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/forge}
base=$cache/base-bookworm-$version pool=$cache/pool-$version
suite=bookworm

mkdir -p "$cache"
exec 9>"$cache/lock"; flock 9
if [ -e "$base.done" ]; then echo "$base $pool"; exit 0; fi

say() { echo "base: $*" >&2; }
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $suite" 'Component: main' | grep -v security | head -n 1)
[ -n "$mirror" ] || { say "no Debian 12 mirror in this machine's package sources"; exit 1; }

say "a minimal Debian 12 with systemd (once; kept in $cache)"
rm -rf "$base" "$pool"; mkdir -p "$pool"
# curl, ssh-keygen and Python are the customer's own tools: they are how people and apps call Forge here.
debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,curl,openssh-client,python3,procps \
    $suite "$base" "$mirror" >"$cache/debootstrap.log" 2>&1 || { tail -n 20 "$cache/debootstrap.log" >&2; exit 1; }

say "the dependencies that a medium carries"
rm -f "$base"/var/cache/apt/archives/*.deb
cp /etc/resolv.conf "$base/etc/resolv.conf" 2>/dev/null || true
chroot "$base" apt-get -q update >"$cache/apt.log" 2>&1
chroot "$base" apt-get -q install -y --no-install-recommends --download-only \
    libsqlite3-0 libssl3 libsystemd0 libyaml-0-2 libstdc++6 >>"$cache/apt.log" 2>&1 || { tail -n 20 "$cache/apt.log" >&2; exit 1; }
mv "$base"/var/cache/apt/archives/*.deb "$pool/"
rm -rf "$base"/etc/apt/sources.list "$base"/etc/apt/sources.list.d/* "$base"/var/lib/apt/lists/* "$base"/etc/resolv.conf
: >"$base/etc/machine-id"
touch "$base.done"
echo "$base $pool"
