heading '5. Nobody promotes a model alone'
need model promote; need approval approve; need model rollback
tell 'Who trained the model does not promote it; no promotion without a held-out report; one vote is not enough, the requester has none, and nobody has two.'
as dana refused 2 'guard.promotion_is_for_release_managers|guard.trainer_may_not_promote' forge model promote manuals@1 --reason 'it is mine'
as rene show forge model promote manuals@1 --reason 'first release'
said=$(as rene forge model promote manuals@1 --reason 'first release' -o json 2>&1); code=$?
printf '%s\n' "$said" | sed 's/^/  /'
[ $code -eq 8 ] || fail "the request for approval ended with $code, not with 8"
approval=$(as rene forge approval ls -o json | field items.0.id)
as rene refused 2 'guard.requester_may_not_vote|no policy permits' forge approval approve "$approval" --key "$keys/rene"
as otto run forge approval show "$approval"
as otto run forge approval approve "$approval" --key "$keys/otto"
as otto refused 2 'guard.one_vote_a_person' forge approval approve "$approval" --key "$keys/otto"
as rene refused 8 'votes' forge model promote manuals@1 --reason 'first release'
as mila run forge approval approve "$approval" --key "$keys/mila"
as rene run forge model promote manuals@1 --reason 'first release'
as rene run forge model ls
