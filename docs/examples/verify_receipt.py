#!/usr/bin/env python3
"""Checks a Forge receipt bundle offline, written from docs/formats/receipt.md and the pages it names; imports Python's standard library alone.

usage: verify_receipt.py receipt.json [--log-key VKEY] [--manifest-key PEM-FILE] [--people FILE] [--manifest DATASET.jsonl] [--documents DIR]

Without --log-key and --manifest-key the copies in the bundle are used, and the verdict says so. --people is JSON, {"account":["SHA256:…"]}. Signatures are
checked by `openssl` and `ssh-keygen`. Exit code 0: everything holds; 1: something does not (the step is named); 2: usage.
"""
import argparse, base64, datetime, hashlib, json, os, struct, subprocess, sys, tempfile


class Wrong(Exception):
    pass


def need(condition, why):
    if not condition:
        raise Wrong(why)


sha = lambda data: hashlib.sha256(data).digest()
tagged = lambda data: "sha256:" + hashlib.sha256(data).hexdigest()
b64 = lambda text: base64.b64decode(text, validate=True)


def no_twins(pairs):
    out = {}
    for key, value in pairs:
        need(key not in out, f"the member {key!r} is written twice")
        out[key] = value
    return out


def parse(data):
    return json.loads(data, object_pairs_hook=no_twins)


def canonical(value):
    """RFC 8785 for what Forge writes: no fractions; keys sorted by UTF-16 code units."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda k: k.encode("utf-16-be"))
        return "{" + ",".join(json.dumps(k, ensure_ascii=False) + ":" + canonical(value[k]) for k in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical(v) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)


# --- signatures, by other people's programs ---------------------------------------------------------------------------------------------

def run(*args, data=b""):
    return subprocess.run(args, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).returncode == 0


def with_files(contents, action):
    with tempfile.TemporaryDirectory() as d:
        paths = []
        for i, content in enumerate(contents):
            paths.append(os.path.join(d, str(i)))
            with open(paths[-1], "wb") as f:
                f.write(content)
        return action(*paths)


def ed25519(raw, signature, message):
    spki = bytes.fromhex("302a300506032b6570032100") + raw
    return with_files([spki, signature, message], lambda k, s, m: run(
        "openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", k, "-rawin", "-in", m, "-sigfile", s))


def p256(pem, signature, message):
    return with_files([pem.encode(), signature, message], lambda k, s, m: run("openssl", "dgst", "-sha256", "-verify", k, "-signature", s, m))


def sshsig(armored, namespace, message):
    return with_files([armored.encode()], lambda s: run("ssh-keygen", "-Y", "check-novalidate", "-n", namespace, "-s", s, data=message))


# --- the log ----------------------------------------------------------------------------------------------------------------------------

def verifier_key(text):
    name, number, rest = text.split("+", 2)
    body = b64(rest)
    need(number == sha(name.encode() + b"\n" + body)[:4].hex() and len(body) == 33, "a verifier key's id is not the hash of its key")
    return name, bytes.fromhex(number), body[0], body[1:]


def root_from(leaf, index, size, path):
    """RFC 9162 section 2.1.3.2."""
    need(index < size, "a proof's index lies beyond the log")
    node, last, value = index, size - 1, sha(b"\0" + leaf)
    for step in path:
        need(last > 0, "a proof is too long")
        if node & 1 or node == last:
            value = sha(b"\1" + step + value)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            value = sha(b"\1" + value + step)
        node, last = node >> 1, last >> 1
    need(last == 0, "a proof is too short")
    return value


def tree_root(leaves):
    if len(leaves) == 1:
        return sha(b"\0" + leaves[0])
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return sha(b"\1" + tree_root(leaves[:half]) + tree_root(leaves[half:]))


def check_note(note, log, witnesses):
    text, _, lines = note.partition("\n\n")
    text += "\n"
    name, number, kind, raw = verifier_key(log)
    signed, seen = False, []
    for line in lines.splitlines():
        need(line.startswith("\u2014 "), "a signature line does not start with a dash")
        who, blob = line[2:].rsplit(" ", 1)
        blob = b64(blob)
        if who == name and blob[:4] == number and kind == 1:
            need(ed25519(raw, blob[4:], text.encode()), "the log's signature on the checkpoint is wrong")
            signed = True
        for witness in witnesses:
            w_name, w_number, w_kind, w_raw = verifier_key(witness)
            if who == w_name and blob[:4] == w_number and w_kind == 4:
                time = struct.unpack(">Q", blob[4:12])[0]
                need(ed25519(w_raw, blob[12:], f"cosignature/v1\ntime {time}\n{text}".encode()), f"the cosignature of {who} is wrong")
                seen.append((who, time))
    need(signed, "the checkpoint is not signed by the log's key")
    origin, size, root = text.splitlines()[:3]
    need(origin == name, "the checkpoint is of another log")
    return int(size), b64(root), seen


def check_log(bundle, anchors):
    leaves, notes = {}, {}
    for text in bundle["records"]:
        head, _, note = text.partition("\n\n")
        lines = head.split("\n")
        need(lines[0] == "c2sp.org/tlog-proof@v1" and lines[1].startswith("extra ") and lines[2].startswith("index "), "a proof does not read")
        leaf, index, path = b64(lines[1][6:]), int(lines[2][6:]), [b64(l) for l in lines[3:]]
        if note not in notes:
            notes[note] = check_note(note, anchors["log"], anchors["witnesses"])
        size, root, _ = notes[note]
        need(root_from(leaf, index, size, path) == root, f"record {index} does not lead to the signed root")
        record = parse(leaf)
        need(canonical(record).encode() == leaf and record["seq"] == index and index not in leaves, f"record {index} is malformed or there twice")
        leaves[index] = record
    need(len(notes) == 1, "the proofs are not under one checkpoint")
    (size, _, seen), = notes.values()
    return leaves, f"{len(leaves)} records of a log of {size}, cosigned by {', '.join(n for n, _ in seen) or 'no witness'}"


# --- the steps ---------------------------------------------------------------------------------------------------------------------------

def statement(encoded, pem, digest, name, kind):
    """An in-toto statement in a DSSE envelope (docs/formats/model-manifest.md)."""
    bundle = parse(b64(encoded))
    envelope = bundle["dsseEnvelope"]
    payload, kind_ = b64(envelope["payload"]), envelope["payloadType"]
    need(len(envelope["signatures"]) == 1 and kind_ == "application/vnd.in-toto+json", "the envelope is of another kind")
    pae = f"DSSEv1 {len(kind_)} {kind_} {len(payload)} ".encode() + payload
    need(p256(pem, b64(envelope["signatures"][0]["sig"]), pae), "its signature does not match")
    out = parse(payload)
    need(out["predicateType"] == kind and out["subject"] == [{"digest": {"sha256": digest[7:]}, "name": name}], "it is about something else")
    return out["predicate"]


def outcome(leaves, index, action, model=None):
    need(index in leaves, f"record {index} has no proof")
    record = leaves[index]
    need(record["act"] == action and record["phase"] == "outcome" and record["out"]["status"] == "ok", f"record {index} is not a good `{action}` outcome")
    if model:
        need((record["obj"]["id"], record["obj"]["version"], record["obj"]["digest"]) == model, f"record {index} is about another model")
    return record


def enrolments(leaves, promotion):
    """account → (record, person, digests of its keys); a later enrolment replaces an earlier one"""
    found = {}
    for index in sorted(promotion.get("enrolments", [])):
        need(index in leaves, f"record {index} has no proof")
        record = leaves[index]
        need(record["act"] == "user.enrol" and record["phase"] == "event" and record["out"]["status"] == "ok", f"record {index} enrols nobody")
        need((record["who"]["type"], record["who"]["id"], record["obj"]["type"]) == ("Forge::Service", "admin", "Forge::User"), f"record {index} enrols nobody")
        need(index < promotion["record"], f"record {index} came after the promotion")
        found[record["obj"]["id"]] = (index, record["data"]["person"], record["data"]["digests"])
    return found


def check_votes(evidence, model, digest, enrolled, people):
    data = parse(evidence)
    document = data["document"].encode()
    request = parse(document)
    need(canonical(request).encode() == document, "the document is not canonical")
    need(request["action"] == "model.promote" and request["content"] == digest and request["resource"]["id"] == model, "the approval is for something else")
    message = f"forge-approval-v1 approve {tagged(document)}\n".encode()
    persons, roles = set(), set()
    for vote in data["votes"]:
        blob = b64("".join(vote["signature"].splitlines()[1:-1]))
        count = struct.unpack(">I", blob[10:14])[0]
        print_ = "SHA256:" + base64.b64encode(sha(blob[14:14 + count])).decode().rstrip("=")
        need(print_ == vote["fingerprint"], f"the vote of {vote['user']} was made with another key")
        need(sshsig(vote["signature"], "forge-approval", message), f"the vote of {vote['user']} does not verify")
        need(vote["user"] in enrolled, f"no record in the bundle enrols {vote['user']}")
        record, person, keys = enrolled[vote["user"]]
        need(tagged(blob[14:14 + count]) in keys and person == vote["person"], f"record {record} does not enrol the key of {vote['user']}")
        need(not people or print_ in people.get(vote["user"], []), f"the key of {vote['user']} is not among those given")
        need(vote["person"] != request["person"] and vote["person"] not in persons, "a person voted twice, or on their own request")
        persons.add(vote["person"])
        roles.update(vote["roles"])
    quorum = request["quorum"]
    need(len(persons) >= quorum["persons"] and set(quorum["roles"]) <= roles, "the quorum is not met")
    return ", ".join(f"{v['user']} ({', '.join(v['roles'])}), enrolled in record {enrolled[v['user']][0]}" for v in data["votes"])


def verify(bundle, anchors, arguments, say):
    need(bundle["format"] == "forge.receipt.v1", "another format")
    step = "log"
    try:
        leaves, found = check_log(bundle, anchors)
        say(step, found)
        step, identity = "answer", bundle["id"]
        intent, answer = leaves[bundle["answer"]["intent"]], leaves[bundle["answer"]["outcome"]]
        need(intent["act"] == answer["act"] == "infer" and intent["phase"] == "intent" and answer["phase"] == "outcome", "the records are not of an answer")
        need(intent["dec"] == "allow" and intent["req"] == answer["req"] == answer["data"]["receipt"] == identity, "the records are of another answer")
        digest = answer["obj"]["digest"]
        need(answer["data"]["model_digest"] == digest == intent["obj"]["digest"], "the records do not agree on the model")
        when = datetime.datetime.fromtimestamp(answer["t"] / 1e6, datetime.timezone.utc).isoformat()
        say(step, f"{when}, for {answer['who']['type']} {answer['who']['id']}, by {digest}, allowed by {', '.join(intent['pol']['rules'])}")
        step, model = "model", bundle["model"]
        name = f"{model['name']}@{model['version']}"
        triple = (model["name"], str(model["version"]), digest)
        listed = {r["name"]: r["digest"] for r in statement(model["manifest"], anchors["manifest"], digest, name, "https://model_signing/signature/v1.0")["resources"]}
        need("sha256:" + sha(b"".join(bytes.fromhex(listed[n]) for n in sorted(listed))).hex() == digest, "the digest does not follow from the files")
        need(outcome(leaves, model["record"], "model.put", triple)["data"]["manifest"] == tagged(b64(model["manifest"])), "the record names another manifest")
        files = {n: b64(v) for n, v in model["files"].items()}
        for file, content in files.items():
            need(listed.get(file) == sha(content).hex(), f"{file} is not the file that the manifest lists")
        say(step, f"{name}, signed, record {model['record']}")
        step = "provenance"
        made = statement(model["provenance"], anchors["manifest"], digest, name, "https://slsa.dev/provenance/v1")
        definition, details = made["buildDefinition"], made["runDetails"]
        need(definition["externalParameters"]["recipe"]["sha256"] == listed["recipe.yaml"], "its recipe is not the model's")
        say(step, f"run {details['metadata']['invocationId']}, recipe {listed['recipe.yaml']}")
        step = "run"
        for item in details["byproducts"]:
            index = item["annotations"]["auditIndex"]
            need(index in leaves and index <= model["record"] and item["name"] == "record:" + leaves[index]["act"], f"record {index} is not what the provenance says")
            run_ = details["metadata"]["invocationId"]
            need(not leaves[index]["act"].startswith("run.") or run_ in (leaves[index].get("obj", {}).get("id"), leaves[index].get("data", {}).get("run")), f"record {index} is of another run")
        say(step, ", ".join(f"{i['name'][7:]} {i['annotations']['auditIndex']}" for i in details["byproducts"]))
        step = "data"
        used = {d["digest"] for d in parse(files["datasets.json"])["datasets"]}
        named = {"sha256:" + d["digest"]["sha256"] for d in definition["resolvedDependencies"] if d["name"].startswith("dataset:")}
        need(used == named == {d["digest"] for d in bundle["datasets"]}, "model, provenance and bundle name different data sets")
        imported = definition["buildType"] == "https://forge.invalid/import/v1"
        need(imported or definition["buildType"] == "https://forge.invalid/train/v1", "it is of another kind of making")
        need(bool(used) != imported and definition["resolvedDependencies"], "a trained model names its data sets, an imported one the files it came from")
        for item in bundle["datasets"]:
            need(outcome(leaves, item["record"], "data.add")["obj"]["digest"] == item["digest"], f"record {item['record']} is of another data set")
        files_ = [f"{d['name']} sha256:{d['digest']['sha256']}" for d in definition["resolvedDependencies"]]
        say(step, "; ".join(files_ if imported else [f"{d['name']} {d['digest']}, record {d['record']}" for d in bundle["datasets"]]))
        step = "evaluation"
        for item in bundle["evaluations"]:
            need(outcome(leaves, item["record"], "model.evaluate", triple)["data"]["report"] == tagged(item["report"].encode()), "a report is not the recorded one")
        say(step, f"{len(bundle['evaluations'])} reports")
        promotion = bundle.get("promotion")
        if promotion:
            step, record = "promotion", outcome(leaves, promotion["record"], "model.promote", triple)
            need(promotion["record"] < bundle["answer"]["intent"], "it came after the answer")
            say(step, f"record {promotion['record']}, to {record['data']['alias']}")
            step = "votes"
            if "evidence" in promotion:
                evidence = b64(promotion["evidence"])
                need(record["dc"] == tagged(bytes.fromhex(promotion["salt"]) + evidence), "the votes are not those of the record")
                say(step, check_votes(evidence, name, digest, enrolments(leaves, promotion), anchors["people"]))
            else:
                need("dc" not in record, "the votes were left out")
                say(step, "the record names none")
        if arguments.manifest:
            step = "documents"
            lines = open(arguments.manifest, "rb").read().split(b"\n")[1:-1]
            need("sha256:" + tree_root(lines).hex() in used, "the data set's manifest has another root")
            differing = []
            for line in map(parse, lines):
                path = os.path.join(arguments.documents, line["path"]) if arguments.documents else None
                if path and (not os.path.isfile(path) or tagged(open(path, "rb").read()) != line["raw"]):
                    differing.append(line["path"])
            need(not differing, "changed or missing: " + ", ".join(differing))
            say(step, f"{len(lines)} documents proven to be in the data set" + (", all unchanged" if arguments.documents else ""))
    except (Wrong, KeyError, IndexError, ValueError, TypeError) as error:
        text = str(error) if isinstance(error, Wrong) else f"malformed: {error!r}"
        print(f"NOT VERIFIED at `{step}`: {text}")
        return 1
    print("VERIFIED" + ("" if anchors["given"] else ", with the keys the bundle itself brings: compare them with your own"))
    return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle")
    parser.add_argument("--log-key")
    parser.add_argument("--manifest-key")
    parser.add_argument("--people")
    parser.add_argument("--manifest")
    parser.add_argument("--documents")
    arguments = parser.parse_args()
    data = open(arguments.bundle, "rb").read()
    try:
        bundle = parse(data)
        need(canonical(bundle).encode() == data, "the bundle is not canonical JSON")
    except (Wrong, ValueError) as error:
        print(f"NOT VERIFIED: {error}")
        return 1
    own = bundle["anchors"]
    anchors = {
        "log": arguments.log_key or own["log_key"], "manifest": open(arguments.manifest_key).read() if arguments.manifest_key else own["manifest_key"],
        "witnesses": own["witness_keys"], "people": parse(open(arguments.people).read()) if arguments.people else {},
        "given": bool(arguments.log_key and arguments.manifest_key),
    }
    return verify(bundle, anchors, arguments, lambda step, found: print(f"{step:11} {found}"))


if __name__ == "__main__":
    sys.exit(main())
