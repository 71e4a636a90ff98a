# life.sh: the main job in the installed system: people enrolled by uid, documents, a small model, votes, an answer, its receipt; and who is
# denied by policy, with the uid that the kernel saw.

field() { python3 -c '
import json, sys
value = json.load(sys.stdin)
for part in sys.argv[1].split("."): value = value[int(part)] if isinstance(value, list) else value[part]
print(value)' "$1"; }
# ends SENTENCE CODE COMMAND…: the exit code that the command must have.
ends() {
    local sentence=$1 wanted=$2 code; shift 2
    life_said=$("$@" 2>&1); code=$?
    if [ $code -eq "$wanted" ]; then ok "$sentence"; else not_ok "$sentence" "it ended with $code, not with $wanted: $life_said"; return 1; fi
}
# first ENOUGH to go on: what the rest of the chapter stands on.
must() { ends "$1" 0 "${@:2}" || { not_ok 'the rest of this chapter could be tried' "it stands on: $1"; return 1; }; }

uid() { inside id -u "$1"; }
inside sh -c 'mkdir -p /root/site && cd /root/site && umask 077 && head -c 18 /dev/urandom | base64 >passphrase
    for u in alice bob carol dana; do runuser -u $u -- sh -c "mkdir -p ~/.ssh; test -e ~/.ssh/id_ed25519 || ssh-keygen -q -t ed25519 -N \"\" -f ~/.ssh/id_ed25519"; done'
{
    printf 'organisation: example\nappliance: boot-test\nstore:\n  passphrase_file: passphrase\n  recovery_file: recovery\npersons:\n'
    while read -r person role; do
        printf '  - name: %s\n    roles: [%s]\n    key_files: [/home/%s/.ssh/id_ed25519.pub]\n    uid: %s\n' "$person" "$role" "$person" "$(uid "$person")"
    done <<'END'
alice security_officer
bob release_manager
carol ml_lead
dana data_scientist
END
} | inside sh -c 'cat >/root/site/site.yaml'
install -D -m 0644 "$here/small.yaml" "$("$here/box.sh" root $name)/srv/small.yaml"

life() {
    must 'forge init makes the keys and enrols four people by uid' inside forge init --file /root/site/site.yaml || return
    ends 'forge status says so' 0 inside forge status
    holds 'the kernel'"'"'s word is enough to be known' 'dana' "$(as dana forge whoami 2>&1)"
    ends 'who is not enrolled gets nothing (4: sign in first)' 4 as erin forge model ls
    inside install -o alice -m 0600 /root/site/passphrase /home/alice/passphrase

    # Documents that every Debian system has.
    must 'documents become a data set' as dana forge data add /usr/share/doc --name docs || return
    must 'a small model is queued' as dana forge train /srv/small.yaml --data docs --detach || return
    run=$(as dana forge run ls -o json | field items.0.id)
    state() { as dana forge run show "$run" -o json | field item.state; }
    trained() { case $(state) in finished|failed|cancelled) ;; *) return 1;; esac; }
    wait_for 300 trained
    equal 'and is trained inside the sandbox' finished "$(state)" || true
    [ "$(state)" = finished ] || { not_ok 'the rest of this chapter could be tried' "$(as dana forge run show "$run" 2>&1)"; return; }
    must 'it is scored on documents it never saw' as dana forge eval small@1 || return

    ends 'its trainer may not promote it (2: denied by policy)' 2 as dana forge model promote small@1 --reason 'mine'
    holds 'the refusal names the policy' 'guard\.' "$life_said"
    record=$(as alice forge audit query --action model.promote --decision deny -o json)
    holds 'and stands on record with the true uid' "\"uid\" *: *$(uid dana)" "$record"
    ends 'the release manager files a request (8: waits for votes)' 8 as bob forge model promote small@1 --reason 'boot test'
    approval=$(as bob forge approval ls -o json | field items.0.id)
    ends 'its requester has no vote' 2 as bob forge approval approve "$approval" --key /home/bob/.ssh/id_ed25519
    must 'the officer signs' as alice forge approval approve "$approval" --key /home/alice/.ssh/id_ed25519 || return
    ends 'twice is once too often' 2 as alice forge approval approve "$approval" --key /home/alice/.ssh/id_ed25519
    must 'the ML lead signs' as carol forge approval approve "$approval" --key /home/carol/.ssh/id_ed25519 || return
    must 'and it is promoted' as bob forge model promote small@1 --reason 'boot test' || return

    must 'forge-serve loads it' as bob forge serve load small@production || return
    must 'an app gets a key' as alice forge key create app --file /home/alice/app.key || return
    inside sh -c 'printf "header = \"Authorization: Bearer %s\"\n" "$(cat /home/alice/app.key)" >/home/app/curl; chown app /home/app/curl; chmod 600 /home/app/curl'
    answer=$(call app serve /v1/completions -K /home/app/curl -H 'content-type: application/json' -d '{"model":"small","prompt":"The","max_tokens":8,"seed":1}')
    equal 'and an answer over its socket' 200 "$(printf '%s' "$answer" | tail -n 1)"
    again=$(call app serve /v1/completions -K /home/app/curl -H 'content-type: application/json' -d '{"model":"small","prompt":"The","max_tokens":8,"seed":1}')
    text() { printf '%s\n' "$1" | head -n -1 | field choices.0.text; }
    equal 'the same request has the same answer' "$(text "$answer")" "$(text "$again")"
    equal 'without a key there is none' 401 "$(call app serve /v1/completions -H 'content-type: application/json' -d '{"model":"small","prompt":"The"}' | tail -n 1)"
    receipt=$(printf '%s\n' "$answer" | head -n -1 | field receipt.id)
    ends 'the answer has a receipt that verifies' 0 as alice forge receipt verify "$receipt" --documents /usr/share/doc

    must 'the log verifies where it is' as alice forge audit verify || return
    must 'it is exported' as alice forge audit export /home/alice/archive || return
    ends 'forge-verify agrees' 0 as alice forge-verify /home/alice/archive
    ends 'and so does the Python script written from the formats' 0 as alice python3 /usr/share/doc/forge/examples/verify.py /home/alice/archive

    # What is on the disk is ciphertext: a sentence of the documents and the passphrase occur nowhere.
    equal 'no sentence of the documents is in the state' '' "$(inside grep -rlaF 'On Debian systems, the complete text' /var/lib/forge 2>/dev/null)"
    equal 'nor the passphrase' '' "$(inside sh -c 'grep -rlaF "$(cat /root/site/passphrase)" /var/lib/forge /etc/forge /run/log /var/log 2>/dev/null')"
    must 'one person seals the store' as alice forge seal || return
    ends 'sealed, nothing is opened (75: try again)' 75 as bob forge serve load small@production
    ends 'and opened again' 0 as alice forge unseal --file /home/alice/passphrase
}
life
