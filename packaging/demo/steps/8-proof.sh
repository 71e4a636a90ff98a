heading '8. Nobody has to believe us'
need audit export
tell 'The whole log is verified by forge-verify, which shares no code with the daemons, and by a Python script written from docs/formats alone.'
rm -rf .demo/archive .demo/archive-older .demo/state .demo/state-older
# copied DIRECTORY: the two state directories as they lie there while the daemons run; taken again if a record was being written meanwhile.
copied() {
    local try
    for try in 1 2 3 4 5; do
        rm -rf "$1"; mkdir -p "$1"
        # The witness first: what it remembers is then in the log that is copied after it.
        cp -r --sparse=always "$FORGE_ROOT/state/admin" "$FORGE_ROOT/state/registry" "$1/" || continue
        rm -f "$1"/*/*lock "$1"/*/*-shm
        if forge-verify "$1/registry" --state-of-admin "$1/admin" --quiet >/dev/null 2>&1; then return; fi
        sleep 1
    done
    fail "no copy of the state verifies: $(forge-verify "$1/registry" --state-of-admin "$1/admin" 2>&1 | tail -n 1)"
}
as otto run forge audit export .demo/archive-older
copied .demo/state-older
# The witness cosigns on its own time; what it signs past the last record of the older copies is what these cannot match. The database was
# copied after the archive was exported, so its records are the ones to count.
older=$(forge-verify .demo/state-older/registry --state-of-admin .demo/state-older/admin | sed -n 's/^VERIFIED \([0-9]*\) records.*/\1/p')
[ -n "$older" ] || fail 'the older copy of the state does not say how many records it has'
newer() { [ "$(as otto forge status -o json | field item.registry.witnessed)" -gt "$older" ]; }
as otto run forge audit verify
wait_until 120 newer || fail 'the witness did not cosign'
as otto run forge audit export .demo/archive
copied .demo/state
run forge-verify .demo/archive
run python3 docs/examples/verify.py .demo/archive
run forge-verify .demo/state/registry --state-of-admin .demo/state/admin

tell 'Then copies are tampered with. First the exported archive: one bit in every kind of file, an edited record with every hash computed again, a tail cut off, an older archive in its place. forge-verify:'
python3 $here/tamper.py .demo/archive --older .demo/archive-older -- forge-verify '{archive}' --log-key "$demo/archive/keys/log.vkey" --witness '{witness}' || fail 'a forgery was missed'
tell 'The Python script on the same forgeries:'
python3 $here/tamper.py .demo/archive --older .demo/archive-older -- python3 docs/examples/verify.py '{archive}' --log-key "$demo/archive/keys/log.vkey" --witness '{witness}' || fail 'a forgery was missed'
tell 'Then a copy of what the daemons themselves keep: one bit in every kind of file, one bit in every column of every table, and the same three forgeries. The store stays sealed: no key is needed to see any of it.'
python3 $here/tamper_state.py .demo/state/registry .demo/state/admin --older .demo/state-older/registry -- forge-verify '{registry}' --state-of-admin '{admin}' || fail 'a forgery was missed'
