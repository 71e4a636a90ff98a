#!/bin/bash
# box.sh up NAME [nspawn arguments] | sh NAME COMMAND… | root NAME | down NAME: a booted Debian system without a network, in seconds.
#
# owns      $BOX_DIR/NAME: an overlay over $BOX_BASE, so every test starts from the same pristine system and nothing is copied
# promises  a real systemd as PID 1 on the unified hierarchy, with no interface but `lo`; `down` powers it off and leaves nothing
# note      a process started by `sh` is not under the container's own system call filter: what a unit may do is tested through units
set -eu
verb=$1 name=$2; shift 2
work=${BOX_DIR:?}/$name
case $verb in
up)
    mkdir -p "$work/up" "$work/work" "$work/root"
    mount -t overlay "box-$name" -o "lowerdir=${BOX_BASE:?},upperdir=$work/up,workdir=$work/work" "$work/root"
    echo "$name" >"$work/root/etc/hostname"; : >"$work/root/etc/machine-id"
    groups=$(for h in /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do [ -d $h ] && echo $h; done)
    [ -n "$groups" ] || groups=/sys/fs/cgroup
    echo "$groups" >"$work/groups"
    for h in $groups; do mkdir -p "$h/$name"; done
    (
        for h in $groups; do echo $BASHPID >"$h/$name/cgroup.procs"; done
        # The container gets a /run of its own, and a hierarchy it can own; the system calls listed are those that nspawn itself
        # would deny and that the units (locked secret memory, Landlock) need.
        exec env SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 unshare -m --propagation private \
            sh -c 'mount -t tmpfs tmpfs /run; exec "$@"' sh \
            systemd-nspawn -q -D "$work/root" -M "$name" --boot --private-network --register=no --keep-unit \
            --link-journal=no --console=read-only --capability=CAP_IPC_LOCK,CAP_BPF,CAP_PERFMON \
            --system-call-filter='@keyring @memlock bpf memfd_secret landlock_create_ruleset landlock_add_rule landlock_restrict_self seccomp' \
            "$@" </dev/null >"$work/console" 2>&1
    ) & supervisor=$!
    echo $supervisor >"$work/supervisor"
    for _ in $(seq 300); do
        sleep 0.1
        kill -0 $supervisor 2>/dev/null || break
        init=$(pgrep -P $supervisor | head -n 1) || continue
        echo "$init" >"$work/init"
        state=$("$0" sh "$name" systemctl is-system-running --wait 2>/dev/null) || true
        case $state in running|degraded) echo "$state"; exit 0;; esac
    done
    cat "$work/console" >&2; exit 1;;
sh)
    exec nsenter -t "$(cat "$work/init")" -m -p -u -i -n -C -r -w env -i LANG=C.UTF-8 HOME=/root \
        PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@";;
root) echo "$work/root";;
down)
    supervisor=$(cat "$work/supervisor" 2>/dev/null || echo 0)
    if [ "$supervisor" != 0 ]; then
        kill "$supervisor" 2>/dev/null || true   # SIGTERM to nspawn is an orderly power-off inside
        for _ in $(seq 300); do kill -0 "$supervisor" 2>/dev/null || break; sleep 0.1; done
        kill -KILL "$supervisor" 2>/dev/null || true
    fi
    umount "$work/root" 2>/dev/null || umount -l "$work/root" 2>/dev/null || true
    for h in $(cat "$work/groups" 2>/dev/null); do find "$h/$name" -depth -type d -exec rmdir {} \; 2>/dev/null || true; done
    rm -rf "$work";;
*) echo "box: no verb \`$verb\`" >&2; exit 64;;
esac
