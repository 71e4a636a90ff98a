# lib.sh: how the demo talks. Sourced; never run.
#
# owns      headings, `run` (show a command, then what it says), `refused` (must fail, and for the reason named), `not_yet`
# promises  what is shown was run; the first thing that goes wrong ends the demo with a sentence and the command at fault
# never     hides an error or carries on after one

if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then bold=$'\033[1m' dim=$'\033[2m' plain=$'\033[0m'; else bold='' dim='' plain=''; fi
demo_began=$SECONDS

# record ARGUMENT…: goes on as a child whose every word is also kept in .demo/transcript.raw; on a terminal it still sees a terminal.
record() {
    [ -z "${FORGE_DEMO_RECORDED-}" ] || return 0
    mkdir -p .demo
    export FORGE_DEMO_RECORDED=1
    if [ -t 1 ] && command -v script >/dev/null; then exec script -qefc "packaging/demo/demo.sh $*" .demo/transcript.raw; fi
    packaging/demo/demo.sh "$@" 2>&1 | tee -i .demo/transcript.raw
    exit
}

heading() { printf '\n%s== %s%s   (%d:%02d)\n' "$bold" "$1" "$plain" $(((SECONDS - demo_began) / 60)) $(((SECONDS - demo_began) % 60)); }
# A paragraph; what belongs to the line before it begins with a blank.
tell()    { case $* in ' '*|…) ;; *) echo;; esac; printf '%s\n' "$*" | fold -s -w 110; }
fail()    { printf '\ndemo: step %s stopped: %s\n' "${step:-?}" "$1" >&2; exit 1; }
# A piece of Forge that is not in this build. It is said, and nothing that needs it is shown.
not_yet() { printf '\ndemo: not yet: %s. The steps before this one are real; nothing after it was tried.\n' "$1" >&2; exit 69; }

# verb WORD…: whether this build of forge has it.
verb() {
    local words=("$@") node
    node=$(forge --experimental-dump-help 2>/dev/null) || not_yet '`forge` does not describe itself'
    python3 -c '
import json, sys
command = json.load(sys.stdin)["command"]
for word in sys.argv[1:]:
    command = next((c for c in command.get("subcommands", []) if c["commandName"] == word), None)
    if command is None: sys.exit(1)
' "${words[@]}" <<<"$node"
}
need() { verb "$@" || not_yet "the verb \`forge $*\`"; }

# As it could be typed: a word with a blank is quoted.
show() {
    local word line=''
    for word in "$@"; do case $word in '# '*) line+=" $word";; *' '*) line+=" '$word'";; *) line+=" $word";; esac; done
    printf '%s%s$%s%s\n' "$dim" "${FORGE_DEMO_WHO-}" "$line" "$plain"
}
# run COMMAND…: shown, run, its output shown; a failure ends the demo.
run() { show "$@"; "$@" || fail "\`$*\` ended with $?"; }
# refused CODE PATTERN COMMAND…: must end with CODE and say something that matches PATTERN.
refused() {
    local wanted=$1 pattern=$2 said code; shift 2
    show "$@"
    said=$("$@" 2>&1); code=$?
    printf '%s\n' "$said" | sed 's/^/  /'
    [ $code -ne 0 ] || fail "\`$*\` was allowed, and must not be"
    [ $code -eq "$wanted" ] || fail "\`$*\` ended with $code, not with $wanted"
    grep -qE -- "$pattern" <<<"$said" || fail "\`$*\` was refused, but not because of /$pattern/"
}
# as PERSON COMMAND…: with that person's sign-in; `as dana run forge data ls` shows as `dana$ forge data ls`.
as() { local person=$1; shift; FORGE_DEMO_WHO=$person FORGE_SESSION=$keys/$person.session "$@"; }
# field NAME: of the JSON object on standard input; dots lead inwards.
field() { python3 -c '
import json, sys
value = json.load(sys.stdin)
for part in sys.argv[1].split("."): value = value[int(part)] if isinstance(value, list) else value[part]
print(value)' "$1"; }
wait_until() { # wait_until SECONDS COMMAND…
    local n=$(($1 * 5)); shift
    until "$@" >/dev/null 2>&1; do n=$((n - 1)); [ $n -gt 0 ] || return 1; sleep 0.2; done
}

# up NAME: `forge up --root $roots/NAME` in the background, until it says `ready`.
up() {
    local name=$1 log=.demo/$1.log
    forge up --root "$roots/$name" >"$log" 2>&1 &
    echo $! >".demo/$name.pid"
    wait_until 90 grep -qx ready "$log" || { tail -n 20 "$log" >&2; fail "\`forge up --root $roots/$name\` did not say ready"; }
}
down() {
    local pid; pid=$(cat ".demo/$1.pid" 2>/dev/null) || return 0
    rm -f ".demo/$1.pid"
    kill "$pid" 2>/dev/null || return 0
    # Not a child of this shell when a step ran in one of its own.
    wait_until 60 eval "! kill -0 $pid"
}
