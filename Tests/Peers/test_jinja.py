"""Random template programs render as Jinja2 renders them, set up as transformers sets it up, or are an error in both.

Run from the repository: python3 -m pytest Tests/Peers/test_jinja.py   (needs the packages of Tests/Peers/requirements.txt)
"""
import importlib.util, json, os, pathlib, random, subprocess
import pytest

pytest.importorskip("jinja2")
ROOT = pathlib.Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("golden", ROOT / "Tests/Fixtures/template/make-golden.py")
golden = importlib.util.module_from_spec(spec)
spec.loader.exec_module(golden)

VALUES = {**golden.VALUES, "messages": golden.TALKS[3], "tools": golden.TOOLS, "deep": {"a": [{"b": {"c": [1, "z"]}}]}}
TEXTS = ["", "a", " b ", "Hello", "x,y", "<|im_end|>", "\\n", "é", "ß東", "{}", "a'b", "42", "-7.5", "aXbXc"]
NAMES = ["s", "e", "n", "z", "neg", "f", "t", "no", "nil", "xs", "ws", "mixed", "d", "ed", "q", "people", "missing", "messages", "tools", "lines", "deep", "v", "w"]
TESTS = ["defined", "undefined", "string", "none", "mapping", "iterable", "sequence", "boolean", "true", "false", "number"]
SIMPLE = ["length", "trim", "string", "default", "join", "list", "lower", "upper", "int", "sort", "min", "tojson", "items|list", "unique|list", "dictsort", "count", "map('string')|list", "map(attribute='name')|list", "select|list", "reject('none')|list"]


class Writer:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.names = list(NAMES)
        self.macros = []
        self.wild = self.pick(0, 0, 0.05, 0.3, 1)

    def pick(self, *choices):
        return self.r.choice(choices)

    def text(self):
        return '"' + self.r.choice(TEXTS) + '"'

    def whole(self):
        return str(self.r.choice([0, 1, 2, 3, 5, -1, -2, 10]))

    def atom(self):
        return self.r.choice([self.text, self.whole, lambda: self.r.choice(self.names), lambda: self.r.choice(self.names), lambda: self.pick("true", "false", "none", "1.5", "0.25", "2e3")])()

    def expression(self, depth):
        """Mostly what is no error whatever its parts are: a program with one error shows nothing of the rest."""
        if depth <= 0:
            return self.atom()
        if self.r.random() < self.wild:
            return self.wild_expression(depth)
        e = lambda: self.expression(depth - 1)
        return self.r.choice([
            lambda: f"{e()} ~ {e()}", lambda: f"({e()}) {self.pick('==', '!=')} ({e()})", lambda: f"({e()}) {self.pick('and', 'or')} ({e()})", lambda: f"(not ({e()}))", lambda: f"({e()} if {e()} else {e()})",
            lambda: f"(({e()}) is {self.pick('', 'not ')}{self.r.choice(TESTS)})", lambda: f"({e()})|{self.pick('string', 'trim', 'lower', 'upper', 'string|length', 'string|list', 'string|indent(2)')}",
            lambda: f"({e()})|default({e()}, {self.pick('true', 'false')})", lambda: f"({e()})|replace({self.text()}, {e()})", lambda: f"[{e()}, {e()}]|{self.pick('join', 'join(%s)' % self.text(), 'length', 'tojson', 'list', 'map(%r)|list' % 'string', 'select(%r)|list' % 'string', 'select|list')}",
            lambda: f"({e()})|string|{self.pick('lower', 'unique|list', 'sort', 'min', 'int', 'int(3)', 'tojson')}", lambda: f"({e()} ~ {self.text()}).{self.pick('strip()', 'split()', 'rstrip()', 'split(%s)' % self.text(), 'startswith(%s)' % self.text(), 'replace(%s, %s)' % (self.text(), self.text()))}",
            lambda: f"({self.pick('s', 'q', 'xs', 'ws', 'mixed', 'people', '(' + e() + ')|string')})[{self.pick('', self.whole())}:{self.pick('', self.whole())}{self.pick('', ':-1', ':2', ':')}]", lambda: f"{self.pick('xs', 'ws', 'people', 'mixed')}[{self.pick('0', '1', '-1', '9')}]",
            lambda: f"{self.pick('d', 'deep', 'people[0]', 'messages[0]')}.get({self.text()}, {e()})", lambda: "[" + ", ".join(e() for _ in range(self.r.randrange(4))) + "]", lambda: "{" + ", ".join(f"{self.text()}: {e()}" for _ in range(self.r.randrange(3))) + "}",
            lambda: f"{self.pick('d', 'mixed', 'tools', 'messages', 'q', 'deep', 'xs')}|tojson({self.pick('', 'indent=2', 'sort_keys=true', 'ensure_ascii=true', 'indent=1')})", lambda: f"{self.pick('n', 'f', 'neg', 't')} {self.pick('+', '-', '*', '/', '//', '%', '<', '>=')} {self.pick('n', '3', '-2', '0.5', 'neg')}", lambda: f"{self.pick('n', 'neg', 'f', '2')} ** {self.pick('2', '3', '-2', 'z')}",
            lambda: f"people|{self.pick('selectattr', 'rejectattr')}({self.pick('%r' % 'tags', '%r, %r' % ('tags', 'defined'), '%r, %r, %s' % ('age', 'equalto', '31'), '%r, %r, %s' % ('name', 'in', '[%s, %r]' % (self.text(), 'bob')))})|map(attribute='name')|{self.pick('list', 'join', 'sort', 'min')}",
            lambda: f"{self.r.choice(self.macros)[0]}({e()})" if self.macros and self.r.random() < 0.8 else self.atom(),
        ])()

    def wild_expression(self, depth):
        e = lambda: self.expression(depth - 1)
        kind = self.r.randrange(24)
        if kind < 3:
            return f"{e()} {self.pick('+', '-', '*', '/', '//', '%', '~', '~', '+')} {e()}"
        if kind == 3:
            return f"{e()} {self.pick('==', '!=', '<', '<=', '>', '>=', 'in', 'not in')} {e()}"
        if kind == 4:
            return f"({e()}) {self.pick('and', 'or')} ({e()})"
        if kind == 5:
            return f"(not ({e()}))"
        if kind == 6:
            return f"({e()} if {e()} else {e()})"
        if kind == 7:
            return f"(({e()}) is {self.pick('', 'not ')}{self.r.choice(TESTS)})"
        if kind == 8:
            return f"({e()})|{self.r.choice(SIMPLE)}"
        if kind == 9:
            return f"({e()})|default({e()}, {self.pick('true', 'false')})"
        if kind == 10:
            return f"({e()})|replace({self.text()}, {self.text()}{self.pick('', ', 1', ', -1')})"
        if kind == 11:
            return f"({e()})|join({self.text()})"
        if kind == 12:
            return f"{self.r.choice(self.names)}[{self.pick('', self.whole())}:{self.pick('', self.whole())}{self.pick('', ':-1', ':2', ':')}]"
        if kind == 13:
            return f"({e()})[{self.pick(self.whole(), self.text(), e())}]"
        if kind == 14:
            return f"({e()}).{self.pick('name', 'role', 'content', 'a', 'b', 'function', 'zz')}"
        if kind == 15:
            return "[" + ", ".join(e() for _ in range(self.r.randrange(4))) + "]"
        if kind == 16:
            return "{" + ", ".join(f"{self.pick(self.text(), self.atom())}: {e()}" for _ in range(self.r.randrange(3))) + "}"
        if kind == 17:
            return f"({e()}).{self.pick('strip()', 'split()', 'split(%s)' % self.text(), 'lstrip()', 'rstrip(%s)' % self.text(), 'startswith(%s)' % self.text(), 'endswith(%s)' % self.text(), 'replace(%s, %s)' % (self.text(), self.text()), 'get(%s)' % self.text(), 'get(%s, %s)' % (self.text(), e()))}"
        if kind == 18:
            return f"({e()})|tojson({self.pick('indent=2', 'indent=4', 'sort_keys=true', 'ensure_ascii=true', 'indent=1')})"
        if kind == 19:
            return f"({e()})|{self.pick('select', 'reject')}('{self.pick('string', 'number', 'none', 'defined', 'mapping')}')|list"
        if kind == 20:
            return f"({e()})|{self.pick('selectattr', 'rejectattr')}('{self.pick('name', 'role', 'age', 'tags', 'a')}'{self.pick('', ', %r' % 'defined', ', %r, %s' % ('equalto', self.atom()), ', %r, %s' % ('in', e()))})|list"
        if kind == 21:
            return f"({e()})|map({self.pick('%r' % 'upper', '%r' % 'trim', '%r' % 'length', '%r' % 'tojson', 'attribute=%r' % 'role', 'attribute=%r, default=%s' % ('age', self.atom()), '%r, %s' % ('default', self.atom()))})|{self.pick('list', 'join', 'join(%s)' % self.text())}"
        if kind == 22:
            return f"({e()})|indent({self.pick('2', '1, true', '3, blank=true', self.text())})"
        if self.macros and self.r.random() < 0.7:
            name, count = self.r.choice(self.macros)
            return f"{name}({', '.join(e() for _ in range(self.r.randrange(count + 1)))})"
        return self.pick(f"-({e()})", f"({e()}, {e()})", f"range({self.whole()})|list", f"({e()})|sort(reverse=true)", f"({e()})|dictsort(by='value')", f"({e()})|int({self.whole()})", f"({e()}) ** 2", f"({e()})|unique(true)|list", f"({e()})|min(attribute='age')")

    def tag(self, body):
        return self.pick("{%", "{%", "{%-", "{%+") + f" {body} " + self.pick("%}", "%}", "-%}", "+%}")

    def space(self):
        return self.r.choice(["", "", " ", "\n", "\n  ", "  \n", " x ", "y\n", "<|a|>"])

    def body(self, depth, loop=False):
        return "".join(self.space() + self.statement(depth, loop) for _ in range(self.r.randrange(1, 4))) + self.space()

    def statement(self, depth, loop=False):
        kind = self.r.randrange(16)
        if depth <= 0 or kind < 5:
            e = self.expression(self.r.randrange(4))
            if loop and self.r.random() < 0.3:
                e = "loop." + self.pick("index", "index0", "first", "last", "length", "revindex", "revindex0", "previtem", "nextitem")
            return self.pick("{{ ", "{{ ", "{{- ") + self.pick(e, e, e, f"({e})|safe") + self.pick(" }}", " }}", " -}}")
        if kind < 8:
            out = self.tag(f"if {self.expression(2)}") + self.body(depth - 1, loop)
            if self.r.random() < 0.4:
                out += self.tag(f"elif {self.expression(2)}") + self.body(depth - 1, loop)
            if self.r.random() < 0.5:
                out += self.tag("else") + self.body(depth - 1, loop)
            return out + self.tag("endif")
        if kind < 11:
            pairs = self.r.random() < 0.2
            target, over = ("v, w", self.pick("d.items()", "d|dictsort", "deep|items", "[(1, 2), [3, 4]]")) if pairs else (self.pick("v", "w", "x"), self.pick("xs", "ws", "people", "messages", "mixed", "range(3)", "s[:4]", "d", self.expression(2)))
            guard = f" if {self.expression(1)}" if self.r.random() < 0.2 else ""
            out = self.tag(f"for {target} in {over}{guard}") + self.body(depth - 1, True)
            if self.r.random() < 0.15:
                out += self.tag(f"if {self.expression(1)}") + self.tag(self.pick("break", "continue")) + self.tag("endif") + self.body(depth - 1, True)
            if self.r.random() < 0.2:
                out += self.tag("else") + self.body(depth - 1)
            return out + self.tag("endfor")
        if kind == 11:
            return self.tag(f"set {self.pick('v', 'w', 'ns.a', 'ns.b')} = {self.expression(2)}")
        if kind == 12:
            return self.tag(f"set {self.pick('v', 'w')}{self.pick('', ' | upper', ' | trim')}") + self.body(depth - 1) + self.tag("endset")
        if kind == 13:
            name, count = f"m{len(self.macros)}", self.r.randrange(3)
            parameters = ", ".join(f"p{i}" + (f"={self.atom()}" if i else "") for i in range(count))
            calls = self.r.random() < 0.3
            inner, self.names = self.names, self.names + [f"p{i}" for i in range(count)]
            out = self.tag(f"macro {name}({parameters})") + self.body(depth - 1) + ("{{ caller() }}" if calls else "") + self.tag("endmacro")
            self.names = inner
            self.macros.append((name, count))
            return out + (self.tag(f"call {name}()") + self.body(depth - 1) + self.tag("endcall") if calls else "")
        if kind == 14:
            return self.tag(f"filter {self.pick('upper', 'trim', 'indent(2)', 'replace(%s, %s)' % (self.text(), self.text()), 'tojson')}") + self.body(depth - 1) + self.tag("endfilter")
        return self.pick(self.tag("generation") + self.body(depth - 1, loop) + self.tag("endgeneration"), "{# " + self.space() + " #}", "{#- c -#}", self.tag("raw").replace("+%}", "%}") + "{{ x }}" + self.tag("endraw"))

    def program(self):
        if self.r.random() < 0.3:
            return "{{ " + self.expression(self.r.randrange(1, 4)) + " }}"
        return "{% set ns = namespace(a=1, b='x') %}" + "".join(self.space() + self.statement(3) for _ in range(self.r.randrange(1, 5))) + self.space()


# What docs/formats/chat-template.md §3 says differs, seen in what the reference printed.
DIFFERS = ["<generator object", "<bound method", "<built-in", "<Macro", "<Namespace", "dict_items(", "range(", "LoopContext", "<function", "<class"]


# Programs subscript literals, of which Python warns.
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_programs_render_alike(tmp_path):
    count = int(os.environ.get("FORGE_PEERS_PROGRAMS", "2500"))
    programs = [Writer(seed).program() for seed in range(count)]
    expected = [golden.render(program, VALUES) for program in programs]
    (tmp_path / "programs.json").write_text(json.dumps([{"template": program, "input": VALUES} for program in programs]))
    subprocess.run([*os.environ.get("FORGE_SWIFT_TEST", "swift test").split(), "--filter", "ForgeTemplateTests.GoldenTests"], cwd=os.environ.get("FORGE_PACKAGE", ROOT), check=True,
                   env={**os.environ, "FORGE_PEERS_JINJA": str(tmp_path)})
    ours = json.loads((tmp_path / "outputs.json").read_text())
    compared, refused, wrong = 0, 0, []
    for seed, (program, reference, our) in enumerate(zip(programs, expected, ours, strict=True)):
        if reference is not None and any(word in reference for word in DIFFERS):
            continue
        if reference is not None and our.get("error", "").startswith("template.unsupported"):
            refused += 1
            continue
        compared += 1
        if our.get("output") != reference:
            wrong.append((seed, program, reference, our))
    rendered = sum(reference is not None for reference in expected)
    print(f"{compared} of {count} compared, {rendered} rendered, {refused} refused by name, {len(wrong)} differ")
    assert not wrong, "\n\n".join(f"seed {seed}\n{program!a}\nreference {reference!a}\nours {our!a}" for seed, program, reference, our in wrong[:12])
    assert compared > count * 0.9 and refused < count * 0.02 and rendered > count * 0.4
