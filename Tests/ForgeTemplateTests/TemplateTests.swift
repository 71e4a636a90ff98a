import ForgeCore
import Testing

@testable import ForgeTemplate

/// What the reference does not do: faults with a place, bounds, a clock that is given.
@Suite struct TemplateTests {
    private func refusal(_ source: String, _ input: JSON.Object = [:], work: Int = Template.Limits.work) -> Fault? {
        do throws(Fault) {
            _ = try Template(parsing: source).render(input, now: GoldenTests.now, work: work)
            return nil
        } catch { return error }
    }

    @Test(arguments: [
        ("{{ 1 }}\n  {% if x %}", "template.syntax", "line 2, column 13"), ("a\n{{ x | nope }}", "template.unsupported", "line 2, column 8: the filter `nope`"),
        ("{% include 'x' %}", "template.unsupported", "the tag `include`"), ("{% for x in y recursive %}{% endfor %}", "template.unsupported", "`recursive`"), ("{{ f(*x) }}", "template.unsupported", "`*`"),
        ("{% macro m() %}{{ varargs }}{% endmacro %}", "template.unsupported", "`varargs`"), ("{{ 'x'.title() }}", "template.unsupported", "the attribute `title` of text"),
        ("{{ ''.__class__ }}", "template.unsupported", "`__class__`"), ("{{ {}.keys() }}", "template.unsupported", "`keys`"), ("{{ [].append(1) }}", "template.undefined", "`append` would change a list"),
        ("{{ '%s' % 1 }}", "template.unsupported", "`%` on text"), ("{{ '{:>3}'.format(1) }}", "template.unsupported", "widths"), ("{{ strftime_now('%c') }}", "template.unsupported", "`strftime_now`"),
        ("{{ 0x10 }}", "template.syntax", "decimal"), ("{{ é }}", "template.syntax", "`é`"), ("\n\n{{ a.b.c }}", "template.undefined", "line 3, column 5: `a` is not defined"), ("{{ 1 + 'a' }}", "template.value", "a number and text"),
        ("{{ range(200000) }}", "template.bound", "`range`"), ("{{ 2 ** 64 }}", "template.bound", "64 bits"), ("{{ 9223372036854775807 + 1 }}", "template.bound", "64 bits"), ("{{ (0 - 9223372036854775807 - 1) // -1 }}", "template.bound", "64 bits"),
        ("{{ namespace() }}", "template.value", "a namespace"), ("{{ range(2) }}", "template.value", "a list"), ("{{ nope() }}", "template.undefined", "`nope`"),
    ])
    func `a fault has a code, a place, a reason and a remedy`(source: String, code: String, why: String) throws {
        let fault = try #require(refusal(source), "\(source)")
        #expect(fault.kind == .request && fault.code == code && fault.why.contains(why) && fault.why.hasPrefix("line ") && !fault.remedy.isEmpty, "\(source): \(fault.code) \(fault.why)")
    }

    @Test func `a template's own refusal is passed on without the caller's words`() throws {
        let fault = try #require(refusal("{{ raise_exception('no ' ~ role ~ ' here') }}", ["role": "my secret"]))
        #expect(fault.code == "template.refused" && fault.why == "line 1, column 19: no … here")
    }

    @Test func `no fault tells a caller's text`() throws {
        let word = "xyzzy"
        for source in ["{{ {}[s].a }}", "{{ namespace(a=1)[s].b }}", "{{ [1]|map(s)|list }}", "{{ [1]|select(s)|list }}", "{{ s.a.b }}", "{{ s|from_json }}", "{{ 1 < s }}", "{{ s() }}", "{{ strftime_now(s ~ '%c') }}", "{{ s|int + s }}"] {
            let fault = try #require(refusal(source, ["s": .string(word)]), "\(source)")
            #expect(![fault.what, fault.why, fault.remedy, fault.detail].contains { $0.contains(word) }, "\(source): \(fault.why)")
        }
    }

    /// Each would run, grow or nest without end.
    static let greedy = [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{% macro m(n) %}{% for i in range(9) %}{{ m(n - 1) if n else '' }}{% endfor %}{% endmacro %}{{ m(30) }}",
        "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}", "{% set ns = namespace(x='ab') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}", "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}", "{% set ns = namespace(x=(1,)) %}{% for i in range(60) %}{% set ns.x = (ns.x, ns.x) %}{% endfor %}{{ {ns.x: 1} }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = {'a': ns.x, 'b': ns.x} %}{% endfor %}{{ ns.x|tojson }}", "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ [ns.x, ns.x]|sort == 1 }}",
        "{{ 'a' * 9999999999 }}", "{{ [1] * 9999999999 }}", "{{ 'a' * 9223372036854775807 * 2 }}", "{{ ('a' * 3000000)|replace('', 'abcdef') }}", "{{ ('a' * 3000000)|replace('a', 'a' * 3000000) }}", "{{ (' ' * 90000)|list|join('x' * 1000) }}",
        "{{ 'a'|indent(9999999999) }}", "{{ ('\\n' * 1000000)|indent(1000, blank=true) }}", "{% for i in range(100000) %}{{ 'x' * 1000 }}{% endfor %}", "{% for i in range(100000) %}{% set x = namespace() %}{% for j in range(100) %}{% set x = namespace() %}{% endfor %}{% endfor %}",
        "{% for i in range(50000) %}{{ ('a' * 100000) in ('a' * 99999 ~ 'b') }}{% endfor %}", "{% for i in range(9999) %}{{ ('b' * 1000000)|upper|length }}{% endfor %}", "{{ ('[' * 1000000)|from_json }}", "{{ [[]]|tojson(indent='x' * 9000000) }}", "{{ '{}'.format('a' * 8000000, 1) ~ 'a' * 8000000 }}",
        "{% set ns = namespace() %}{% for i in range(100000) %}{% for j in range(100000) %}{% for l in [ns.l] %}{% set ns.l = loop %}{% endfor %}{% endfor %}{% endfor %}", "{% for c in 'a' * 1000000 %}{% endfor %}", "{{ ('a ' * 1000000).split() }}", "{{ ('Σ' * 3000000)|lower|lower|lower }}",
        "{% macro m() %}{% call m() %}{% endcall %}{{ caller }}{% endmacro %}{% call m() %}{% endcall %}", "{{ " + String(repeating: "(", count: 500) + "1", "{{ " + String(repeating: "[", count: 100_000), "{{ " + String(repeating: "not ", count: 100_000), "{{ " + String(repeating: "-", count: 100_000),
        "{{ a" + String(repeating: ".a", count: 100_000) + " }}", "{{ a" + String(repeating: "|trim", count: 100_000) + " }}", "{{ a" + String(repeating: "()", count: 100_000) + " }}", String(repeating: "{% if a %}", count: 100_000), String(repeating: "{% for a in b %}", count: 60),
        "{{ " + String(repeating: "1 if ", count: 100_000), "{{ " + String(repeating: "a is defined is ", count: 100_000), "{{ " + String(repeating: "{1:", count: 100_000), "{% set " + String(repeating: "(", count: 100_000), String(repeating: "x", count: (1 << 20) + 1),
        String(repeating: "{% macro m() %}", count: 60), "{{ a" + String(repeating: " ** -a", count: 60) + String(repeating: "(", count: 60),
    ]

    @Test(arguments: 0..<greedy.count)
    func `what would never end, or grow without end, stops with a fault`(number: Int) throws {
        let fault = try #require(refusal(TemplateTests.greedy[number], work: 4 << 20), "\(TemplateTests.greedy[number].prefix(100))")
        #expect(fault.code.hasPrefix("template."), "\(fault.code) \(fault.why)")
    }

    @Test func `long chains on one level are no nesting`() throws {
        for chain in ["{{ 1" + String(repeating: " + 1", count: 5000) + " }}", "{{ 'a'" + String(repeating: " ~ 'a'", count: 5000) + " }}", "{{ true" + String(repeating: " and true", count: 5000) + " }}", "{% if false %}" + String(repeating: "{% elif false %}", count: 5000) + "{% endif %}"] {
            #expect(refusal(chain) == nil)
        }
    }

    @Test func `an input beyond the bounds is refused`() throws {
        var deep = JSON.array([])
        for _ in 0..<100 { deep = .array([deep]) }
        #expect(refusal("x", ["a": deep])?.code == "template.input")
        #expect(refusal("x", ["a": .array(Array(repeating: .null, count: 100_001))])?.code == "template.input")
        #expect(refusal("x", ["a": .string(String(repeating: "a", count: 9 << 20))])?.code == "template.input")
    }

    @Test func `constants win over input, and are the template's`() throws {
        let spans = try Template(parsing: "{{ bos_token }}{{ a }}{{ bos_token ~ a }}").render(["bos_token": "evil", "a": "<s>"], constants: ["bos_token": "<s>"], now: GoldenTests.now)
        #expect(spans == [.init("<s>", isInput: false), .init("<s>", isInput: true), .init("<s>", isInput: false), .init("<s>", isInput: true)])
    }

    @Test func `the time is the one that is given`() throws {
        let template = try Template(parsing: "{{ strftime_now('%Y-%m-%d %H:%M:%S %A %j') }}")
        for (seconds, text) in [(0, "1970-01-01 00:00:00 Thursday 001"), (951_782_400, "2000-02-29 00:00:00 Tuesday 060"), (1_772_892_309, "2026-03-07 14:05:09 Saturday 066"), (-1, "1969-12-31 23:59:59 Wednesday 365")] {
            #expect(try template.render([:], now: Timestamp(seconds: Int64(seconds))) == [.init(text, isInput: false)])
        }
    }
}
