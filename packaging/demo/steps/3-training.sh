heading '3. A tokenizer and a model, twice, to the same bit; and two more seeds'
need train; need run watch; need run show
tell "The recipe $recipe trains a byte-level BPE tokenizer and a small decoder of the Mistral architecture. One run is left alone. The other, in a second root with keys of its own, has its worker and then its daemon killed with SIGKILL on the way, and goes on. Both must end in the same model digest."

# of RUN FIELD: a field of a run, as dana sees it.
of() { as dana forge run show "$1" -o json 2>/dev/null | field "item.$2" 2>/dev/null; }
newest() { as dana forge run ls -o json | field items.0.id; }
# percent RUN: how far it is.
percent() { local step steps; step=$(of "$1" progress.step) || step=0; steps=$(of "$1" steps) || steps=1; echo $((100 * ${step:-0} / (${steps:-1} > 0 ? ${steps:-1} : 1))); }
# reaches RUN PERCENT: waits for it, and stops the demo if the run ends in another way.
reaches() {
    local state
    while [ "$(percent "$1")" -lt "$2" ]; do
        state=$(of "$1" state)
        case $state in failed|cancelled) fail "the run is $state: $(of "$1" why)";; finished) return 0;; esac
        sleep 1
    done
}
# The trainer daemon of a root, and the worker it started.
daemon_of() { pgrep -f "forged .*$roots/$1/state/trainer" | head -n 1; }
worker_of() { pgrep -P "$(daemon_of "$1")" | tail -n 1; }

as dana run forge recipe check "$recipe" --data manuals
as dana run forge train "$recipe" --data manuals --name manuals
first=$(newest) || fail 'no run was queued'
digest_one=$(of "$first" result.digest) || fail "the first run left no model: $(of "$first" why)"

tell 'The same recipe in a second appliance, with the same documents and other keys.'
site twin >.demo/twin.yaml
(
    export FORGE_ROOT=$roots/twin
    people=$keys keys=$keys/twin; mkdir -p "$keys"   # the same people, with sign-ins of their own at the second appliance
    up twin
    forge init --file .demo/twin.yaml --quiet || fail 'the second root could not be initialised'
    as dana forge login dana --key "$people/dana" --quiet || fail 'no sign-in at the second root'
    as dana forge data add .demo/documents --name manuals --quiet || fail 'the documents could not be added at the second root'
    as dana run forge train "$recipe" --data manuals --name manuals --detach
    second=$(newest) || fail 'no run was queued at the second root'
    reaches "$second" 30
    victim=$(worker_of twin); [ -n "$victim" ] || fail 'the run has no worker process of its own'
    at=$(percent "$second")
    show kill -KILL "$victim" '# the worker'; kill -KILL "$victim"; tell "  killed at $at %"
    # One dead worker is a failed attempt: the run goes on by itself, or asks to be resumed.
    sleep 3; [ "$(of "$second" state)" != failed ] || as dana run forge run resume "$second"
    reaches "$second" 60
    victim=$(daemon_of twin)
    at=$(percent "$second")
    show kill -KILL "$victim" '# the trainer daemon'; kill -KILL "$victim"; tell "  killed at $at %; \`forge up\` starts it again"
    wait_until 60 of "$second" state || fail 'the trainer daemon did not come back'
    [ "$(of "$second" state)" != failed ] || as dana run forge run resume "$second"
    as dana run forge run watch "$second"
    of "$second" result.digest >.demo/twin.digest || fail "the second run left no model: $(of "$second" why)"
    down twin
) || exit
digest_two=$(cat .demo/twin.digest)
printf '  left alone    %s\n  killed twice  %s\n' "$digest_one" "$digest_two"
[ "$digest_one" = "$digest_two" ] || fail 'the two digests differ'
tell 'Equal work gave an equal model.'

# A score that one seed reached by luck says little: the same recipe with the next two seeds, left alone.
seed_one=$(sed -n 's/^seed: *//p' "$recipe"); seed_one=${seed_one:-1}
tell "One seed may be luck. The same recipe is trained with two more. A sign-in ends after a quarter of an hour without use, and the second appliance took about as long or longer: dana signs in again."
as dana run forge login dana --key "$keys/dana"
for seed in $((seed_one + 1)) $((seed_one + 2)); do
    sed "s/^seed:.*/seed: $seed/" "$recipe" >".demo/seed-$seed.yaml"
    grep -qx "seed: $seed" ".demo/seed-$seed.yaml" || fail "$recipe has no line \`seed:\`"
    as dana run forge train ".demo/seed-$seed.yaml" --data manuals --name manuals
done
