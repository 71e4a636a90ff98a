"""Writes syntax.json and expressions.json: what the reference engine (PyPI `cedarpy`, see Tests/Peers/requirements.txt) accepts, and what
it evaluates. Run: python make-golden.py, in this folder. The Swift tests read the files and need no Python."""
import json
import cedarpy

SCOPE = "permit(principal,action,resource)"

SYNTAX = [
    "", "permit(principal,action,resource);", "permit(principal,action,resource,);", "permit(principal,action,resource)", "permit(principal,action);",
    "permit(action,principal,resource);", "Permit(principal,action,resource);", "permit(principal:A,action,resource);", "permit(principal,action,resource) when {};",
    "permit(principal,action,resource) foo {true};", "permit(principal,action,resource) when { true } unless { false } when { true };",
    "permit(principal,action,resource) // c\r when { true };", "permit(principal,action,resource)\u00a0when\u2003{ true };",
    'permit(principal in A::"a",action in Action::"x",resource is B);', 'permit(principal,action in [Action::"a",],resource);', "permit(principal,action in [],resource);",
    'permit(principal in [A::"a"],action,resource);', 'permit(principal,action == A::"a",resource);', "permit(principal,action is Action,resource);",
    'permit(principal is A == B::"b",action,resource);', 'permit(principal != A::"b",action,resource);', 'permit(principal is A::B in A::"x",action,resource);',
    'permit(principal,action in [A::"x"],resource);', 'permit(principal,action in X::Action::"x",resource);', 'permit(principal is "A",action,resource);',
    "permit(principal,action,resource is if);", "@a @a permit(principal,action,resource);", '@if("x") permit(principal,action,resource);',
    "@id permit(principal,action,resource);", "@a() permit(principal,action,resource);", '@x("a\\*") permit(principal,action,resource);',
    "@__cedar permit(principal,action,resource);",
] + [SCOPE + " when { " + e + " };" for e in [
    "[1,2,] == [1]", "{a:1,} == {a:1}", 'ip("1.1.1.1",) == 1', "[,] == 1", "{,} == 1", "ip(,) == 1", 'principal has ("a")', "principal.if", "{if:1} == 1", "{then:1} == 1",
    "principal has if", "principal has a.b", 'principal has "a".b', 'principal has a.b["c"]', "!-1", "-!true", "!!!!!true", "!!!!true", "-----1 == 1", "----1 == 1",
    "9223372036854775808 == 1", "-9223372036854775808 == 1", "-(9223372036854775808) == 1", "1 + -1 == 0", "1 < 2 < 3", "1 == 2 == 3", "foo", "foo(1)", "isIpv4(1)",
    'principal.ip("1")', "principal.foo()", "ip()", "ip(1,2)", "[1].contains()", "[1].contains(1,2)", "contains([1],1)", 'ip("1").isIpv4(1)', "{a:1,a:2} == 1",
    '{a:1,"a":2} == 1', 'principal["a"]', 'principal["a" ]["b"].c', "principal[1]", '"\\x41\\x7f" == "\\u{10ffff}\\0\\\'"', '"\\x80" == ""', '"a\rb" == ""', '"a\nb" == ""',
    '"a\\\n  b" == ""', '"\\u{d800}" == ""', '"\\u{0000041}" == ""', '"\\u{4_1}" == ""', '"\\u{_41}" == ""', '"\\u{}" == ""', '"\\q" == ""', '"\\*" == ""', '"a" like "\\*a*"',
    'A::"a\\n" == A::"a"', 'A::"a\nb" == A::"a"', 'A :: "a" == A ::  B :: "a"', 'A::if::"a" == 1', '__cedar::"a" == 1', 'permit::"a" == 1', 'principal::"a" == 1', "1 / 2 == 1",
    "1 % 2 == 1", "principal like principal", "principal is principal", 'principal is A in [A::"x"]', "1 = 1", "if true then 1 else 2 == 2",
    "true && if true then true else false", "1 + if true then 1 else 2", "principal.__cedar", "principal.a.contains", "principal.in", "[1].isEmpty()", "[1].isEmpty(1)",
    "(principal).a", 'A::ip("1")', "principal has a || true", "principal has a == true", '{"a b":1}["a b"] == 1', "{1:1} == 1", "{(a):1} == 1", "{a::b:1} == 1",
    "{principal:1}.principal == 1", "00012 == 12", 'decimal("1.2").lessThan()', 'principal.getTag("a","b")', "principal.hasTag()", "'a' == 1", "principal.isIpv4", '"a"like"b"',
    '"" like "\\u{2a}"', "((principal has a))", "-principal.a == 1", "-5.a == 1", "principal.a()", 'principal.offset(duration("1d"))', "true;", "(true", "[1", '"a', "#", "a::b",
    "principal.a.b.c", "1 in principal in 2", "true || false && true", "é == 1",
]]

ENTITIES = [
    {"uid": {"type": "A", "id": "here"}, "attrs": {
        "n": 3, "s": "text", "b": True, "set": [1, "x", 2], "rec": {"inner": {"deep": 1}}, "ref": {"__entity": {"type": "A", "id": "gone"}},
        "ip": {"__extn": {"fn": "ip", "arg": "10.1.2.3/16"}}, "when": {"__extn": {"fn": "datetime", "arg": "2024-10-15"}}, "empty": ""},
     "parents": [{"type": "G", "id": "g1"}], "tags": {"t": 1, "": "nothing"}},
    {"uid": {"type": "G", "id": "g1"}, "attrs": {}, "parents": [{"type": "G", "id": "g2"}]},
    {"uid": {"type": "G", "id": "g2"}, "attrs": {}, "parents": [{"type": "H", "id": "top"}]},
]
CONTEXT = {"n": 7, "list": [1, 2], "rec": {"a": {"b": "c"}}, "who": {"__entity": {"type": "A", "id": "here"}}}

EXPRESSIONS = [
    'ip("127.0.0.1/7").isLoopback()', 'ip("127.9.9.9/8").isLoopback()', 'ip("10.0.0.1/24")==ip("10.0.0.0/24")', 'ip("1.1.1.1")==ip("1.1.1.1/32")', 'ip("::1").isLoopback()',
    'ip("::1/127").isLoopback()', 'ip("::0/0").isLoopback()', 'ip("224.0.0.1/3").isMulticast()', 'ip("224.0.0.1/4").isMulticast()', 'ip("ff00::/7").isMulticast()',
    'ip("ff00::/8").isMulticast()', 'ip("127.0.0.1/0").isLoopback()', 'ip("::ffff:1.2.3.4").isIpv6()', 'ip("1:2:3:4:5:6:7::")==ip("1:2:3:4:5:6:7:0")',
    'ip("::1:2:3:4:5:6:7:8").isIpv6()', 'ip("1.1.1.1/032").isIpv4()', 'ip("01.1.1.1").isIpv4()', 'ip("1.1.1.1/33").isIpv4()', 'ip("::1/").isIpv6()', 'ip("::/00").isIpv6()',
    'ip("::/0").isIpv6()', 'ip("1.1.1.1").isInRange(ip("::/0"))', 'ip("10.0.0.0/8").isInRange(ip("10.1.0.0/7"))', 'ip("1.1.1.1 ").isIpv4()', 'ip("fe80::1%eth0").isIpv6()',
    'ip("::").isIpv6()', 'ip(":::").isIpv6()', 'ip("1::2::3").isIpv6()', 'ip("12345::").isIpv6()', 'ip("1:2:3:4:5:6:7:8/128").isIpv6()', 'ip("1:2:3:4:5:6:7:8:9").isIpv6()',
    'ip(":1:2:3:4:5:6:7").isIpv6()', 'ip("1:2:3:4:5:6:7:").isIpv6()', 'ip("::ABCD")==ip("::abcd")', 'ip("0.0.0.0/0").isInRange(ip("0.0.0.0/0"))', 'ip("256.1.1.1").isIpv4()',
    'ip("1.1.1").isIpv4()', 'ip("").isIpv4()', 'ip("1.1.1.1/-1").isIpv4()', 'ip("1.1.1.1/1/1").isIpv4()',
    'decimal("1.0")==decimal("1.00")', 'decimal("1").lessThan(decimal("1.0"))', 'decimal("1.").lessThan(decimal("1.0"))', 'decimal(".5").lessThan(decimal("1.0"))',
    'decimal("01.0")==decimal("1.0")', 'decimal("-0.5").lessThan(decimal("0.0"))', 'decimal("-1.5").lessThan(decimal("-1.4"))', 'decimal("+1.0")==decimal("1.0")',
    'decimal("922337203685477.5807").greaterThan(decimal("0.0"))', 'decimal("-922337203685477.5808").lessThan(decimal("0.0"))',
    'decimal("922337203685477.5808").greaterThan(decimal("0.0"))', 'decimal("1.00000")==decimal("1.0")', 'decimal("00000000000000000000000001.0")==decimal("1.0")',
    'decimal("-0.0")==decimal("0.0")', 'decimal("1.0").lessThanOrEqual(decimal("1.0"))', 'decimal("1.0").greaterThanOrEqual(decimal("1.0001"))', 'decimal("--1.0")==decimal("1.0")',
    'decimal("1.1").lessThan(1)', 'decimal("1.1","2")==1', 'decimal("1.1") < decimal("1.2")',
    'datetime("2024-02-30")==datetime("2024-01-01")', 'datetime("2024-02-29")<datetime("2024-03-01")', 'datetime("2023-02-29")<datetime("2024-03-01")',
    'datetime("1900-02-29")<datetime("2024-03-01")', 'datetime("2000-02-29")<datetime("2024-03-01")', 'datetime("2024-01-01T24:00:00Z")==datetime("2024-01-02")',
    'datetime("2024-01-01T23:59:60Z")==datetime("2024-01-02")', 'datetime("2024-01-01T00:00:00+2359")<datetime("2024-01-01")', 'datetime("2024-01-01T00:00:00+2400")<datetime("2024-01-01")',
    'datetime("2024-01-01T00:00:00-0060")<datetime("2024-01-01")', 'datetime("0000-01-01")<datetime("2024-01-01")', 'datetime("0000-02-29").toDate()==datetime("0000-02-29")',
    'datetime("2024-01-01T00:00:00.12Z")<datetime("2025-01-01")', 'datetime("2024-01-01T00:00:00.120Z")<datetime("2025-01-01")', 'datetime("2024-01-01T00:00Z")<datetime("2025-01-01")',
    'datetime("2024-01-01t00:00:00Z")<datetime("2025-01-01")', 'datetime("2024-01-01T00:00:00")<datetime("2025-01-01")', 'datetime("-2024-01-01")<datetime("2025-01-01")',
    'datetime("2024-1-1")<datetime("2025-01-01")', 'datetime("2024-13-01")<datetime("2025-01-01")', 'datetime("2024-00-01")<datetime("2025-01-01")',
    'datetime("2024-01-01T10:20:30.405+0130")==datetime("2024-01-01T08:50:30.405Z")', 'datetime("2024-01-01 ")<datetime("2025-01-01")',
    'duration("")==duration("0ms")', 'duration("-")==duration("0ms")', 'duration("1d2h")==duration("26h")', 'duration("2h1d")==duration("1d")', 'duration("-1d1h")==duration("-25h")',
    'duration("1.5h")==duration("1h")', 'duration("+1h")==duration("1h")', 'duration("-9223372036854775808ms")<duration("0ms")', 'duration("9223372036854775808ms")<duration("0ms")',
    'duration("1ms1s")==duration("1s")', 'duration("00001d")==duration("1d")', 'duration("106751991168d")<duration("1d")', 'duration("-1500ms").toSeconds()==-1',
    'duration("1d1d")==duration("2d")', 'duration("1")==duration("1ms")', 'duration("1x")==duration("1ms")', 'duration("1d2h3m4s5ms").toMilliseconds()==93784005',
    'duration("90m").toHours()==1', 'duration("47h").toDays()==1', 'duration("-47h").toDays()==-1', 'duration("119s").toMinutes()==1',
    'datetime("1969-12-31T23:59:59.999Z").toDate()==datetime("1969-12-31")', 'datetime("1969-12-31T23:59:59.999Z").toTime()==duration("86399999ms")',
    'datetime("1970-01-01").offset(duration("-9223372036854775808ms")).toDate()==datetime("1970-01-01")', 'datetime("1970-01-02").offset(duration("9223372036854775807ms"))<datetime("1970-01-01")',
    'datetime("2024-01-02").durationSince(datetime("2024-01-01"))==duration("1d")',
    'datetime("1970-01-01").offset(duration("-9223372036854775808ms")).durationSince(datetime("1970-01-02"))<duration("0ms")',
    'datetime("1970-01-01")<duration("1d")', 'datetime("1970-01-01")<1', "1<true", '"a"<"b"', 'datetime("1970-01-01")<=datetime("1970-01-01")', 'duration("1s")>duration("1ms")',
    'ip(1)==1', 'ip("a" )==1', 'ip("1.1.1.1").isIpv4(1)', '"a".isIpv4()', 'ip()', 'decimal("1.1").toTime() == 1',
    "[1].contains(principal.x)", "1 in principal", "principal in 1", "principal in [principal,1]", "principal in [1,principal]", "principal in []", 'principal in G::"g1"',
    'principal in G::"g2"', 'principal in H::"top"', 'principal in [G::"no", H::"top"]', 'G::"g1" in principal', 'A::"nobody" in A::"nobody"', 'A::"nobody" in G::"g1"',
    'resource in G::"g1"', "principal has n", "principal has nope", "principal has rec.inner", "principal has rec.inner.deep", "principal has rec.inner.deep.x", "principal has rec", 'principal.rec["inner"].deep == 1', "principal has n.x", "principal has ref.x",
    "principal.ref has x", "principal.ref.x == 1", "resource has a", "resource has a.b", "1 has a", "{a:1} has a.b", "{a:{}} has a.b", "{a:{b:1}} has a.b", "{} has a.b", "[1] has a",
    'principal.hasTag("t")', 'principal.hasTag("")', 'principal.hasTag("u")', 'principal.getTag("t") == 1', 'principal.getTag("u") == 1', 'resource.hasTag("a")', 'resource.getTag("a") == 1',
    "principal.hasTag(1)", '1.hasTag("a")', 'principal is A in G::"g1"', "resource is B in 1", "principal is B in 1", "principal is A in 1", "1 is A", "principal is A", "principal is A::A",
    '"" like "*"', '"é" like "é"', '"e\\u{301}"=="é"', '"e\\u{301}" like "é"', '"*" like "\\*"', '"a" like "\\*"', '"" like ""', '1 like "a"', '"abcabc" like "*abc"', '"abcab" like "*abc"',
    '"a*b" like "a\\**"', '"aXbXc" like "a*X*c"', '"\\r\\n" like "*\\n"', "true && 1", "false && 1", "1 && true", "true || 1", "false || 1", "1 || true", "!1", "-true", "!!true",
    "--9223372036854775807 > 0", "-(-9223372036854775808) > 0", "1+true > 1", "true+1 > 1", "9223372036854775807+1 > 0", "9223372036854775807*1*2 > 0", "0-9223372036854775807-2 > 0",
    "-9223372036854775808 * -1 > 0", "2*3+4*5 == 26", "1-2-3 == -4", "[1,1].containsAll([1])", "[].containsAny([])", "[].containsAll([])", "[1].containsAll(1)", "1.containsAny([1])",
    "[[1,2],[2,1]]==[[1,2]]", "[1,2].containsAny([3,2])", "[].isEmpty()", "[1].isEmpty()", "1.isEmpty()", 'principal["set"].contains("x")', "{a:1,b:2}=={b:2,a:1}",
    "{a:[1,2]}=={a:[2,1,1]}", "principal.nope", "resource.a", "context.a", "context.n == 7", "context has rec.a.b", 'context.rec.a.b like "c"', "context.who == principal",
    "context.list == [2,1]", "if 1 then true else false", "if true then true else 1", "if false then 1 else true", "if true then 1 else true", '1 == "1"', '1 != "1"', "principal == A::\"here\"",
    "principal.ip.isInRange(ip(\"10.1.0.0/16\"))", 'principal.when < datetime("2025-01-01")', "action == Action::\"x\"", "1", '"true"', "true", "false", "principal.b", "principal.empty == \"\"",
    '"\\0" == "\\u{0}"', "3 >= 3", "3 > 3", "3 <= 2", '1 >= "a"', '"a" > 1', "true == true && !(false)", "[principal, resource].contains(principal)", "{\"\":1}[\"\"] == 1",
]


def outcome(expression):
    request = {"principal": {"type": "A", "id": "here"}, "action": {"type": "Action", "id": "x"}, "resource": {"type": "A", "id": "absent"}, "context": CONTEXT}
    result = cedarpy.is_authorized(request, SCOPE + " when { " + expression + " };", ENTITIES)
    return "error" if result.diagnostics.errors else "true" if result.allowed else "false"


def accepted(text):
    try:
        cedarpy.format_policies(text)
        return True
    except Exception:
        return False


def write(name, value):
    with open(name, "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=True, indent=0)
        file.write("\n")


write("syntax.json", [{"text": text, "accepted": accepted(text)} for text in SYNTAX])
write("expressions.json", {"entities": ENTITIES, "context": CONTEXT, "cases": [{"expression": e, "outcome": outcome(e)} for e in EXPRESSIONS]})
