"""Random, mostly well-typed policies with entities and requests, decided by the reference engine (PyPI `cedarpy`) and written as cases for
PolicyCorpusTests. The seed is printed and repeats the file.

    python policy_differential.py --decisions 200000 --seed 1 --out /tmp/cases.jsonl
    FORGE_POLICY_CASES=/tmp/cases.jsonl swift test --filter 'random cases'
"""
import argparse
import json
import random
import time

import cedarpy

TYPES = ["User", "Group", "Doc", "N::Thing"]
IDS = ["a", "b", "c", "é", "e\u0301", "", "x y", "\"q\""]
ATTRS = ["n", "s", "b", "set", "rec", "who", "ip", "dec", "when", "span", "odd name"]
STRINGS = ["", "a", "ab", "abc", "a*b", "é", "e\u0301", "\\", "\"", "\n", "*", "xyzzy", "\u0000", "😀"]
LONGS = [0, 1, -1, 2, 7, 100, 9223372036854775807, -9223372036854775808, 9223372036854775806, 3037000500]
IPS = ["127.0.0.1", "10.0.0.0/8", "10.1.2.3", "224.0.0.1", "::1", "ff02::1/16", "::/0", "1.2.3.4/33", "::ffff:1.2.3.4", "bad", "192.168.0.1/24", "2001:db8::1"]
DECIMALS = ["0.0", "1.5", "1.50", "-3.1415", "922337203685477.5807", "1", "1.23456", "-0.0001"]
DATES = ["2024-01-01", "2024-02-29", "2023-02-29", "1969-12-31T23:59:59Z", "2024-01-01T12:30:45.123+0130", "1970-01-01", "x", "0001-01-01T00:00:00-2359"]
SPANS = ["1d", "-1d2h3m4s5ms", "0ms", "24h", "1h", "106751991167d", "-9223372036854775808ms", "5", "90m"]

# Forge's JSON refuses two keys that differ only in Unicode normalisation, so no object here has both spellings of é.


class Maker:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def pick(self, items):
        return self.r.choice(items)

    def text(self, value):
        out = '"'
        for c in value:
            out += {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\u0000": "\\0"}.get(c, c if self.r.random() < 0.9 else "\\u{%x}" % ord(c))
        return out + '"'

    def uid(self):
        return self.pick(TYPES), self.pick(IDS)

    def literal(self):
        kind, name = self.uid()
        return f"{kind}::{self.text(name)}"

    # Expressions of a wanted kind; one in twenty is of another kind, so that type errors are met too.
    def expr(self, kind, depth):
        if self.r.random() < 0.05:
            kind = self.pick(["bool", "long", "string", "set", "record", "entity", "ip", "decimal", "datetime", "duration"])
        if depth > 0 and self.r.random() < 0.12:
            return f"(if {self.expr('bool', depth - 1)} then {self.expr(kind, depth - 1)} else {self.expr(kind, depth - 1)})"
        if self.r.random() < 0.12:
            base = self.pick(["principal", "resource", "context", "context.rec", "principal.who", self.literal()])
            attr = self.pick({"long": ["n"], "string": ["s"], "bool": ["b"], "set": ["set"], "record": ["rec"], "entity": ["who"], "ip": ["ip"], "decimal": ["dec"],
                              "datetime": ["when"], "duration": ["span"]}[kind] + ["odd name"])
            return f"{base}.{attr}" if " " not in attr else f"{base}[{self.text(attr)}]"
        return "(" + getattr(self, kind)(depth - 1) + ")" if depth > 0 else getattr(self, kind)(0)

    def bool(self, d):
        if d <= 0:
            return self.pick(["true", "false"])
        e = self.expr
        k = self.r.randrange(24)
        if k < 3: return " && ".join(e("bool", d) for _ in range(self.r.randint(2, 3)))
        if k < 6: return " || ".join(e("bool", d) for _ in range(self.r.randint(2, 3)))
        if k < 7: return "!" * self.r.randint(1, 4) + e("bool", d)
        if k < 9:
            kind = self.pick(["bool", "long", "string", "set", "record", "entity", "ip", "decimal", "datetime", "duration"])
            return f"{e(kind, d)} {self.pick(['==', '!='])} {e(kind, d)}"
        if k < 11:
            kind = self.pick(["long", "long", "datetime", "duration"])
            return f"{e(kind, d)} {self.pick(['<', '<=', '>', '>='])} {e(kind, d)}"
        if k < 13: return f"{e('entity', d)} in {self.pick([e('entity', d), '[' + ', '.join(e('entity', 0) for _ in range(self.r.randrange(3))) + ']'])}"
        if k < 14: return f"{e('entity', d)} is {self.pick(TYPES)}" + (f" in {e('entity', d)}" if self.r.random() < 0.4 else "")
        if k < 16:
            attr = self.pick(["n", "s", "rec", "rec.n", "rec.rec.n", "who.n", self.text("odd name"), "missing"])
            return f"{self.pick(['principal', 'resource', 'context', 'action', e('record', d), e('entity', d)])} has {attr}"
        if k < 17: return f"{e('string', d)} like {self.pattern()}"
        if k < 18: return f"{e('set', d)}.contains({e(self.pick(['long', 'string', 'entity']), d)})"
        if k < 19: return f"{e('set', d)}.{self.pick(['containsAll', 'containsAny'])}({e('set', d)})"
        if k < 20: return f"{e('set', d)}.isEmpty()"
        if k < 21: return f"{e('ip', d)}.{self.pick(['isIpv4()', 'isIpv6()', 'isLoopback()', 'isMulticast()', 'isInRange(' + e('ip', d) + ')'])}"
        if k < 22: return f"{e('decimal', d)}.{self.pick(['lessThan', 'lessThanOrEqual', 'greaterThan', 'greaterThanOrEqual'])}({e('decimal', d)})"
        if k < 23: return f"{self.pick(['principal', 'resource', e('entity', d)])}.hasTag({e('string', d)})"
        return self.pick(["true", "false"])

    def pattern(self):
        return '"' + "".join(self.pick(["*", "a", "b", "\\*", "é", "c", "\\n", "*"]) for _ in range(self.r.randrange(5))) + '"'

    def long(self, d):
        if d <= 0 or self.r.random() < 0.4: return str(self.pick(LONGS))
        k = self.r.randrange(8)
        if k < 5: return f" {self.pick(['+', '-', '*'])} ".join(self.expr("long", d) for _ in range(self.r.randint(2, 3)))
        if k < 6: return "-" * self.r.randint(1, 4) + self.expr("long", d)
        if k < 7: return f"{self.expr('duration', d)}.{self.pick(['toMilliseconds', 'toSeconds', 'toMinutes', 'toHours', 'toDays'])}()"
        return f"principal.getTag({self.expr('string', d)})"

    def string(self, d):
        return self.text(self.pick(STRINGS))

    def set(self, d):
        kind = self.pick(["long", "string", "entity", "set"] if d > 1 else ["long", "string", "entity"])
        return "[" + ", ".join(self.expr(kind, d) for _ in range(self.r.randrange(4))) + "]"

    def record(self, d):
        keys = self.r.sample(ATTRS[:5] + ["odd name"], self.r.randrange(4))
        return "{" + ", ".join(f"{self.text(key) if ' ' in key or self.r.random() < 0.3 else key}: {self.expr(self.pick(['long', 'string', 'bool', 'record']), d - 1)}" for key in keys) + "}"

    def entity(self, d):
        return self.pick(["principal", "resource", "action", self.literal()])

    def ip(self, d):
        return f"ip({self.text(self.pick(IPS))})"

    def decimal(self, d):
        return f"decimal({self.text(self.pick(DECIMALS))})"

    def datetime(self, d):
        if d > 0:
            k = self.r.randrange(5)
            if k == 0: return f"{self.expr('datetime', d)}.offset({self.expr('duration', d)})"
            if k == 1: return f"{self.expr('datetime', d)}.toDate()"
        return f"datetime({self.text(self.pick(DATES))})"

    def duration(self, d):
        if d > 0:
            k = self.r.randrange(5)
            if k == 0: return f"{self.expr('datetime', d)}.durationSince({self.expr('datetime', d)})"
            if k == 1: return f"{self.expr('datetime', d)}.toTime()"
        return f"duration({self.text(self.pick(SPANS))})"

    def value(self, kind):
        return {"n": lambda: self.pick(LONGS), "s": lambda: self.pick(STRINGS), "b": lambda: self.pick([True, False]),
                "set": lambda: [self.pick([self.pick(LONGS), self.pick(STRINGS)]) for _ in range(self.r.randrange(3))],
                "rec": lambda: {"n": self.pick(LONGS), "rec": {"n": 1}} if self.r.random() < 0.6 else {},
                "who": lambda: dict(__entity=dict(zip(("type", "id"), self.uid()))),
                "ip": lambda: dict(__extn=dict(fn="ip", arg=self.pick([x for x in IPS if "bad" not in x and "/33" not in x and "ffff:1" not in x]))),
                "dec": lambda: dict(__extn=dict(fn="decimal", arg=self.pick(["0.0", "1.5", "-3.1415"]))),
                "when": lambda: dict(__extn=dict(fn="datetime", arg=self.pick(["2024-01-01", "1970-01-01"]))),
                "span": lambda: dict(__extn=dict(fn="duration", arg=self.pick(["1d", "-1h"]))), "odd name": lambda: self.pick(LONGS)}[kind]()

    def entities(self):
        uids = sorted({self.uid() for _ in range(self.r.randint(2, 8))})
        out = []
        for i, (kind, name) in enumerate(uids):
            parents = [dict(type=k, id=n) for k, n in uids[:i] if self.r.random() < 0.3]
            out.append({"uid": {"type": kind, "id": name}, "attrs": {key: self.value(key) for key in self.r.sample(ATTRS, self.r.randrange(8))}, "parents": parents,
                        "tags": {self.pick([s for s in STRINGS if s != "e\u0301"]): self.pick(LONGS) for _ in range(self.r.randrange(3))}})
        out.append({"uid": {"type": "Action", "id": "write"}, "attrs": {}, "parents": [{"type": "Action", "id": "any"}]})
        out.append({"uid": {"type": "Action", "id": "any"}, "attrs": {}, "parents": []})
        return out, uids

    def scope(self, variable):
        k = self.r.randrange(10)
        if k < 6: return variable
        if k < 7: return f"{variable} == {self.literal()}"
        if k < 8: return f"{variable} in {self.literal()}"
        if k < 9: return f"{variable} is {self.pick(TYPES)}"
        return f"{variable} is {self.pick(TYPES)} in {self.literal()}"

    def policy(self):
        action = self.pick(["action", "action", 'action == Action::"write"', 'action in Action::"any"', 'action in [Action::"read", Action::"any"]', "action in []"])
        text = f"{self.pick(['permit', 'permit', 'forbid'])}({self.scope('principal')}, {action}, {self.scope('resource')})"
        for _ in range(self.r.randrange(3)):
            text += f" {self.pick(['when', 'unless'])} {{ {self.expr('bool', self.r.randint(1, 5))} }}"
        return text + ";"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--decisions", type=int, default=200000)
    arguments.add_argument("--seed", type=int, default=time.time_ns() % 1000000)
    arguments.add_argument("--out", required=True)
    options = arguments.parse_args()
    maker = Maker(options.seed)
    counts = {"allow": 0, "deny": 0, "error": 0}
    refused = 0
    with open(options.out, "w", encoding="utf-8") as out:
        number = 0
        while counts["allow"] + counts["deny"] < options.decisions:
            number += 1
            policies = "\n".join(maker.policy() for _ in range(maker.r.randint(1, 4)))
            entities, uids = maker.entities()
            requests = []
            for _ in range(8):
                principal, resource = maker.pick(uids), maker.pick(uids + [("Doc", "absent")])
                requests.append({"principal": dict(type=principal[0], id=principal[1]), "action": {"type": "Action", "id": maker.pick(["read", "write"])},
                                 "resource": dict(type=resource[0], id=resource[1]), "context": {key: maker.value(key) for key in maker.r.sample(ATTRS, maker.r.randrange(6))}})
            try:
                handle, store = cedarpy.PolicySet.from_str(policies), cedarpy.Entities.from_json_str(json.dumps(entities))
                for request in requests:
                    result = cedarpy.is_authorized(request, handle, store)
                    request["decision"] = "allow" if result.allowed else "deny"
                    request["reason"] = list(result.diagnostics.reasons)
                    request["errors"] = [error.split("`")[1] for error in result.diagnostics.errors]
            except ValueError as error:
                refused += 1
                if refused > number // 2 + 20:
                    raise SystemExit(f"too many cases are refused: {error}\n{policies}")
                continue
            for request in requests:
                counts[request["decision"]] += 1
                counts["error"] += bool(request["errors"])
            out.write(json.dumps({"id": f"{options.seed}/{number}", "policies": policies, "entities": entities, "requests": requests}) + "\n")
    print(f"seed {options.seed}: {counts}, {refused} texts refused by the reference engine")


main()
