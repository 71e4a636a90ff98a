heading '8. Nobody has to believe us'
need audit export
tell 'The whole log is verified by forge-verify, which shares no code with the daemons, and by a Python script written from docs/formats alone. Then copies are tampered with: one bit in every kind of file, an edited record with every hash computed again, a tail cut off, an older database restored.'
rm -rf .demo/archive .demo/archive-older
as otto run forge audit export .demo/archive-older
# The witness cosigns on its own time; what it signs after this is what an older database cannot match.
older=$(sed -n 2p .demo/archive-older/checkpoint)
newer() { [ "$(as otto forge status -o json | field item.registry.witnessed)" -gt "$older" ]; }
as otto run forge audit verify
wait_until 120 newer || fail 'the witness did not cosign'
as otto run forge audit export .demo/archive
run forge-verify .demo/archive
run python3 docs/examples/verify.py .demo/archive
tell 'forge-verify on forgeries:'
python3 $here/tamper.py .demo/archive --older .demo/archive-older -- forge-verify '{archive}' --log-key "$demo/archive/keys/log.vkey" --witness '{witness}' || fail 'a forgery was missed'
tell 'The Python script on forgeries:'
python3 $here/tamper.py .demo/archive --older .demo/archive-older -- python3 docs/examples/verify.py '{archive}' --log-key "$demo/archive/keys/log.vkey" --witness '{witness}' || fail 'a forgery was missed'
