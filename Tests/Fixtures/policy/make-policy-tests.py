"""Writes policy/tests/*.json in the shape of upstream's `cedar run-tests`, and checks every expectation against the reference engine (PyPI
`cedarpy`): the expectations stand below, the engine only confirms them. Run from the repository's root."""
import glob
import json
import re
import sys
import cedarpy

ROLES = ["data_scientist", "release_manager", "ml_lead", "security_officer", "operator", "auditor", "everyone"]


def user(name, roles, person=None, disabled=False):
    return {"uid": {"type": "Forge::User", "id": name}, "attrs": {"person": person or name, "disabled": disabled},
            "parents": [{"type": "Forge::Role", "id": role} for role in roles + ["everyone"]]}


def plain(kind, name, attrs=None):
    return {"uid": {"type": "Forge::" + kind, "id": name}, "attrs": attrs or {}, "parents": []}


PEOPLE = {e["uid"]["id"]: e for e in [
    user("dana", ["data_scientist"]), user("rene", ["release_manager"]), user("lee", ["ml_lead"]), user("otto", ["security_officer"]), user("pat", ["operator"]),
    user("aud", ["auditor"]), user("both", ["data_scientist", "release_manager"]), user("lee2", ["security_officer"], "lee"), user("gone", ["ml_lead"], None, True)]}
APPS = {"helpdesk": plain("App", "helpdesk", {"owner": "otto", "disabled": False}), "old": plain("App", "old", {"disabled": True})}


def ref(kind, name):
    return {"__entity": {"type": "Forge::" + kind, "id": name}}


def case(name, who, action, resource, decision, reason, attrs=None, context=None, auth="sshsig"):
    kind, who = who.split("/") if "/" in who else ("User", who)
    resource_kind, resource_id = resource.split("/")
    principal = {"User": PEOPLE, "App": APPS}.get(kind, {}).get(who) or plain(kind, who)
    entities = [principal] + [plain("Role", parent["id"]) for parent in principal["parents"]]
    for other in re.findall(r'"type": "Forge::User", "id": "([a-z0-9]+)"', json.dumps(attrs or {})):
        if other != who:
            entities.append(PEOPLE[other])
    if resource_kind in ("User", "App", "Role"):
        target = {"User": PEOPLE, "App": APPS}.get(resource_kind, {}).get(resource_id) or plain(resource_kind, resource_id)
        if target["uid"] not in [e["uid"] for e in entities]:
            entities.append(target)
    else:
        entities.append(plain(resource_kind, resource_id, attrs))
    return {"name": name, "request": {
        "principal": f'Forge::{kind}::"{who}"', "action": f'Forge::Action::"{action}"', "resource": f'Forge::{resource_kind}::"{resource_id}"',
        "context": {"authMethod": auth, **(context or {})}}, "entities": entities, "decision": decision, "reason": reason, "num_errors": 0}


def votes(count, roles, matches=True):
    return {"approval": {"digestMatches": matches, "count": count, "roles": roles, "ageSeconds": 60}}


# ---- promotion ---------------------------------------------------------------------------------------------------------
GOOD = {"name": "policies", "version": 2, "trainedBy": ref("User", "dana"), "hasHeldoutReport": True, "heldoutMicrobitsPerByte": 2100000, "productionMicrobitsPerByte": 2200000}
BOTH = ["ml_lead", "security_officer"]
FULL = votes(2, BOTH)


def without(*keys):
    return {key: value for key, value in GOOD.items() if key not in keys}


def promote(name, who, decision, reason, attrs=None, context=None, auth="sshsig"):
    return case(name, who, "model.promote", "Model/policies@2", decision, reason, GOOD if attrs is None else attrs, context, auth)


def export(name, who, decision, reason, context=None, auth="sshsig"):
    return case(name, who, "model.export", "Model/policies@2", decision, reason, GOOD, context, auth)


PROMOTION = [
    export("weights leave with two votes", "rene", "allow", ["role.release_manager.release"], FULL),
    export("and not without", "rene", "deny", ["guard.four_eyes"]),
    export("nor with those of officers alone", "rene", "deny", ["guard.four_eyes"], votes(2, ["security_officer"])),
    export("nor for votes on another content", "rene", "deny", ["guard.four_eyes"], votes(2, BOTH, False)),
    export("whoever trained a model does not take it away", "dana", "deny", [], FULL),
    export("nor does an officer", "otto", "deny", [], FULL),
    promote("the data scientist's own attempt is refused by name", "dana", "deny", ["guard.promotion_is_for_release_managers", "guard.trainer_may_not_promote", "guard.four_eyes"]),
    promote("a release manager needs votes", "rene", "deny", ["guard.four_eyes"]),
    promote("one vote alone is not enough", "rene", "deny", ["guard.four_eyes"], context=votes(1, ["security_officer"])),
    promote("two officers are not enough", "rene", "deny", ["guard.four_eyes"], context=votes(2, ["security_officer"])),
    promote("two ML leads are not enough", "rene", "deny", ["guard.four_eyes"], context=votes(2, ["ml_lead"])),
    promote("one person with both roles is not enough", "rene", "deny", ["guard.four_eyes"], context=votes(1, BOTH)),
    promote("votes for another content are not enough", "rene", "deny", ["guard.four_eyes"], context=votes(2, BOTH, False)),
    promote("an officer and an ML lead together are enough", "rene", "allow", ["role.release_manager.release"], context=FULL),
    promote("votes do not help whoever trained the model", "both", "deny", ["guard.trainer_may_not_promote"], {**GOOD, "trainedBy": ref("User", "both")}, FULL),
    promote("nor one who is no release manager", "lee", "deny", ["guard.promotion_is_for_release_managers"], context=FULL),
    promote("no held-out report, no promotion", "rene", "deny", ["guard.promotion_needs_heldout_report"], without("hasHeldoutReport", "heldoutMicrobitsPerByte"), FULL),
    promote("a report that says no is no report", "rene", "deny", ["guard.promotion_needs_heldout_report"], {**GOOD, "hasHeldoutReport": False}, FULL),
    promote("worse than production is refused", "rene", "deny", ["guard.promotion_may_not_worsen"], {**GOOD, "heldoutMicrobitsPerByte": 2200001}, FULL),
    promote("as good as production is promoted", "rene", "allow", ["role.release_manager.release"], {**GOOD, "heldoutMicrobitsPerByte": 2200000}, FULL),
    promote("the first model has nothing to beat", "rene", "allow", ["role.release_manager.release"], without("productionMicrobitsPerByte"), FULL),
    promote("a model of unknown origin is not promoted", "rene", "deny", ["guard.trainer_may_not_promote"], without("trainedBy"), FULL),
    promote("nobody promotes with an application's key", "rene", "deny", ["guard.personal"], context=FULL, auth="apikey"),
]

# ---- votes -------------------------------------------------------------------------------------------------------------
ASKED = {"action": "model.promote", "requester": ref("User", "rene"), "requesterPerson": "rene", "votedPersons": []}


def vote(name, who, decision, reason, attrs=None, action="approval.vote"):
    return case(name, who, action, "Approval/4f", decision, reason, ASKED if attrs is None else attrs)


VOTES = [
    vote("an ML lead votes", "lee", "allow", ["role.ml_lead.vote"]),
    vote("a security officer votes", "otto", "allow", ["role.security_officer.govern"]),
    vote("the requester does not vote", "otto", "deny", ["guard.requester_may_not_vote"], {**ASKED, "requester": ref("User", "otto"), "requesterPerson": "otto"}),
    vote("nor from another account", "lee2", "deny", ["guard.requester_may_not_vote"], {**ASKED, "requester": ref("User", "lee"), "requesterPerson": "lee"}),
    vote("nor does the requester veto", "otto", "deny", ["guard.requester_may_not_vote"], {**ASKED, "requester": ref("User", "otto"), "requesterPerson": "otto"}, "approval.veto"),
    vote("a person votes once", "lee", "deny", ["guard.one_vote_a_person"], {**ASKED, "votedPersons": ["lee"]}),
    vote("also from a second account", "lee2", "deny", ["guard.one_vote_a_person"], {**ASKED, "votedPersons": ["lee"]}),
    vote("one who voted may still veto", "lee", "allow", ["role.ml_lead.vote"], {**ASKED, "votedPersons": ["lee"]}, "approval.veto"),
    vote("a release manager does not vote", "both", "deny", []),
    vote("a data scientist does not vote", "dana", "deny", []),
    vote("the release manager who asked does not vote", "rene", "deny", ["guard.requester_may_not_vote"]),
    vote("a disabled account does not vote", "gone", "deny", ["guard.disabled_user"]),
    vote("an approval without a requester takes no votes", "lee", "deny", ["guard.requester_may_not_vote"], {}),
    vote("a release manager files a request", "rene", "allow", ["role.release_manager.release"], action="approval.request"),
    vote("and takes it back", "rene", "allow", ["role.release_manager.own_requests"], action="approval.withdraw"),
    vote("nobody else takes it back", "both", "deny", [], action="approval.withdraw"),
    vote("an auditor reads approvals", "aud", "allow", ["role.auditor.read"], action="approval.read"),
    case("an officer's signature activates a policy", "otto", "policy.activate", "Policy/new", "allow", ["role.security_officer.govern"], None, votes(1, ["security_officer"])),
    case("without it nobody does", "otto", "policy.activate", "Policy/new", "deny", ["guard.policy_is_signed"]),
]

# ---- who may do what ---------------------------------------------------------------------------------------------------
RESOURCE = {
    "data": "Dataset/d", "run": "Run/r", "recipe": "Registry/registry", "model": "Model/m@1", "serve": "Model/m@1", "infer": "Model/m@1", "models": "Registry/registry",
    "receipt": "Receipt/x", "registry": "Registry/registry", "store": "Registry/registry", "key": "Key/k", "audit": "Log/log", "approval": "Approval/4f", "policy": "Policy/p",
    "appkey": "Registry/admin", "user": "Role/everyone"}
EVERYONE = "infer models.list audit.verify policy.read recipe.read"
MAY = {
    "dana": "data.add data.read run.submit run.read model.read model.put model.evaluate receipt.read receipt.replay " + EVERYONE,
    "rene": "data.read run.read model.read model.evaluate model.rollback serve.load serve.unload receipt.read receipt.replay approval.request approval.read "
            "approval.withdraw " + EVERYONE,
    "lee": "data.read run.read run.cancel run.resume model.read model.evaluate model.rollback serve.load serve.unload receipt.read receipt.replay approval.read "
           "approval.vote approval.veto " + EVERYONE,
    "otto": "approval.read approval.vote approval.veto appkey.create appkey.revoke appkey.list user.read audit.read audit.export data.read run.read model.read receipt.read "
            "receipt.replay registry.seal registry.unseal run.cancel model.rollback " + EVERYONE,
    "pat": "registry.seal registry.unseal store.scrub serve.load serve.unload run.read run.cancel run.resume model.read appkey.list " + EVERYONE,
    "aud": "audit.read audit.export approval.read user.read appkey.list data.read run.read model.read receipt.read receipt.replay " + EVERYONE,
    "gone": "",
    "Service/trainer": "data.add data.read run.read run.start model.read model.put model.evaluate model.load key.release",
    "Service/serve": "model.load model.read",
    "Service/admin": "audit.read audit.verify policy.read",
    "Service/registry": "approval.read audit.read audit.verify policy.read model.read",
    "App/helpdesk": "infer models.list",
    "App/old": "",
}


def matrix(schema, decide):
    actions = []
    for names, body in re.findall(r'action ((?:"[a-z.]+"(?:, )?)+|"infer")[^;]*?appliesTo \{ (principal: \[[^]]*\])', schema):
        for name in re.findall(r'"([a-z.]+)"', names):
            actions.append((name, re.findall(r"\b(User|Service|App)\b", body)))
    assert len(actions) > 35, actions
    assert {a for may in MAY.values() for a in may.split()} <= {a for a, _ in actions}
    for who, may in MAY.items():
        kind = who.split("/")[0] if "/" in who else "User"
        for action, kinds in actions:
            if kind not in kinds:
                continue
            attrs = {"purpose": "run"} if action == "key.release" else ASKED if action.startswith("approval.") else None
            resource = "App/helpdesk" if action == "appkey.revoke" else RESOURCE[action.split(".")[0]]
            allowed = action in may.split()
            test = case(f"{who.split('/')[-1]} {'may' if allowed else 'may not'} {action}", who, action, resource, "allow" if allowed else "deny", [], attrs, None,
                        {"User": "sshsig", "Service": "peercred", "App": "apikey"}[kind])
            test["reason"] = decide(test)[1]
            yield test


def main():
    schema = open("policy/schema.cedarschema", encoding="utf-8").read()
    policies = "\n".join(open(name, encoding="utf-8").read() for name in sorted(glob.glob("policy/[0-9]*.cedar")))
    validation = cedarpy.validate_policies(policies, schema)
    if not validation.validation_passed:
        sys.exit(f"the bundle does not validate: {[str(error) for error in validation.errors]}")
    ids = re.findall(r'@id\("([^"]+)"\)', policies)

    def decide(test):
        request = {key: test["request"][key] for key in ("principal", "action", "resource", "context")}
        result = cedarpy.is_authorized(request, policies, test["entities"], schema)
        return "allow" if result.allowed else "deny", sorted(ids[int(name[len("policy"):])] for name in result.diagnostics.reasons), len(result.diagnostics.errors)

    bad = 0
    for name, tests in {"promotion": PROMOTION, "votes": VOTES, "matrix": list(matrix(schema, decide))}.items():
        for test in tests:
            expected = (test["decision"], sorted(test["reason"]), test["num_errors"])
            if decide(test) != expected:
                bad += 1
                print("the reference engine differs:", test["name"], decide(test), "expected", expected)
        with open(f"policy/tests/{name}.json", "w", encoding="utf-8") as file:
            file.write("[\n" + ",\n".join(json.dumps(test) for test in tests) + "\n]\n")
        print(f"policy/tests/{name}.json: {len(tests)} tests")
    sys.exit(1 if bad else 0)


main()
