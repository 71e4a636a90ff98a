"""Writes golden.json, and chats.json from the templates in chats: templates, values, and what Jinja2 3.1 makes of them, set up as transformers 5 sets it up. A null output stands for an error.

Run: python3 make-golden.py   (needs jinja2)
"""
import copy, datetime, functools, json, pathlib
import jinja2, jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = pathlib.Path(__file__).parent
NOW = datetime.datetime(2026, 3, 7, 14, 5, 9)


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


class Namespace(jinja2.utils.Namespace):
    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        values = dict(*args, **kwargs)
        for name in values:
            Namespace.check(name)
        jinja2.utils.Namespace.__init__(self, values)

    def __setitem__(self, name, value):
        Namespace.check(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def check(name):
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(name)


@functools.cache
def environment():
    def refuse(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.filters["from_json"] = json.loads
    env.globals.update(raise_exception=refuse, strftime_now=NOW.strftime, namespace=Namespace)
    return env


def render(source, values):
    try:
        # A copy: the reference's `indent` appends to a list that it is given.
        return environment().from_string(source).render(**copy.deepcopy(values))
    except Exception:
        return None


VALUES = {
    "s": "Hello, wörld  ", "e": "", "n": 7, "z": 0, "neg": -3, "f": 2.5, "big": 1e16, "tiny": 1.5e-7, "t": True, "no": False, "nil": None,
    "xs": [3, 1, 2], "ws": ["b", "A", "c", "a"], "mixed": [1, "a", None, True, 2.0, [1], {"k": "v"}], "none_list": [],
    "d": {"b": 1, "a": "x'y", "C": [1, 2]}, "ed": {}, "q": "it's \"q\" \\ \n\t\x01 é 東 \U0001f600",
    "people": [{"name": "Ann", "age": 31, "tags": ["x"]}, {"name": "bob", "age": 25, "tags": []}, {"name": "Cyd", "age": 31}],
    "js": '{"a": [1, 2.5, null, true, "x\\u00e9"], "b": {"c": "d"}}', "lines": "one\n two\r\n\nthree\n",
}

EXPRESSIONS = """
s | e | n | z | neg | f | big | tiny | t | no | nil | xs | mixed | d | q | missing | people | [q] | [s, e]
1 | 1.0 | 1.50 | 1e5 | 1e22 | 123456789012345678 | 0.0001 | 0.00001 | 1e15 | 1e16 | 123456.789e3 | 1_000 | 00 | 5e-324 | 1.7976931348623157e308 | 0.1 + 0.2 | -0.0 | 100.0 | 12345678901234567.0
'a' 'b' | "a\\tb" | 'it\\'s' | "\\x41\\u00e9\\101" | '\\q' | '\\\\n' | 'a\\
b' | "\\U0001f600" | 'é' | ['\\x7f', '\\x00', '\\u200b', '\\xa0', '\\u2028', 'ǅ', '\\ue000']
n + 1 | n - 10 | n * neg | n / 2 | n // 2 | neg // 2 | n % 3 | neg % 5 | n % neg | 7 // -2 | -7 // -2 | 7.5 // 2 | -7.5 // 2 | 7.5 % -2 | -7.5 % 2 | 2 ** 10 | 2 ** -1 | 2.0 ** 3 | 2 ** 0.5 | -2 ** 2 | 2 ** 3 ** 2 | n / z | n % z | n // z | 0 ** 0 | 10 / 5 | 1 / 3 | true + 1 | true * 2.5 | n + s | s + n | s + s | s ~ n ~ f ~ nil ~ t ~ missing ~ xs | 1 ~ 2 + 3 | 1 + 2 ~ 3 * 2 | 6.0 // 0.1 | 5.5 - 5.5 | -(3) | +n | -t | -s | - - n | n -1 | 4 % 2.5 | 1e308 * 10 | -1e308 * 10
s * 2 | 2 * 'ab' | 'ab' * -1 | 'ab' * 0 | xs * 2 | (1, 2) * 2 | xs + [4] | (1,) + (2,) | xs + (1,) | 'a' * 2.0 | none + 1 | missing + 1 | 1 + missing | missing ~ 'x' | 'x' * missing
n == 7 | n == 7.0 | true == 1 | s == 'x' | xs == [3, 1, 2] | xs == (3, 1, 2) | (1, 2) == (1, 2) | none == nil | missing == other | missing == none | missing != 1 | d == {'a': "x'y", 'C': [1, 2], 'b': 1} | 1 < 2 < 3 | 1 < 3 < 2 | 3 > 2 >= 2 | n != 7 | 'a' < 'b' | 'a' < 'B' | 'a' < 1 | none < 1 | [1, 2] < [1, 3] | [1] < [1, 0] | (1, 2) <= (1, 2) | 1 <= 1.0 | missing < 1 | true < 2 | 'é' > 'z' | 1 == 1 == true | {} < {} | 'abc' >= 'abd'
'H' in s | 'x' in s | '' in s | 1 in xs | 9 not in xs | 'a' in d | 'z' not in d | 1 in d | none in d | [1] in d | 1 in s | missing in s | missing in xs | 1 in missing | 1 in none | 1 in 5 | not 1 in xs | not (1 in xs) | 'k' in mixed[6] | 1.0 in xs | true in xs | 'lo' in 'hello' in ['hello'] | 'aab' in 'aaaab'
t and n | no and n | no or s | e or nil or 'x' | not e | not not n | t and no or n | nil or missing | not missing | 1 if t else 2 | 1 if no else 2 | 1 if no | (1 if no) is defined | 1 if no else 2 if no else 3 | 'a' if t and not no else 'b' | (t and e) ~ '|' | 0 or 0.0 or [] or {} or () or 'end'
xs[0] | xs[-1] | xs[5] | xs[-4] | xs[0:2] | xs[1:] | xs[:-1] | xs[::-1] | xs[::2] | xs[-2:] | xs[5:] | xs[2:0:-1] | xs[::0] | s[0] | s[-3] | s[1:4] | s[::-1] | s[100:] | s[:100] | xs[true] | xs['a'] | xs[none:2] | xs['a':] | xs[1.0] | s[99] | d['a'] | d['zz'] | d.a | d.zz | d['b':] | n[0] | nil[0] | nil.a | missing.a | missing['a'] | missing[1:] | d.a.b | d.zz.b | d.zz.b is defined | people[0].name | people[0]['tags'][0] | people[2].tags | people[9].name | xs.0 | people.1.name | 'abc'[1] | [1, 2][1] | (1, 2)[0] | {'a': 1}['a'] | {'a': 1}.a | xs[-100:100] | xs[100:-100:-1] | xs[9223372036854775807:] | xs[::9223372036854775807] | s[-9223372036854775807:2]
[] | [1,] | [1, 2, [3, (4,)], {'a': none}] | () | (1,) | (1) | (1, 2,) | {} | {'a': 1, 'b': [2]} | {1: 2, 1.0: 3, true: 4} | {'a': 1, 'a': 2} | {(1, 2): 3} | {[1]: 2} | {none: 1} | {n: s} | 1, 2 | {'a': 1,} | {'x': missing}
s|length | xs|length | d|length | missing|length | nil|length | n|length | xs|count | (1, 2)|length | range(4)|length | d.items()|length | (xs|map('string'))|length | e|length | q|length
s|trim | s|trim ~ '|' | '  x '|trim | '\\u3000x\\xa0\\u200b'|trim ~ '|' | 'xxaxx'|trim('x') | 'abcab'|trim('ba') | n|trim | nil|trim | missing|trim ~ '|' | '..a.'|trim(chars='.') | 'x'|trim(none)
n|string | f|string | nil|string | xs|string | missing|string ~ '|' | s|string|length | (n|string) + 'x' | t|string|lower
missing|default('x') | missing|default | nil|default('x') | nil|default('x', true) | e|default('x', boolean=true) | e|d('x') | missing|default(default_value=[1]) | z|default(5, true) | missing.x|default('y') | d.zz|default('y')
xs|join(', ') | xs|join | ws|join('-') | 'abc'|join('.') | d|join(',') | missing|join | nil|join | n|join | people|join(', ', attribute='name') | people|join(', ', 'age') | [none, true, 1.5, missing]|join('/') | mixed|join | [[1, 2], [3]]|join('; ') | xs|join(1) | people|join(attribute='tags.0', d='+') | []|join('x') ~ '|'
d|items|list | missing|items|list | xs|items|list | (d|items)|join(';') | ed|items|list | d.items()|list
xs|list | s|list | d|list | missing|list | nil|list | n|list | range(3)|list | (1, 2)|list | 'é東'|list
people|selectattr('tags')|list|length | people|selectattr('age', 'equalto', 31)|map(attribute='name')|join(',') | people|selectattr('age', 'eq', 25)|list | people|rejectattr('tags')|map(attribute='name')|list | people|selectattr('tags', 'defined')|list|length | people|selectattr('nope')|list | people|selectattr('age', '>', 26)|list|length | people|selectattr('name', 'in', ['Ann', 'bob'])|list|length | people|selectattr('nope.x')|list | people|selectattr()|list | people|rejectattr('age', '==', 31)|list|length | missing|selectattr('a')|list | nil|selectattr('a')|list | n|selectattr('a')|list | people|selectattr('age', 'nosuch')|list | people|selectattr('tags', 'iterable')|list|length | people|selectattr('name', 'string')|first_not_a_filter
xs|reject('eq', 1)|list | mixed|reject('string')|list | mixed|select('string')|list | mixed|select|list | mixed|reject|list | mixed|select('number')|list | xs|select('>', 1)|list | xs|select('in', [1, 2])|list | xs|reject('none')|list | xs|reject('eq')|list | ws|reject('equalto', 'b')|join
s|safe | n|safe | xs|safe | ('<b>'|safe) ~ '<i>' | '<b>&amp;'|safe | nil|safe
d|dictsort | d|dictsort(true) | d|dictsort(by='value') | {'b': 2, 'a': 3}|dictsort(by='value') | {'b': 2, 'a': 3}|dictsort(reverse=true) | {'b': 1, 'a': 1}|dictsort(false, 'value', true) | {'b': 1, 2: 3}|dictsort | missing|dictsort | xs|dictsort | {'a': 1}|dictsort(by='x') | ed|dictsort
s|lower | s|upper | 'ß'|upper | 'İ'|lower|length | 'ΑΣ ΑΣ.Β Σ'|lower | 'ŉ'|upper | 'ǆ'|upper | n|upper | nil|upper | missing|upper ~ '|' | 'ﬁ'|upper | 'MiXeD'|lower
xs|map('string')|join('+') | ws|map('upper')|list | ws|map('lower')|join | people|map(attribute='name')|join(',') | people|map(attribute='tags', default='-')|list | people|map(attribute='tags.0', default='?')|list | people|map(attribute='nope')|list | people|map(attribute='nope.x')|list | ws|map('default', 'x')|list | ws|map('replace', 'a', 'z')|list | ws|map|list | ws|map('nope')|list | []|map('upper')|list | nil|map('upper')|list | missing|map('upper')|list | z|map('upper')|list | n|map('upper')|list | ws|map(attribute=0)|list | ws|map(attribute='0')|list | [[1, 2], [3, 4]]|map(attribute=1)|list | ws|map('trim', chars='b')|list | xs|map('tojson')|list | ws|map('length')|list | ['1', 'x']|map('int', 5)|list
'aaa'|replace('a', 'b') | 'aaa'|replace('a', 'b', 2) | 'aaa'|replace('a', 'bb', count=1) | 'abc'|replace('', '-') | 'abc'|replace('', '-', 2) | n|replace(7, 8) | 'aXbX'|replace('X', '') | 'aaaa'|replace('aa', 'b') | nil|replace('o', '0') | s|replace('o') | missing|replace('a', 'b') ~ '|' | 'x1'|replace(1, none) | 'ababab'|replace('abab', '-') | 'aaa'|replace('a', 'b', 0) | 'aaa'|replace('a', 'b', -5)
js|from_json | (js|from_json).a[4] | 'x'|from_json | '5'|from_json + 1 | missing|from_json | '"a"'|from_json | 'null'|from_json is none | '[true, 1.0]'|from_json
lines|indent | lines|indent(2) | lines|indent(2, true) | lines|indent(2, first=true, blank=true) | lines|indent('> ') | lines|indent(width='\\t', blank=true) | ''|indent ~ '|' | 'a'|indent ~ '|' | n|indent | missing|indent | 'a\\nb'|indent(0) | 'a\\n\\nb\\n'|indent(1) ~ '|' | 'a\\x0bb\\x85c\\u2028d'|indent(1) | 'a\\nb'|indent(-2)
'42'|int | ' 42 '|int | '42.9'|int | '-7'|int | 'x'|int | 'x'|int(5) | 'x'|int(default='none') | f|int | -2.7|int | nil|int | nil|int(3) | t|int | xs|int | '1_000'|int | '1__0'|int | '1e3'|int | 'inf'|int | 'nan'|int(4) | missing|int | '+5'|int | '٤٢'|int | ''|int | '0x1f'|int | '.5'|int | '5.'|int | '1 2'|int | '--5'|int | '0x1p3'|int | '_1'|int | 'infinity'|int(2)
['b', 'B', 'a', 'A']|unique|list | [1, 1.0, true, 2]|unique|list | people|unique(attribute='age')|map(attribute='name')|list | ['a', 'A']|unique(true)|list | [[1], [1]]|unique|list | missing|unique|list | nil|unique|list | 'aAb'|unique|join | [none, none]|unique|list | (1, 2, 1)|unique|list | ['a', 'A']|unique(case_sensitive=true)|list
xs|sort | ws|sort | ws|sort(case_sensitive=true) | xs|sort(reverse=true) | people|sort(attribute='age')|map(attribute='name')|list | people|sort(attribute='age,name')|map(attribute='name')|list | people|sort(attribute='age', reverse=true)|map(attribute='name')|list | mixed|sort | 'hello'|sort | d|sort | [none, none]|sort | [none, 1]|sort | missing|sort | nil|sort | [[2], [1, 5], [1]]|sort | [1, 0.5, true]|sort | people|sort(attribute='nope')|list|length | people|sort|list
xs|min | ws|min | []|min | missing|min | ['B', 'a']|min | ['B', 'a']|min(true) | people|min(attribute='age') | mixed|min | [3, 1.0, 1]|min | ['a']|min | nil|min | 'hello'|min
d|tojson | xs|tojson | mixed|tojson | q|tojson | nil|tojson | f|tojson | big|tojson | tiny|tojson | 1.0|tojson | (1, 2)|tojson | {}|tojson | []|tojson | [[], {}]|tojson(indent=2) | d|tojson(indent=4) | people|tojson(indent=2) | d|tojson(indent=0) | d|tojson(indent='--') | d|tojson(sort_keys=true) | d|tojson(ensure_ascii=true) | q|tojson(ensure_ascii=true) | q|tojson(true) | d|tojson(separators=(',', ':')) | d|tojson(indent=2, separators=(' ,', ' :')) | missing|tojson | [missing]|tojson | {1: 1, none: 2, true: 3, 1.5: 4}|tojson | {(1, 2): 3}|tojson | {1: 1, 'a': 2}|tojson(sort_keys=true) | range(3)|tojson | (xs|map('string'))|tojson | '\\x7f</script>'|tojson | '\\x7f'|tojson(true) | 1e400|tojson | d|tojson(indent=none) | {'b': {'z': 1, 'a': 2}, 'a': []}|tojson(sort_keys=true, indent=1) | d|tojson|safe
missing is defined | n is defined | nil is defined | missing is undefined | d.zz is defined | d.a is defined | d['a'] is defined | s is string | n is string | nil is string | missing is string | nil is none | n is none | missing is none | d is mapping | xs is mapping | xs is iterable | s is iterable | n is iterable | d is iterable | missing is iterable | nil is iterable | range(2) is iterable | (xs|map('string')) is iterable | xs is sequence | s is sequence | d is sequence | n is sequence | missing is sequence | nil is sequence | (xs|map('string')) is sequence | d.items() is sequence | range(2) is sequence | t is boolean | n is boolean | z is boolean | nil is boolean | t is true | no is false | n is true | 1 is true | nil is false | n is number | f is number | t is number | s is number | nil is number | n is not none | n is not defined | not n is defined | n is eq 7 | n is eq(7) | n is equalto 8 | s is eq s | n is ne 7 | n is gt 5 | n is lt 5 | n is ge 7 | n is le 6 | n is in [7] | n is not in [7] | 'a' is in d | n is eq | n is defined(1) | n is nosuch | n is string and t | n is string or t | (n is number) ~ 'x' | n is number ~ 'x' | missing is mapping | 'x' is mapping | d.items() is iterable | n is eq 7.0 | n is eq xs[0] | n is lessthan 8 | n is greaterthan 8
s.split() | s.split(',') | 'a,b,c'.split(',', 1) | 'a  b c'.split() | 'a  b c'.split(' ') | ' a b  c '.split(none, 1) | ''.split() | ''.split(',') | 'a'.split('') | 'a,b'.split(sep=',') | 'a,b,c'.split(',', maxsplit=0) | 'aXXbXX'.split('XX')[-1] | 'a\\u2003b'.split() | 'a</think>b</think>c'.split('</think>')[0] | 'abc'.split(1) | 'a b c'.split(maxsplit=1) | 'aaa'.split('aa') | ' x '.split(none, 0)
' x '.strip() ~ '|' | 'xax'.strip('x') | ' x '.lstrip() ~ '|' | ' x '.rstrip() ~ '|' | 'xax'.lstrip('x') | 'xax'.rstrip('x') | '\\n\\nx\\n'.strip('\\n') ~ '|' | s.strip(none) ~ '|' | s.strip(1) | 'abc'.strip('') | n.strip() | nil.strip() | missing.strip()
s.startswith('Hello') | s.startswith('x') | s.startswith('') | s.startswith(('x', 'H')) | s.endswith('  ') | s.endswith('x') | 'a'.startswith('abc') | s.startswith(1) | s.startswith(missing) | 'abc'.endswith(('c', 'd')) | ''.startswith('')
'aba'.replace('a', 'c') | 'aba'.replace('a', 'c', 1) | 'aba'.replace('a', 1) | 'aba'.replace('', '.') | 'aba'.replace('a') | 'aba'.replace('b', '')
d.get('a') | d.get('zz') | d.get('zz', 5) | d.get('a', 5) | d.get() | d.get([1]) | d.get(1, 'x') | people[0].get('age') | missing.get('a') | xs.get(0) | d.get('a').get('b') | d['get']('a')
'{} {}'.format(1, 'a') | '{1} {0}'.format(1, 2) | '{x}'.format(x=n) | '{{}} {}'.format(1) | '{}'.format() | '{} {0}'.format(1) | '{'.format(1) | '}'.format(1) | '{x}'.format(1) | '{}{}'.format(nil, t) | '{}'.format(xs) | '{a} {}'.format(1, a=2) | '{}'.format(f) | '{1}'.format(1) | '{}'.format(d)
xs.append(4) | d.pop('a') | d.update({}) | xs.pop() | xs.sort() | xs.clear() | xs.append is defined | d.items() == 1 | [].append(1) | ().append(1) | ''.append
range(3)|list | range(1, 4)|list | range(10, 0, -3)|list | range(0)|list | range(5, 1)|list | range(1, 2, 0)|list | range(1.5)|list | range()|list | range(1000000)|list | range(3)[1] | range(5)[1:3]|list | range(3)[-1] | 2 in range(3) | range('a') | range(true)|list
namespace(a=1).a | namespace().b | namespace(a=1).b is defined | namespace({'a': 2}).a | namespace({'a': 2}, a=3).a | namespace(_a=1) | namespace(1) | namespace(a=1)['a'] | namespace(a=1) is mapping | namespace(a=1) is iterable
strftime_now('%Y-%m-%d') | strftime_now('%d %B %Y, %A %a %b') | strftime_now('%H:%M:%S %I %p %j %y %%') | strftime_now('%-d %-m %-H %-I %-M %-S %-j') | strftime_now('%e|x é') | strftime_now() | strftime_now(1)
raise_exception('stop') | raise_exception() | raise_exception(1) | raise_exception('a') if no else 'fine' | nope() | n() | s() | d.a() | none() | missing.x() | xs[0]()
""".strip("\n")

STATEMENTS = [
    # Conditions.
    "{% if n %}a{% endif %}", "{% if z %}a{% else %}b{% endif %}", "{% if z %}a{% elif n == 7 %}b{% elif t %}c{% else %}d{% endif %}", "{% if missing %}a{% endif %}|", "{% if xs and d %}x{% endif %}",
    "{% if n %}{% if z %}a{% else %}b{% endif %}{% endif %}", "{% if %}a{% endif %}", "{% if n %}a", "{% if n %}a{% else %}b{% else %}c{% endif %}", "{% endif %}", "{% if n: %}a{% endif %}", "{% if 1 if n else 0 %}a{% endif %}",
    "{% if n is defined and s is string and xs is not none %}ok{% endif %}", "{% if a, b %}x{% endif %}",
    # Loops.
    "{% for x in xs %}{{ x }},{% endfor %}", "{% for x in [] %}a{% else %}none{% endfor %}", "{% for x in missing %}a{% else %}none{% endfor %}", "{% for x in nil %}a{% endfor %}", "{% for x in 5 %}a{% endfor %}", "{% for c in 'añb' %}[{{ c }}]{% endfor %}",
    "{% for k in d %}{{ k }};{% endfor %}", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d|items %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d|dictsort %}{{ k }}={{ v }};{% endfor %}", "{% for a, b in [(1, 2), [3, 4], 'xy'] %}{{ a }}{{ b }} {% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}", "{% for a, b in [1] %}{{ a }}{% endfor %}", "{% for a, b in [missing] %}x{% endfor %}", "{% for (a, b), c in [((1, 2), 3)] %}{{ a + b + c }}{% endfor %}", "{% for x in 1, 2 %}{{ x }}{% endfor %}", "{% for a, in [[1], [2]] %}{{ a }}{% endfor %}",
    "{% for x in xs %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}", "{% for x in xs %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}",
    "{% for x in xs %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }} {% endfor %}", "{% for p in people %}{{ loop.nextitem.name if loop.nextitem else '-' }}{% endfor %}", "{% for p in people %}{{ loop.nextitem.name }}{% endfor %}", "{% for x in xs if x > 1 %}{{ loop.index }}:{{ x }}/{{ loop.length }} {% endfor %}",
    "{% for x in xs if x > 9 %}a{% else %}none{% endfor %}", "{% for x in xs %}{% for y in ws %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}", "{% for x in xs %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% for x in xs %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% break %}", "{% for x in xs %}{% break %}{% else %}b{% endfor %}|", "{% for x in xs %}{% for y in ws %}{% break %}{% endfor %}{{ x }}{% endfor %}", "{% for x in xs %}{{ loop.depth }}{{ loop.depth0 }}{% endfor %}", "{{ loop }}|{{ loop.index }}", "{% for x in xs|map('string') %}{{ x ~ loop.last }} {% endfor %}",
    "{% for x in xs[1:] %}{{ x }}{% endfor %}", "{% for x in range(3) %}{{ x }}{% endfor %}", "{% for x in (1, 2) %}{{ x }}{% endfor %}", "{% for x in xs recursive_ %}{% endfor %}", "{% for in xs %}{% endfor %}", "{% for x xs %}{% endfor %}", "{% for x in %}{% endfor %}", "{% for x in xs %}", "{% for 1 in xs %}{% endfor %}", "{% for x.y in xs %}{% endfor %}", "{% for true in xs %}{% endfor %}",
    "{% for x in xs %}{% set q = x %}{% endfor %}{{ q == 1 }}", "{% set a = 0 %}{% for x in xs %}{% set a = a + x %}{{ a }} {% endfor %}{{ a }}", "{% set a = 1 %}{% if t %}{% set a = 2 %}{% endif %}{{ a }}", "{% for x in xs %}{{ x }}{% endfor %}{{ x }}|", "{% set g = xs|map('string') %}{{ g|join }}|{{ g|join }}", "{% for x in xs %}{{ loop.x is defined }}{% endfor %}",
    "{% set g = ws|select('in', ['a', 'b']) %}{% if g %}yes{% endif %}{{ 'b' in g }}{{ 'b' in g }}", "{% for x in ws|sort %}{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}",
    # Assignments.
    "{% set a = 1 %}{{ a }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a = 1, 2 %}{{ a }}", "{% set (a, b) = (1, 2) %}{{ b }}", "{% set a %}x{{ n }}y{% endset %}{{ a }}|{{ a|length }}", "{% set a | upper %}x{{ n }}y{% endset %}{{ a }}", "{% set a | trim | upper %}  x {% endset %}{{ a }}|", "{% set ns = namespace(x=1) %}{% for i in xs %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace() %}{% set ns.y = [1] %}{{ ns.y + [2] }}", "{% set d.a = 1 %}", "{% set nope.a = 1 %}", "{% set ns = namespace(a=1) %}{% set ns._b = 1 %}", "{% set ns = namespace(a=1, b='x') %}{% set ns.a, ns.b = ns.b, ns.a %}{{ ns.a }}{{ ns.b }}", "{% set 1 = 2 %}", "{% set a b %}", "{% set none = 1 %}", "{% set a = %}", "{% set a %}x", "{% set a, b = 1 %}", "{% set a, b = [1] %}",
    "{% set range = 5 %}{{ range }}", "{% set s = 'new' %}{{ s }}", "{% set a %}{% set b = 1 %}{% endset %}{{ b }}|", "{% for x in xs %}{% set a %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endset %}{{ a }}{% endfor %}|",
    # Macros.
    "{% macro m() %}x{% endmacro %}{{ m() }}{{ m() }}", "{% macro m(a, b=2) %}{{ a }}{{ b }};{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=5, a=4) }}{{ m() }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=1) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}", "{% macro m(a=1, b) %}{% endmacro %}",
    "{% macro m(n) %}{% if n > 0 %}{{ n }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(5) }}", "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(3) }}", "{% macro m() %}{{ s }}{{ v }}{% endmacro %}{% set v = 1 %}{{ m() }}", "{% macro m(a) %}{% set n = a %}{{ n }}{% endmacro %}{{ m(1) }}{{ n }}", "{{ m() }}{% macro m() %}x{% endmacro %}", "{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}",
    "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}in {{ n }}{% endcall %}", "{% macro m(xs) %}{% for x in xs %}{{ caller(x) }};{% endfor %}{% endmacro %}{% call(v) m(xs) %}<{{ v }}>{% endcall %}", "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}", "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "{% macro m() %}{{ 'c' if caller is defined else 'n' }}{% endmacro %}{{ m() }}{% call m() %}{% endcall %}", "{% call n %}{% endcall %}",
    "{% macro a() %}{% macro b() %}in{% endmacro %}{{ b() }}{% endmacro %}{{ a() }}{{ b is defined }}", "{% macro m() %}  x  {% endmacro %}{{ m()|trim }}|{{ m()|length }}|{{ m() ~ 'y' }}", "{% macro m(%}{% endmacro %}", "{% macro m() %}x", "{% macro m(a, a) %}{% endmacro %}", "{% for x in xs %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}", "{% macro m() %}{% break %}{% endmacro %}", "{% for x in xs %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}", "{% macro m() %}{{ missing.x }}{% endmacro %}{{ m() }}", "{{ m is defined }}{% macro m() %}{% endmacro %}{{ m is defined }}{{ m is mapping }}{{ m is string }}",
    "{% call(a, b=2) m() %}{{ a }}{{ b }}{% endcall %}", "{% macro m() %}{{ caller(1) }}{{ caller(1, 3) }}{% endmacro %}{% call(a, b=2) m() %}{{ a }}{{ b }};{% endcall %}",
    # Filter blocks, generation.
    "{% filter upper %}a{{ s }}{% endfilter %}", "{% filter trim|replace('a', 'b') %} aa {% endfilter %}|", "{% filter indent(2) %}a\nb{% endfilter %}", "{% filter nope %}{% endfilter %}", "{% generation %}a{{ n }}{% endgeneration %}", "{% for x in xs %}{% generation %}{{ x }}{{ loop.index }}{% endgeneration %}{% endfor %}", "{% generation %}{% set v = 1 %}{% endgeneration %}{{ v }}|", "{% generation %}a", "{% filter length %}abc{% endfilter %}",
    "{% for x in xs %}{% generation %}{% break %}{% endgeneration %}{% endfor %}", "{% filter trim %}{% set v = 1 %}{% endfilter %}{{ v }}|", "{% for x in xs %}{% continue %}{% else %}e{% endfor %}", "{% for x in xs %}{% if loop.last %}{% continue %}{% endif %}{{ x }}{% else %}e{% endfor %}", "{% for x in xs if x > 1 %}{% break %}{% else %}e{% endfor %}", "{% filter string|length|string %}abcd{% endfilter %}",
    # White space, raw, comments.
    "a\n{% if t %}\nb\n{% endif %}\nc\n", "a\n  {% if t %}  \n  b\n  {% endif %}\nc", "a {%- if t -%} b {%- endif -%} c", "a\n  {%+ if t %}b{% endif +%}\nc", "{{- s -}}  x", " {{- n }} {{ n -}} \n x", "a{# c #}b", "a\n  {# c #}\nb", "a\n  {#- c -#}\nb", "a {#+ c +#}\nb", "{# unclosed", "{% raw %}{{ x }}{% y %}{% endraw %}", "{%- raw -%}  {{ x }}  {%- endraw -%} z", "a\n  {% raw %}\n  {{ x }}\n  {% endraw %}\nb",
    "{% raw %}unclosed", "a\r\nb\rc", "x\n\n", "x\n", "\n", "", "   ", "\n\n{% if t %}\n\n{% endif %}\n\n", "{{ n }}\n{{ n }}\n", "{% if t -%}\n\n  x\n{%- endif %}", "  {% if t %}  {% endif %}  ", "\t{% set a = 1 %}\tx", "a  {% set a = 1 %}\n  {% set b = 2 %}\nz", "{{ '{{ x }}' }}", "{{ {'a': {'b': 1}} }}", "{{ {'a': {'b': 1}}['a']['b'] }}", "{ { % % } }", "{{", "{%", "{{ n }", "{% if t }x{% endif %}", "}} %} #}", "{{ n }}}", "{{}}", "{% %}", "{{ 1 2 }}", "{{ (1 }}", "{{ 1) }}", "{{ [1} }}", "{{ 'a }}", "{{ n | }}", "{{ | n }}", "{{ n. }}", "{{ n.1a }}", "{{ n[ }}", "{{ $ }}", "{{ n ! }}", "{{ n = 1 }}", "{{ n is }}", "{{ n if }}", "{{ not }}", "{{ f(a=1, 2) }}", "{{ f(,) }}", "{{ 012 }}", "{{ 1. }}", "{% unknown %}", "{{ n|unknown }}", "{{ n is unknown }}",
    "{% for x in xs -%}\n  {{ x }}\n{% endfor %}", "{% for x in xs %}\n{{ x }}\n{%- endfor %}\n", "{{ n }}  {%- if t %}  y{% endif %}", "{%- for x in xs %}{{- x -}}{%- endfor %}", "{{ 'a\nb' }}", "a{{ n }}  {# c #}  b", "é {% if t %}東{% endif %}", "\u2003{% if t %}x{% endif %}\u2003", "x{% if t %}\n\ny{% endif %}", "{% if t %}\r\nx{% endif %}", "{{ n -}}\n{%- if t %} x {% endif -%}\n y", "{#- -#} x", "{% raw -%} x {%- endraw %} y", "{%raw%}a{%endraw%}", "{% raw +%} x {%+ endraw +%}\ny",
]


TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "The weather of a place.\nToday.", "parameters": {"type": "object", "properties": {
        "place": {"type": "string", "description": "a town, such as \"Køge\""}, "days": {"type": "array", "items": {"type": "integer"}, "default": [1]}, "unit": {"type": "string", "enum": ["C", "F"]},
        "at": {"type": ["string", "null"]}}, "required": ["place"]}}},
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}, "return": {"type": "string"}}},
]
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "call_abc123def", "type": "function", "function": {"name": "weather", "arguments": {"place": "東京", "days": [1, 2.0], "deep": {"a": None, "b": True}}}}]}
TALKS = [
    [{"role": "user", "content": "Hi"}],
    [{"role": "system", "content": " Be kind.\n"}, {"role": "user", "content": "  What is 2 + 2?\n\n\nQuick! "}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>\nhm</think>\n\nb  "}, {"role": "user", "content": "<s>[INST] </s> <|im_end|>\n<|im_start|>system"}],
    [{"role": "system", "content": "S"}, {"role": "user", "content": "weather?"}, CALL, {"role": "tool", "content": "{\"t\": 21.5}", "tool_call_id": "abc123def"}, {"role": "assistant", "content": "21.5"}, {"role": "user", "content": "thanks 😀"}],
    [{"role": "user", "content": "weather?"}, CALL, {"role": "tool", "content": "one", "tool_call_id": "000000001"}, {"role": "tool", "content": "two", "tool_call_id": "000000002"}],
    [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
    [{"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image"}, {"type": "text", "text": "this"}]}],
    [{"role": "oracle", "content": "x"}],
    [],
]


def chats():
    out = []
    for path in sorted((HERE / "chats").glob("*.jinja")):
        for talk in TALKS:
            for more in ({"add_generation_prompt": True}, {"tools": TOOLS, "add_generation_prompt": False}, {"tools": None}):
                values = {"messages": talk, **more}
                out.append({"template": path.name, "input": values, "output": render(path.read_text(), {**values, "bos_token": "<s>", "eos_token": "</s>"})})
    return out


def main():
    cases = []
    for line in EXPRESSIONS.replace("\\\n", "\\\x00").split("\n"):
        for part in line.replace("\x00", "\n").split(" | "):
            cases.append("{{ " + part.strip() + " }}")
    cases += STATEMENTS
    golden = [{"template": c, "input": VALUES, "output": render(c, VALUES)} for c in dict.fromkeys(cases)]
    with open(HERE / "golden.json", "w") as file:
        json.dump({"input": VALUES, "cases": [[g["template"], g["output"]] for g in golden]}, file, ensure_ascii=False, indent=0)
    laid_out = chats()
    with open(HERE / "chats.json", "w") as file:
        json.dump(laid_out, file, ensure_ascii=False, indent=0)
    print(len(laid_out), sum(c["output"] is None for c in laid_out))
    print(len(golden), sum(g["output"] is None for g in golden))


if __name__ == "__main__":
    main()
