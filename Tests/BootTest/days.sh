# days.sh: a daemon that dies, hangs or is stopped; what the service manager and the sockets do about it.

for daemon in $daemons; do
    before=$(inside systemctl show -p MainPID --value $daemon.service)
    inside kill -KILL "$before"
    if wait_for 20 inside sh -c "p=\$(systemctl show -p MainPID --value $daemon.service); test \$p -gt 0 && test \$p != $before && systemctl is-active --quiet $daemon.service"; then
        ok "$daemon is back after SIGKILL"
    else not_ok "$daemon is back after SIGKILL" "$(inside systemctl status --no-pager -n 10 $daemon.service 2>&1)"; fi
done

# The watchdog, with a short patience for the test alone.
inside sh -c 'mkdir -p /run/systemd/system/forge-serve.service.d; printf "[Service]\nWatchdogSec=3\n" >/run/systemd/system/forge-serve.service.d/patience.conf; systemctl daemon-reload; systemctl restart forge-serve.service'
before=$(inside systemctl show -p MainPID --value forge-serve.service)
inside kill -STOP "$before"
if wait_for 30 inside sh -c "p=\$(systemctl show -p MainPID --value forge-serve.service); test \$p -gt 0 && test \$p != $before && systemctl is-active --quiet forge-serve.service"; then
    ok 'a daemon that hangs is found by the watchdog and restarted'
else not_ok 'a daemon that hangs is found by the watchdog and restarted' "$(inside systemctl status --no-pager -n 10 forge-serve.service 2>&1)"; fi
inside sh -c 'rm -r /run/systemd/system/forge-serve.service.d; systemctl daemon-reload; systemctl restart forge-serve.service'

# The sockets belong to systemd: a client that calls during a restart waits and is answered, in whichever instant it calls.
inside runuser -u alice -- sh -c 'for i in $(seq 60); do curl -s -o /dev/null -w "%{http_code}\n" --max-time 20 --unix-socket /run/forge/registry.sock http://forge/healthz; done' >"$BOX_DIR/restart.out" 2>&1 &
caller=$!
for _ in 1 2; do sleep 0.1; inside systemctl restart forge-registry.service; done
wait $caller
equal 'sixty calls during two restarts of the registry are all answered' '60' "$(grep -c '^200$' "$BOX_DIR/restart.out")"

began=$(date +%s)
inside systemctl stop forge.target
stopped() { inside sh -c '! systemctl is-active --quiet forge-admin forge-registry forged forge-serve && test -z "$(systemctl list-units --plain --no-legend --state=deactivating "forge*")"'; }
check 'stopping the target stops the four daemons' wait_for 40 stopped
check 'they stop within 20 s' test $(($(date +%s) - began)) -le 20
equal 'none of them failed on the way down' '' "$(inside systemctl --failed --plain --no-legend | awk '{print $1}')"
inside systemctl start forge.target
check 'and they start again' wait_for 20 inside systemctl is-active --quiet forge-admin forge-registry forged forge-serve
