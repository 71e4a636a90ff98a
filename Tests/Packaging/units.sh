#!/bin/bash
# units.sh: the units say what the threat model promises. Needs no booted system.
#
# owns      syntax (systemd-analyze verify), exposure thresholds, and the list of directives that must be present, unit by unit
# promises  a directive missing, weakened or repeated with another value in any of the four units is named
set -uo pipefail
cd "$(dirname "$0")/../.."
. Tests/Packaging/report.sh

if ! command -v systemd-analyze >/dev/null; then
    skip 'the units are checked' 'systemd-analyze is not installed'; finish; exit
fi

root=$(mktemp -d); trap 'rm -rf "$root"' EXIT
units=$root/usr/lib/systemd/system
mkdir -p "$units" "$root/usr/libexec/forge" "$root/etc"
cp /usr/lib/systemd/system/{basic,sysinit,sockets,slices,multi-user,shutdown,local-fs,timers,paths}.target "$units/" 2>/dev/null
cp systemd/*.service systemd/*.socket systemd/*.target systemd/*.slice "$units/"
for program in forged forge-registry forge-serve forge-admin forge-firstboot; do install -m 0755 /bin/true "$root/usr/libexec/forge/$program"; done

for unit in systemd/*.service systemd/*.socket systemd/*.target systemd/*.slice; do
    said=$(systemd-analyze verify --man=no --recursive-errors=no --root="$root" "$units/${unit##*/}" 2>&1); code=$?
    if [ $code -eq 0 ] && [ -z "$said" ]; then ok "${unit##*/} is well formed"; else not_ok "${unit##*/} is well formed" "$said"; fi
done

# unit : user : state : AppArmor profile : credential : exposure allowed (tenths)
table='
forge-registry.service forge-registry registry forge-registry master   4
forge-admin.service    forge-admin    admin    forge-admin    admin    4
forge-serve.service    forge-serve    serve    forge-serve    serve    4
forged.service         forge-train    trainer  forged         trainer  4'

while read -r unit user state profile credential exposure; do
    [ -n "$unit" ] || continue
    check "$unit has an exposure of at most 0.$exposure" \
        systemd-analyze security --offline=true --root="$root" --threshold="$exposure" "$units/$unit"
    missing= changed=
    while IFS= read -r wanted; do
        case $wanted in ''|'#'*) continue;; esac
        wanted=${wanted//USER/$user}; wanted=${wanted//STATE/$state}; wanted=${wanted//-PROFILE/-$profile}; wanted=${wanted//CREDENTIAL/$credential}
        grep -qxF -- "$wanted" "systemd/$unit" || missing+="$wanted"$'\n'
    done <Tests/Packaging/directives.txt
    # A later line with the same key would override (or widen) the one that is listed.
    while IFS= read -r line; do
        key=${line%%=*}
        case $key in ExecStart|Sockets|SupplementaryGroups) continue;; esac
        grep -q "^$key=" Tests/Packaging/directives.txt || changed+="$line"$'\n'
        [ "$(grep -c "^$key=" "systemd/$unit")" = "$(grep -c "^$key=" Tests/Packaging/directives.txt)" ] || changed+="$line (repeated)"$'\n'
    done < <(sed -n '/^\[Service\]/,/^\[Install\]/{/^[A-Z][A-Za-z]*=/p}' "systemd/$unit" | grep -v '^WantedBy')
    equal "$unit has every directive of the common sandbox" '' "$missing"
    equal "$unit has no directive beside them" '' "$changed"
done <<<"$table"

# The GPU drop-in may widen only what it says.
allowed='PrivateDevices=no ProcSubset=all LimitMEMLOCK=infinity'
extra=$(sed -n '/^\[Service\]/,$p' systemd/gpu.conf | grep -E '^[A-Z]' | grep -vE '^DeviceAllow=char-nvidia(ctl|-frontend|-uvm|-caps)? rw$' | tr '\n' ' ')
equal 'gpu.conf widens devices, /proc and locked memory only' "$allowed" "${extra% }"
for unit in forged.service forge-serve.service; do
    sed -e '/^PrivateDevices=/d;/^ProcSubset=/d;/^LimitMEMLOCK=/d' "$units/$unit" >"$root/$unit"
    sed -n '/^\[Service\]/,$p' systemd/gpu.conf | grep -E '^[A-Z]' >"$root/gpu"
    sed -i "/^\[Service\]/r $root/gpu" "$root/$unit"
    check "$unit with gpu.conf has an exposure of at most 0.6" systemd-analyze security --offline=true --threshold=6 "$root/$unit"
done

# Sockets: name on disk, name of the descriptor, and who may open each.
while read -r unit path name group service; do
    [ -n "$unit" ] || continue
    found=$(sed -n 's/^\(ListenStream\|FileDescriptorName\|SocketGroup\|Service\|SocketMode\|SocketUser\|RemoveOnStop\)=//p' "systemd/$unit" | sort | tr '\n' ' ')
    wanted=$(printf '%s\n' "/run/forge/$path" "$name" "$group" "$service" 0660 root yes | sort | tr '\n' ' ')
    equal "$unit is /run/forge/$path for $group" "$wanted" "$found"
done <<'END'
forge-admin.socket          admin.sock          admin          forge-operators forge-admin.service
forge-registry.socket       registry.sock       registry       forge-operators forge-registry.service
forge-weights.socket        weights.sock        weights        forge-registry  forge-registry.service
forged.socket               trainer.sock        trainer        forge-operators forged.service
forge-serve.socket          serve.sock          serve          forge-clients   forge-serve.service
forge-serve-operator.socket serve-operator.sock serve-operator forge-operators forge-serve.service
END

for unit in systemd/*.service systemd/*.target; do
    check "${unit##*/} says what ready means" grep -q '^# Ready means' "$unit"
done
finish
