#!/bin/bash
# demo.sh: from a folder of documents to an answer that can be proven. Called by `make demo`, which builds first.
#
# owns      .demo: the documents, two roots (`site`, and `twin` for the second of two equal runs), the keys of four invented people
# promises  every line with `$`, after the name of who acts, was run as shown; each step stops the demo at the first thing that is not as it should be
# never     touches anything outside .demo (and, as root in a closed folder, /var/tmp/forge-demo); needs the network only to fetch Debian packages, once
# writes    .demo/transcript.raw, all that was seen; transcript.py makes the manual's page of it
# flow      steps/1-people.sh … steps/8-proof.sh, in order; `demo.sh 1 2 3` runs only those
set -uo pipefail
cd "$(dirname "$0")/../.."
at=.demo
. packaging/demo/lib.sh
record "$@"
demo=$PWD/.demo here=packaging/demo
recipe=${FORGE_DEMO_RECIPE:-recipes/demo.yaml}
# Practice with another recipe: step 4 then reports the win over the 5-gram model and does not demand it.
practice=${FORGE_DEMO_RECIPE:+yes}
place forge-demo

trap 'down site; down twin' EXIT
trap 'exit 130' INT TERM
only=" $* "
if [ "$only" = '  ' ]; then rm -rf "$roots/site" "$roots/twin" .demo/keys .demo/*.log .demo/*.yaml .demo/*.digest .demo/archive* .demo/answers; fi

tell "Forge $(forge --version 2>/dev/null | tail -n 1), on $(nproc) processors. Everything happens in .demo and without a network."
for file in $here/steps/*.sh; do
    step=${file##*/}; step=${step%%-*}
    if [ "$only" != '  ' ] && [[ $only != *" $step "* ]]; then continue; fi
    . "$file"
done
heading 'Done'
[ -z "$practice" ] || tell "This was practice with $recipe: that it wins over counting was not demanded."
tell "All eight steps were seen working. $roots/site is a whole appliance: \`forge up --root $roots/site\` starts it again."
