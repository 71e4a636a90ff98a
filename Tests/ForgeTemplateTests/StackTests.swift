import ForgeCore
import ForgeTemplate
import Glibc
import Testing

/// The deepest that the bounds let through, on a stack of one MiB: a thread of a pool has more.
@Suite struct StackTests {
    private final class Work: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    private func onSmallStack(_ body: @escaping @Sendable () -> Void) {
        var attributes = pthread_attr_t(), thread = pthread_t()
        unsafe pthread_attr_init(&attributes)
        unsafe pthread_attr_setstacksize(&attributes, 1 << 20)
        let work = unsafe Unmanaged.passRetained(Work(body)).toOpaque()
        let started = unsafe pthread_create(&thread, &attributes, { argument in
            if let argument = unsafe argument { unsafe Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body() }
            return nil
        }, work)
        #expect(started == 0)
        pthread_join(thread, nil)
        unsafe pthread_attr_destroy(&attributes)
    }

    private static func nested(_ open: String, _ inner: String, _ close: String, _ count: Int) -> String { String(repeating: open, count: count) + inner + String(repeating: close, count: count) }

    static let deep = [
        "{{ " + nested("(", "1", ")", 39) + " }}", "{{ " + nested("[", "1", "]", 38) + "|tojson }}", "{{ " + nested("not ", "1", "", 38) + " }}", "{{ " + nested("-", "1", "", 38) + " }}", "{{ " + nested("x(", "1", ")", 38) + " }}", "{{ " + nested("{1:", "1", "}", 38) + " }}",
        "{{ " + nested("x[", "1", "]", 38) + " }}", "{{ " + nested("1 if 0 else ", "1", "", 38) + " }}", "{{ 1" + nested("|default(x|default(", "1", "))", 18) + " }}", "{{ ''" + nested("", "", "|trim", 95) + " }}", "{{ " + nested("x is eq x[", "1", "]", 35) + " }}",
        nested("{% if true %}", "x", "{% endif %}", 38), nested("{% for a in [1] %}", "x", "{% endfor %}", 38), nested("{% filter trim %}", "x", "{% endfilter %}", 38), nested("{% set a %}", "x", "{% endset %}", 38), nested("{% generation %}", "x", "{% endgeneration %}", 38),
        "{% macro m(a) %}" + nested("{% if true %}", "{{ " + nested("[", "m(a)", "]", 20) + " }}", "{% endif %}", 15) + "{% endmacro %}{{ m(1) }}", "{% macro m(a) %}{% for x in [1] %}{{ [''|default(m(a) ~ '', true)]|map('string')|list }}{% endfor %}{% endmacro %}{{ m(1) }}",
        "{% macro m() %}{% filter trim %}{% set a %}{% call m() %}{% endcall %}{{ caller }}{% endset %}{% endfilter %}{% endmacro %}{% call m() %}{% endcall %}",
        "{% set ns = namespace(x=[], y=[]) %}{% for i in range(63) %}{% set ns.x = [ns.x] %}{% set ns.y = [ns.y] %}{% endfor %}{{ ns.x == ns.y }}{{ ns.x < ns.y }}{{ ns.x }}{{ ns.x|tojson(indent=1) }}{{ [ns.x, ns.y] is defined }}",
        "{% set ns = namespace(x=(1,)) %}{% for i in range(62) %}{% set ns.x = (ns.x,) %}{% endfor %}{{ {ns.x: 1} }}{{ ns.x in {ns.x: 1} }}", "{{ ('[' * 60 ~ ']' * 60)|from_json }}",
    ]

    @Test(arguments: 0..<deep.count)
    func `what the bounds let through fits a small stack`(number: Int) {
        onSmallStack {
            do throws(Fault) {
                _ = try Template(parsing: StackTests.deep[number]).render(["x": [1]], now: GoldenTests.now)
            } catch { #expect(error.code.hasPrefix("template.") && error.code != "template.syntax", "\(StackTests.deep[number].prefix(80)): \(error)") }
        }
    }

    @Test(arguments: 0..<TemplateTests.greedy.count)
    func `what the bounds refuse is refused on a small stack`(number: Int) {
        onSmallStack {
            do throws(Fault) {
                _ = try Template(parsing: TemplateTests.greedy[number]).render([:], now: GoldenTests.now, work: 1 << 20)
                Issue.record("\(TemplateTests.greedy[number].prefix(80)) was rendered")
            } catch { #expect(error.code.hasPrefix("template.")) }
        }
    }
}
