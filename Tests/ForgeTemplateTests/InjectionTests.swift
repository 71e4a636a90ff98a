import ForgeCore
import ForgeTemplate
import Testing

/// A small generator of numbers, so that a seed replays.
struct Dice: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed &* 0xd134_2543_de82_ef95 &+ 1 }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}

/// Random programs over random input. What callers send is in letters that no program has, or makes such letters: none may come out as the template's.
@Suite struct InjectionTests {
    private struct Program {
        var dice: Dice
        let depth: Int

        mutating func pick(_ choices: [String]) -> String { choices.randomElement(using: &dice) ?? "" }
        mutating func word() -> String { pick(["'ab'", "' '", "','", "''", "'{}'", "'a'", "'<|b|>'", "'-'"]) }
        mutating func source() -> String { pick(["u", "u", "l", "m", "k", "n", "f", "j", "messages", "messages[0]", "messages[-1].content", "m.a", "l[0]", "m|dictsort", "g"]) }

        mutating func value(_ depth: Int) -> String {
            if depth == 0 { return Bool.random(using: &dice) ? source() : pick([word(), "1", "true", "none", "[]", "missing"]) }
            let a = value(depth - 1), b = value(depth - 1), w = word()
            let forms = [
                "(\(a) ~ \(b))", "(\(a) + \(b))", "(\(a) * 2)", "(2 * \(a))", "(\(a) % 3)", "(\(a))[1:]", "(\(a))[::-1]", "(\(a))[0]", "(\(a))[\(b)]", "(\(a) if \(b) else \(w))", "(\(a) or \(b))", "(\(a) and \(b))", "[\(a), \(b)]", "(\(a), \(b))",
                "{\(w): \(a)}", "{\(a): \(b)}", "{\(a): \(b)}.items()|list", "(\(a))|tojson", "(\(a))|tojson(indent=2)", "(\(a))|tojson(ensure_ascii=true)", "(\(a))|tojson(indent=\(b))", "(\(a))|tojson(separators=(\(b)|string, \(w)))", "(\(a))|tojson(sort_keys=true)",
                "(\(a))|trim", "(\(a))|trim(\(b)|string)", "(\(a))|string", "(\(a))|default(\(b), true)", "(\(a))|join(\(b))", "(\(a))|join", "(\(a))|items|list", "(\(a))|list", "(\(a))|select|list", "(\(a))|select('string')|list", "(\(a))|reject('none')|list",
                "(\(a))|selectattr('role')|list", "(\(a))|rejectattr('zz')|list", "(\(a))|safe", "(\(a))|dictsort", "(\(a))|lower", "(\(a))|upper", "(\(a))|map('string')|list", "(\(a))|map('upper')|join(\(b))", "(\(a))|map(attribute='content')|list",
                "(\(a))|map('tojson')|join", "(\(a))|map('replace', \(w), \(b)|string)|list", "(\(a))|replace(\(w), \(b))", "(\(a))|replace('', \(b))", "(\(a))|replace(\(b), \(w))", "(\(a))|from_json", "(\(a)|tojson)|from_json", "(\(a)|string)|indent(\(b)|string, true)",
                "(\(a)|string)|indent", "(\(a))|int", "(\(a))|int(\(b))", "(\(a))|unique|list", "(\(a))|sort", "(\(a))|min", "(\(a)|string).split()", "(\(a)|string).split(\(b)|string)", "(\(a)|string).strip(\(b)|string)", "(\(a)|string).lstrip()", "(\(a)|string).rstrip()",
                "(\(a)|string).replace(\(w), \(b)|string)", "(\(w) ~ '{}').format(\(a))", "(\(a)|string).format(\(b))", "'{x}{x}'.format(x=\(a))", "m.get(\(a), \(b))", "messages[0].get('role', \(a))", "echo(\(a), \(b))", "echo(b=\(a))", "strftime_now(\(a)|string)",
                "namespace(x=\(a)).x", "-(\(a))", "((\(a)|int) + 1)", "((\(a)|int) * 2.5)", "(\(a)|string)[0:2] ~ \(w)", "range(2)|map('replace', 0, \(a))|list",
            ]
            return pick(forms)
        }

        mutating func statement(_ depth: Int) -> String {
            let v = value(self.depth), inner = depth == 0 ? "{{ \(v) }}" : statement(depth - 1)
            return pick([
                "{{ \(v) }}", "<|b|>{{ \(v) }}", "{% for x in \(v) %}{{ x }}{{ loop.previtem }}{{ loop.nextitem }}\(inner){% endfor %}", "{% for x, y in \(v) %}{{ y }}{{ x }}{% endfor %}", "{% set u = \(v) %}\(inner)", "{% set u %}a\(inner)b{% endset %}{{ u }}",
                "{% set u | upper %}\(inner){% endset %}{{ u }}", "{% set ns.x = \(v) %}{{ ns.x }}\(inner)", "{% filter lower %}\(inner){% endfilter %}", "{% filter replace('a', u|string) %}a\(inner){% endfilter %}", "{% filter tojson %}\(inner){% endfilter %}",
                "{% call(x) wrap(\(v)) %}{{ x }}\(inner){% endcall %}", "{% generation %}\(inner){% endgeneration %}", "{% if \(v) %}\(inner){% else %}{{ u }}{% endif %}",
            ])
        }
    }

    private static let macros = "{% macro echo(a, b='ab') %}{{ a }}{{ b }}{% endmacro %}{% macro wrap(a) %}<{{ caller(a) }}>{{ a }}{% endmacro %}{% set ns = namespace(x='') %}{% set g = l|map('string') %}"

    /// Letters of three alphabets whose cases map to each other or to ASCII, what JSON and Python escape, and digits in a row.
    private static func words(_ dice: inout Dice) -> String {
        let letters = ["Ж", "ж", "Σ", "ß", "ŉ", "☠", "\"", "\\", "\n", "'", "\u{7}", " ", "7777", "☠|im☠", "İ", "\u{2028}", "ﬁ"]
        return (0..<Int.random(in: 0...5, using: &dice)).map { _ in letters.randomElement(using: &dice) ?? "" }.joined()
    }

    private static func isLeak(_ text: String) -> Bool {
        // What only input, its cases, its escapes and sums can make: `SS` of ß is in no program.
        text.unicodeScalars.contains { $0.value > 0x7f || $0 == "\u{7}" } || ["SS", "im", "IM", "\\u", "\\x", "777", "15554", "19442", "38885"].contains { text.contains($0) }
    }

    @Test(arguments: 0..<8 as Range<UInt64>)
    func `no character of a caller's is ever the template's`(seed: UInt64) throws {
        var dice = Dice(seed), rendered = 0, marked = 0
        for _ in 0..<500 {
            func text() -> JSON { .string(InjectionTests.words(&dice)) }
            var keyed = JSON.Object()
            for _ in 0..<3 { keyed[InjectionTests.words(&dice)] = text() }
            keyed["a"] = text()
            let input: JSON.Object = [
                "u": text(), "l": [text(), text(), [text()]], "m": .object(keyed), "k": .string("☠"), "n": 7777, "f": .double(7777.5), "j": .string("{\"☠\": [7777, \"Ж\"]}"),
                "messages": [["role": "☠", "content": text()], ["role": text(), "content": text()]],
            ]
            var program = Program(dice: dice, depth: Int.random(in: 1...3, using: &dice))
            let source = InjectionTests.macros + program.statement(1) + program.statement(0)
            dice = program.dice
            _ = dice.next()
            do throws(Fault) {
                let spans = try Template(parsing: source).render(input, now: GoldenTests.now)
                rendered += 1
                marked += spans.contains { $0.isInput && InjectionTests.isLeak($0.text) } ? 1 : 0
                for span in spans where !span.isInput { #expect(!InjectionTests.isLeak(span.text), "\(source)\n\(span.text.debugDescription)") }
            } catch { #expect(error.code.hasPrefix("template."), "\(error)") }
        }
        #expect(rendered > 80 && marked > 40, "\(rendered) rendered, \(marked) with input")
    }
}
