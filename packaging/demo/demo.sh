#!/bin/bash
# demo.sh: from a folder of documents to an answer that can be proven. Called by `make demo`, which builds first.
#
# owns      .demo: the documents, two roots (`site`, and `twin` for the second of two equal runs), the keys of four invented people
# promises  every line with `$`, after the name of who acts, was run as shown; each step stops the demo at the first thing that is not as it should be
# never     touches anything outside .demo; needs the network only to fetch Debian packages, once
# flow      steps/1-people.sh … steps/8-proof.sh, in order; `demo.sh 1 2 3` runs only those
set -uo pipefail
cd "$(dirname "$0")/../.."
. packaging/demo/lib.sh
demo=$PWD/.demo keys=$PWD/.demo/keys here=packaging/demo
export PATH=$PWD/.build/release:$PATH NO_PROXY='*' PYTHONDONTWRITEBYTECODE=1
export FORGE_ROOT=$demo/site
recipe=${FORGE_DEMO_RECIPE:-recipes/demo.yaml}

trap 'down site; down twin' EXIT
trap 'exit 130' INT TERM
mkdir -p .demo
only=" $* "
if [ "$only" = '  ' ]; then rm -rf .demo/site .demo/twin .demo/keys .demo/*.log .demo/archive* .demo/answers; fi

tell "Forge $(forge --version 2>/dev/null | tail -n 1), on $(nproc) processors. Everything happens in .demo and without a network."
for file in $here/steps/*.sh; do
    step=${file##*/}; step=${step%%-*}
    if [ "$only" != '  ' ] && [[ $only != *" $step "* ]]; then continue; fi
    . "$file"
done
heading 'Done'
tell "All eight steps were seen working. .demo/site is a whole appliance: \`forge up --root .demo/site\` starts it again."
