#!/bin/bash
# run.sh [SEED…]: the fund's example, whole: a decoder of less than a million parameters is taught a formula language by examples, and then twice by its own answers, by policy
# learning and by preferences. One model a SEED (1 if none is named); 1 2 3 are what the README's table shows.
#
# owns      .examples/fund: an appliance of its own, the tasks, results.jsonl
# promises  every line with `$` was run as shown; what is held out has no meaning in common with what is learnt from; ends with 1 if the learning did not help
# needs     make build; no data of anybody's: the tasks are drawn
set -uo pipefail
cd "$(dirname "$0")/../../.."
at=.examples/fund
. packaging/demo/lib.sh
seeds=("${@:-1}")
place forge-fund
trap 'down site' EXIT
trap 'exit 130' INT TERM
rm -rf "$roots/site" "$keys" "$at"/*.log "$at"/*.yaml "$at"/results.jsonl "$at"/sft "$at"/tasks

step=1; heading '1. An appliance, and tasks for it'
people; site site >"$at/site.yaml"
up site; run forge init --file "$at/site.yaml" >/dev/null
sign_in() { as dana forge login dana --key "$keys/dana" >/dev/null || fail 'dana could not sign in'; }
sign_in
mkdir -p "$at/sft" "$at/tasks"
generate() { # generate FILE WORD…
    show forge-quant generate "${@:2}" ">$1"; .build/release/forge-quant generate "${@:2}" >"$1" || fail 'the tasks could not be drawn'
}
generate "$at/sft/examples.jsonl" --seed 1 --count 1000 --level 2-3 --form sft
generate "$at/tasks/tasks.jsonl" --seed 2 --count 3000 --level 2-3 --form prompts
# Drawn with another seed, and of the part of the language that nothing is learnt from.
generate "$at/tasks/tasks.valid.jsonl" --seed 91 --count 800 --level 2-3 --form prompts --split heldout
as dana run forge data add "$at/sft" --name quant-sft -q
as dana run forge data add "$at/tasks" --name quant-tasks -q

# train RECIPE SEED DATA [BASE]: leaves the new model's name in $model.
train() {
    local recipe=$at/$1-$2.yaml
    sed -e "s/^seed: .*/seed: $2/" -e "s/^base: .*/base: ${4-}/" "recipes/$1.yaml" >"$recipe"
    sign_in; as dana run forge train "$recipe" --data "$3" --name "$1"
    sign_in
    model=$1@$(as dana forge model ls "$1" -o json | python3 -c 'import json, sys; print(max(m["version"] for m in json.load(sys.stdin)["items"]))') || fail 'the models could not be listed'
}
# score SEED METHOD: what $model's answers to the held-out tasks earn.
score() {
    as dana run forge eval "$model" --data quant-tasks
    as dana forge eval "$model" --data quant-tasks -q -o json | python3 -c '
import json, sys
tasks = json.load(sys.stdin)["item"]["tasks"]
print(json.dumps({"seed": int(sys.argv[1]), "method": sys.argv[2], "right": tasks["right"], "count": tasks["count"]}))' "$1" "$2" >>"$at/results.jsonl" || fail 'there is no score'
}
for seed in "${seeds[@]}"; do
    step=2; heading "2. Seed $seed: examples"
    train quant-sft "$seed" quant-sft; score "$seed" sft; taught=$model
    step=3; heading "3. Seed $seed: its own answers, weighed by what they earn"
    train quant-grpo "$seed" quant-tasks "$taught"; score "$seed" grpo
    step=4; heading "4. Seed $seed: its own answers, the better beside the worse"
    train quant-odpo "$seed" quant-tasks "$taught"; score "$seed" odpo
done

step=5; heading 'Done'
python3 docs/examples/fund/report.py "$at/results.jsonl" || fail 'learning from its own answers did not help'
