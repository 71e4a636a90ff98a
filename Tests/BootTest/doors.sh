# doors.sh: who may open which socket, as the kernel says it (the coarse door).

inside sh -c 'for u in alice bob carol dana erin app mallory; do id $u >/dev/null 2>&1 || useradd -m -s /bin/bash $u; done
    for u in alice bob carol dana erin; do usermod -aG forge-operators $u; done; usermod -aG forge-clients app
    echo "dear diary" >/home/alice/diary; chmod 0755 /home/alice; chmod 0644 /home/alice/diary'

while read -r socket group; do
    equal "$socket.sock belongs to $group" "root $group 660" "$(inside stat -c '%U %G %a' /run/forge/$socket.sock)"
done <<'END'
admin forge-operators
registry forge-operators
weights forge-registry
trainer forge-operators
serve forge-clients
serve-operator forge-operators
END

for socket in admin registry weights trainer serve serve-operator; do
    refuses "mallory, in no group, cannot open $socket.sock" 'permission denied|couldn.t connect' call mallory $socket /healthz
done
for socket in admin registry trainer serve-operator; do
    holds "alice, an operator, reaches $socket.sock" '^200$' "$(call alice $socket /healthz 2>&1 | tail -n 1)"
    refuses "app, a client, cannot open $socket.sock" 'permission denied|couldn.t connect' call app $socket /healthz
done
holds 'app, a client, reaches serve.sock' '^200$' "$(call app serve /healthz 2>&1 | tail -n 1)"
refuses 'alice, no client, cannot open serve.sock' 'permission denied|couldn.t connect' call alice serve /healthz
refuses 'alice cannot open weights.sock' 'permission denied|couldn.t connect' call alice weights /healthz
equal 'the error is EACCES' EACCES "$(as mallory python3 -c '
import errno, socket
try: socket.socket(socket.AF_UNIX).connect("/run/forge/admin.sock"); print("connected")
except OSError as e: print(errno.errorcode[e.errno])')"
