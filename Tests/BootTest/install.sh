# install.sh: a medium that was tampered with is refused; the true one installs with one command and everything is up.

root=$("$here/box.sh" root $name)
install -D -m 0644 "$BOX_DIR/medium/forge-archive-keyring.gpg" "$root/etc/apt/keyrings/forge.gpg"
echo 'deb [signed-by=/etc/apt/keyrings/forge.gpg] file:/media/forge bookworm main' >"$root/etc/apt/sources.list.d/forge.list"
apt() { inside apt-get -q -o APT::Update::Error-Mode=any "$@"; }

equal 'the machine has no interface but lo' 'lo' "$(inside sh -c 'ls /sys/class/net 2>/dev/null || ip -br link' | tr '\n' ' ' | sed 's/ $//')"
equal 'the machine has no other package source' '' "$(inside sh -c 'cat /etc/apt/sources.list 2>/dev/null; ls /etc/apt/sources.list.d | grep -v forge.list')"

index=$BOX_DIR/medium/dists/bookworm/main/binary-amd64/Packages
cp "$index" "$BOX_DIR/Packages"; cp "$index.gz" "$BOX_DIR/Packages.gz"
sed -i 's/^Priority: optional/Priority: required/' "$index"; gzip -9nkf "$index"
refuses 'an altered index is refused' 'hash sum mismatch|unexpected size|mismatch' apt update
cp "$BOX_DIR/Packages" "$index"; cp "$BOX_DIR/Packages.gz" "$index.gz"

echo 'deb [signed-by=/etc/apt/keyrings/forge.gpg] file:/media/stranger bookworm main' >"$root/etc/apt/sources.list.d/forge.list"
refuses 'a medium signed with another key is refused' 'NO_PUBKEY|not signed|signatures couldn|invalid' apt update
echo 'deb [signed-by=/etc/apt/keyrings/forge.gpg] file:/media/forge bookworm main' >"$root/etc/apt/sources.list.d/forge.list"

check 'the true medium is accepted' apt update
package=$(ls "$BOX_DIR"/medium/pool/forge_*.deb)
cp "$package" "$BOX_DIR/forge.deb"
printf 'x' | dd of="$package" bs=1 seek=$(($(stat -c %s "$package") / 2)) conv=notrunc status=none
refuses 'an altered package is refused' 'hash sum mismatch|unexpected size|mismatch|corrupt' apt install -y forge
cp "$BOX_DIR/forge.deb" "$package"
inside sh -c 'rm -rf /var/cache/apt/archives/*.deb'

if said=$(apt install -y --no-install-recommends forge 2>&1); then ok '`apt install forge` succeeds without a network'
else not_ok '`apt install forge` succeeds without a network' "$said"; return 1; fi
case $said in *'is not active'*) not_ok 'the health gate of the package found every daemon up' "$(printf '%s' "$said" | grep 'is not active')";; *) ok 'the health gate of the package found every daemon up';; esac

check 'forge.target is active' inside systemctl is-active forge.target
up=yes
for daemon in $daemons; do
    wait_for 20 inside systemctl is-active --quiet $daemon.service
    state=$(inside systemctl show -p ActiveState --value $daemon.service)
    if [ "$state" = active ]; then ok "$daemon.service is active"
    else up=no; not_ok "$daemon.service is active" "$(inside journalctl --no-pager -o cat -n 12 -u $daemon.service 2>&1)"; fi
done
equal 'no unit failed' '' "$(inside systemctl --failed --plain --no-legend | awk '{print $1}')"
check 'forge.slice holds them' inside sh -c 'systemctl status forge.slice --no-pager | grep -q forge-registry.service'

# What systemd really applies, asked of systemd and not of the file.
while read -r property wanted; do
    for daemon in $daemons; do equal "$daemon.service runs with $property=$wanted" "$wanted" "$(inside systemctl show -p "$property" --value $daemon.service)"; done
done <<'END'
Type notify
NotifyAccess main
NoNewPrivileges yes
CapabilityBoundingSet
AmbientCapabilities
ProtectSystem strict
ProtectHome yes
PrivateTmp yes
PrivateDevices yes
PrivateNetwork yes
PrivateIPC yes
PrivateMounts yes
PrivateUsers no
ProtectProc invisible
ProcSubset pid
ProtectHostname yes
ProtectClock yes
ProtectKernelTunables yes
ProtectKernelModules yes
ProtectKernelLogs yes
ProtectControlGroups yes
RestrictAddressFamilies AF_UNIX
RestrictRealtime yes
RestrictSUIDSGID yes
LockPersonality yes
MemoryDenyWriteExecute yes
RemoveIPC yes
KeyringMode private
DevicePolicy closed
UMask 0077
LimitCORE 0
SystemCallArchitectures native
StateDirectoryMode 0700
OOMPolicy stop
END
for daemon in $daemons; do
    pid=$(inside systemctl show -p MainPID --value $daemon.service)
    equal "$daemon has a system call filter, no capability and no new privileges in the kernel's own words" 'CapBnd 0000000000000000 CapEff 0000000000000000 NoNewPrivs 1 Seccomp 2 ' \
        "$(inside sed -nE 's/^(CapBnd|CapEff|NoNewPrivs|Seccomp):\s*/\1 /p' /proc/$pid/status | sort | tr '\n' ' ')"
    check "$daemon has a credential of its own" inside sh -c "test \$(stat -c %a /run/credentials/$daemon.service/forge.master) = 400 || test \$(stat -c %a /run/credentials/$daemon.service/forge.master) = 440"
    equal "$daemon carries no secret in its environment" '' "$(inside sh -c "tr '\\0' '\\n' </proc/$pid/environ" | grep -iE 'key|secret|token|passphrase' || true)"
done
for state in admin registry trainer serve; do equal "/var/lib/forge/$state is its daemon's alone" 700 "$(inside stat -c %a /var/lib/forge/$state)"; done
check 'the verbs answer' inside forge --version
check 'the manual page is there' inside sh -c 'ls /usr/share/man/man1/forge.1.gz || grep -q path-exclude /etc/dpkg/dpkg.cfg.d/*'
[ $up = yes ]
