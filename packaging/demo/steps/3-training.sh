heading '3. A tokenizer and a model, twice, to the same bit'
need train; need run watch; need run show
tell "The recipe $recipe trains a byte-level BPE tokenizer and a small decoder of the Mistral architecture. One run is left alone. The other, in a second root with keys of its own, has its worker and then its daemon killed with SIGKILL on the way, and resumes. Both must end in the same model digest."
as dana run forge recipe check "$recipe"
as dana run forge train "$recipe" --data manuals --name manuals
first=$(as dana forge run ls -o json | field items.0.id) || fail 'no run was queued'
as dana run forge run watch "$first"
digest_one=$(as dana forge run show "$first" -o json | field model.digest) || fail 'the first run left no model'

site twin >.demo/twin.yaml
(
    export FORGE_ROOT=$demo/twin
    keys_of=$keys; keys=$keys/twin; mkdir -p "$keys"
    up twin
    forge init --file .demo/twin.yaml --passphrase-file "$keys_of/passphrase" >/dev/null || fail 'the second root could not be initialised'
    as dana forge login dana --key "$keys_of/dana" >/dev/null || fail 'no sign-in at the second root'
    as dana forge data add .demo/documents --name manuals >/dev/null || fail 'the documents could not be added at the second root'
    as dana run forge train "$recipe" --data manuals --name manuals
    second=$(as dana forge run ls -o json | field items.0.id)
    at() { as dana forge run show "$second" -o json | python3 -c 'import json,sys; r=json.load(sys.stdin); print(int(100*r.get("step",0)/max(1,r.get("steps",1))))'; }
    past() { [ "$(at)" -ge "$1" ]; }
    wait_until 3600 past 30 || fail 'the second run does not move'
    worker=$(pgrep -f "forged .*worker" | head -n 1); [ -n "$worker" ] || fail 'no worker process was found'
    run kill -KILL "$worker"; tell "  the worker of the second run was killed at $(at) %"
    as dana run forge run resume "$second"
    wait_until 3600 past 60 || fail 'the second run does not resume'
    daemon=$(pgrep -f "forged .*twin" | head -n 1)
    run kill -KILL "$daemon"; tell "  the trainer daemon was killed at $(at) %"
    down twin; up twin
    forge unseal --passphrase-file "$keys_of/passphrase" >/dev/null || fail 'the second root could not be unsealed'
    as dana forge login dana --key "$keys_of/dana" >/dev/null
    as dana forge run resume "$second"
    as dana run forge run watch "$second"
    as dana forge run show "$second" -o json | field model.digest >.demo/twin.digest
    down twin
) || exit
digest_two=$(cat .demo/twin.digest)
printf '  left alone   %s\n  killed twice %s\n' "$digest_one" "$digest_two"
[ "$digest_one" = "$digest_two" ] || fail 'the two digests differ'
tell 'Equal work gave an equal model.'
