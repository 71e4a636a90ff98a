heading '5. Nobody promotes a model alone'
need model promote; need approval approve; need model rollback
tell 'Who trained the model does not promote it; no promotion without a held-out report, or with a worse one than the model in production; one vote is not enough, the requester has none, and nobody has two. A sign-in ends after a quarter of an hour without use, so everyone signs in again.'
for person in dana rene mila otto; do as $person run forge login $person --key "$keys/$person"; done

as dana refused 2 'guard.promotion_is_for_release_managers|guard.trainer_may_not_promote' forge model promote manuals@1 --reason 'it is mine'

# Deliberately hardly trained, to have one that is worse: twice its warm-up, some seconds.
warmup=$(sed -n 's/^ *warmup_steps: *\([0-9]*\).*/\1/p' "$recipe"); steps=$((2 * ${warmup:-10}))
sed -e "s/^\( *steps:\).*/\1 $steps/" "$recipe" >.demo/hasty.yaml
tell "For what follows dana also trains the recipe for $steps steps only, far too few. First nobody has scored the result:"
as dana run forge train .demo/hasty.yaml --data manuals --name manuals
hasty=$(as dana forge model ls manuals -o json | python3 -c 'import json, sys; print("manuals@%d" % max(m["version"] for m in json.load(sys.stdin)["items"]))') || fail 'the models could not be listed'
as rene refused 2 'guard.promotion_needs_heldout_report' forge model promote "$hasty" --reason 'trust me'

# The two of the three seeds that are shown: the weakest goes first, so that the best can follow it.
as dana forge model ls manuals -o json >.demo/scores.json || fail 'the models could not be listed'
read -r former latter < <(python3 - .demo/scores.json <<'END'
import json, sys
models = [m for m in json.load(open(sys.argv[1]))["items"] if any(e["suite"] == "heldout" for e in m["evaluations"])]
models.sort(key=lambda m: -m["evaluations"][0]["microbits_per_byte"])
print(*("manuals@%d" % m["version"] for m in (models[0], models[-1])))
END
) || fail 'there are no scores'

# requests MODEL REASON: rene asks; the approval's id is left in $approval.
requests() {
    local said code
    FORGE_DEMO_WHO=rene show forge model promote "$1" --reason "$2"
    said=$(as rene forge model promote "$1" --reason "$2" 2>&1); code=$?
    printf '%s\n' "$said" | sed 's/^/  /'
    [ $code -eq 8 ] || fail "the request for approval ended with $code, not with 8"
    approval=$(as rene forge approval ls -o json | python3 -c '
import json, sys
pending = [a["id"] for a in json.load(sys.stdin)["items"] if a["state"] == "pending" and json.loads(a["document"])["resource"]["id"] == sys.argv[1]]
print(*pending[-1:])' "$1")
    [ -n "$approval" ] || fail "no approval for $1 is listed"
}

tell "A whole approval, for $former."
requests "$former" 'first release'
as rene refused 2 'guard.requester_may_not_vote|no policy permits' forge approval approve "$approval" --key "$keys/rene"
as otto run forge approval show "$approval"
as otto run forge approval approve "$approval" --key "$keys/otto"
as otto refused 2 'guard.one_vote_a_person' forge approval approve "$approval" --key "$keys/otto"
as rene refused 8 'votes' forge model promote "$former" --reason 'first release'
as mila run forge approval approve "$approval" --key "$keys/mila"
as rene run forge model promote "$former" --reason 'first release'

tell "Now there is one in production, and the hardly trained one has its report: worse, and refused, whoever would sign."
as dana run forge eval "$hasty"
as rene refused 2 'guard.promotion_may_not_worsen' forge model promote "$hasty" --reason 'it is newer'

tell "$latter scores no worse. The votes for $former do not serve it: it needs two signatures of its own."
requests "$latter" 'better score'
as mila run forge approval approve "$approval" --key "$keys/mila"
as otto run forge approval approve "$approval" --key "$keys/otto"
as rene run forge model promote "$latter" --reason 'better score'
as rene run forge model ls manuals

tell 'Going back is one person'"'"'s decision: the former model was approved once, and a bad one must be out of the way at once. It is on record like everything else.'
as rene run forge model rollback manuals --reason 'the former one answered better'
as rene run forge model ls manuals
back=$(as rene forge model show manuals@production -o json | field item.version) || fail 'nothing is in production'
[ "manuals@$back" = "$former" ] || fail "the rollback brought manuals@$back into production, not $former"
