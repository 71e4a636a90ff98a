# lib.sh: how the demo and the examples talk. Sourced; never run.
#
# owns      where an appliance lies and who its people are, headings, `run` (show a command, then what it says), `refused` (must fail, and for the reason named), `not_yet`
# promises  what is shown was run; the first thing that goes wrong ends the demo with a sentence and the command at fault
# never     hides an error or carries on after one

if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then bold=$'\033[1m' dim=$'\033[2m' plain=$'\033[0m'; else bold='' dim='' plain=''; fi
demo_began=$SECONDS
# Everything of a demo or an example lies in one folder, which whoever sources this has named.
keys=$PWD/${at:?}/keys

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

# place SHORT: where roots lie ($roots), and the executables on the path. As root, `forge up` becomes a user of its own, who must be able to reach both: not from under
# somebody's home; they then lie in /var/tmp/SHORT.
place() {
    roots=$PWD/$at
    export PATH=$PWD/.build/release:$PATH NO_PROXY='*' PYTHONDONTWRITEBYTECODE=1
    mkdir -p "$at"; chmod 0755 "$at"
    if [ "$(id -u)" -eq 0 ] && ! setpriv --reuid 64747 --regid 64747 --clear-groups test -x "$PWD/.build/release/forge"; then
        roots=/var/tmp/$1
        rm -rf "$roots"; mkdir -p "$roots/bin"; chmod 0755 "$roots" "$roots/bin"
        install -m 0755 .build/release/forge .build/release/forged .build/release/forge-{registry,serve,admin,verify} "$roots/bin/"
        PATH=$roots/bin:$PATH
    fi
    export FORGE_ROOT=$roots/site
}
# An SSH key each, and a passphrase for the store.
people() {
    mkdir -p "$keys"; chmod 0700 "$keys"
    local person
    for person in dana rene mila otto; do
        [ -e "$keys/$person" ] || ssh-keygen -q -t ed25519 -N '' -C "$person" -f "$keys/$person"
    done
    [ -e "$keys/passphrase" ] || { head -c 18 /dev/urandom | base64 >"$keys/passphrase"; chmod 0600 "$keys/passphrase"; }
}
site() { # site NAME: the site file of one root
    cat <<END
organisation: example-institute
appliance: $1
store:
  passphrase_file: $keys/passphrase
  recovery_file: $keys/$1.recovery
persons:
$(while read -r name role; do printf '  - name: %s\n    roles: [%s]\n    key_files: [%s]\n' "$name" "$role" "$keys/$name.pub"; done <<'PEOPLE'
dana data_scientist
rene release_manager
mila ml_lead
otto security_officer
PEOPLE
)
END
}

# up NAME: `forge up --root $roots/NAME` in the background, until it says `ready`.
up() {
    local name=$1 log=$at/$1.log
    forge up --root "$roots/$name" >"$log" 2>&1 &
    echo $! >"$at/$name.pid"
    wait_until 90 grep -qx ready "$log" || { tail -n 20 "$log" >&2; fail "\`forge up --root $roots/$name\` did not say ready"; }
}
down() {
    local pid; pid=$(cat "$at/$1.pid" 2>/dev/null) || return 0
    rm -f "$at/$1.pid"
    kill "$pid" 2>/dev/null || return 0
    # Not a child of this shell when a step ran in one of its own.
    wait_until 60 eval "! kill -0 $pid"
}
