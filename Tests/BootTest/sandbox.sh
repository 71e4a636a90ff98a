# sandbox.sh: attacks from inside each unit's sandbox. Each unit is copied with every line of its sandbox and runs forge-attack instead of
# its daemon, so what is tested is the unit that was installed. The control, root without a sandbox, must succeed where the table says so.

attack() { # attack UNIT LINE…: runs a unit made of the lines given, and prints what it wrote.
    local unit=$1; shift
    printf '%s\n' "$@" | inside sh -c "cat >/run/systemd/system/$unit.service; rm -f /run/$unit.out; systemctl daemon-reload; systemctl start $unit.service; cat /run/$unit.out"
}

# A key in the keyring of each uid, for the attack on keyrings.
for user in root forge-admin forge-registry forge-train forge-serve; do
    inside systemd-run --quiet --wait -p User=$user -p KeyringMode=shared /usr/local/bin/forge-attack --add-key || not_ok "a key can be planted for $user"
done

control=$(attack attack-control '[Service]' 'Type=oneshot' 'KeyringMode=shared' 'ExecStart=/usr/local/bin/forge-attack none' 'StandardOutput=file:/run/attack-control.out')
vain=$(inside /usr/local/bin/forge-attack --table | while read -r attack must; do
    [ $must = no ] || grep -qx "$attack succeeded" <<<"$control" || printf '%s ' "$(grep "^$attack " <<<"$control")"
done)
equal 'without a sandbox root can do what the attacks try' '' "$vain"

wanted=$(inside /usr/local/bin/forge-attack --table | wc -l)
while read -r unit state; do
    mapfile -t lines < <(inside cat /lib/systemd/system/$unit.service | sed -n '/^\[Service\]/,/^\[Install\]/p' \
        | grep -vE '^\[Install\]|^(Type|NotifyAccess|WatchdogSec|TimeoutStartSec|Restart|RestartSec|ExecStart|Sockets)=')
    result=$(attack attack-$unit "${lines[@]}" 'Type=oneshot' "ExecStart=/usr/local/bin/forge-attack $state" "StandardOutput=file:/run/attack-$unit.out")
    equal "$unit: all $wanted attacks were tried" "$wanted" "$(printf '%s\n' "$result" | grep -c .)"
    while read -r attack outcome detail; do
        case $outcome in
            refused) ok "$unit: $attack is refused ($detail)";;
            killed) ok "$unit: $attack is stopped (signal $detail)";;
            *) not_ok "$unit: $attack is refused" "it $outcome $detail";;
        esac
    done <<<"$result"
done <<'END'
forge-admin admin
forge-registry registry
forged trainer
forge-serve serve
END
