import ForgeCore
import ForgeTemplate
import Testing

/// Broken templates and strange conversations: a rendering or a fault, never a trap.
@Suite struct FuzzTests {
    private static let pieces = [
        "{%", "%}", "{{", "}}", "{#", "#}", "-%}", "{%-", "(", ")", "[", "]", "{", "}", "'", "\"", "|", ".", ",", ":", "~", "**", "//", "%", "-", "if ", "else ", "for ", " in ", "endfor", "set ", "x", "loop", "loop.nextitem", "ns.x", "1", "9223372036854775807", "-1", "0", "1e308",
        "::-1", "|tojson", "|list", "|sort", "|map('string')", "|join", "()", "(1)", "\\", "\n", "é", "\u{0}", "😀", "is ", "not ", "{% endif %}", "{% else %}", "{% endset %}", "{% break %}", "{% raw %}", "{% macro x(a) %}", "{% endmacro %}", "caller()", "none", "range(9)", "namespace(", "|int", "* 3",
    ]

    private static func mutated(_ text: String, _ dice: inout Dice) -> String {
        var scalars = Array(text.unicodeScalars)
        for _ in 0..<Int.random(in: 1...4, using: &dice) {
            let at = Int.random(in: 0...scalars.count, using: &dice), end = min(scalars.count, at + Int.random(in: 0...12, using: &dice))
            switch Int.random(in: 0..<4, using: &dice) {
            case 0: scalars.removeSubrange(at..<end)
            case 1: scalars.insert(contentsOf: Array(scalars[at..<end]), at: at)
            case 2: scalars.replaceSubrange(at..<end, with: Array((pieces.randomElement(using: &dice) ?? "").unicodeScalars))
            default: scalars.insert(contentsOf: Array((pieces.randomElement(using: &dice) ?? "").unicodeScalars), at: at)
            }
        }
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    private static func junk(_ dice: inout Dice, _ depth: Int) -> JSON {
        switch Int.random(in: depth > 3 ? 3..<8 : 0..<8, using: &dice) {
        case 0, 1:
            var object = JSON.Object()
            for key in ["role", "content", "tool_calls", "function", "name", "arguments", "type", "text", "é"].shuffled(using: &dice).prefix(4) { object[key] = junk(&dice, depth + 1) }
            return .object(object)
        case 2: return .array((0..<Int.random(in: 0...4, using: &dice)).map { _ in junk(&dice, depth + 1) })
        case 3: return .null
        case 4: return .bool(Bool.random(using: &dice))
        case 5: return [.int(.max), .int(.min), .int(0), .double(-0.0), .double(1e308), .double(.leastNonzeroMagnitude)].randomElement(using: &dice) ?? .null
        default: return .string(["", "user", "assistant", "system", "tool", "a</think>b", "{\"a\": [1]}", "e\u{301}", "\r\n", "%Y {} {x}"].randomElement(using: &dice) ?? "")
        }
    }

    private func run(_ source: String, _ input: JSON.Object) -> Bool {
        do throws(Fault) {
            let spans = try Template(parsing: source).render(input, constants: ["bos_token": "<s>", "eos_token": "</s>"], now: GoldenTests.now)
            #expect(spans.allSatisfy { !$0.text.isEmpty })
            return true
        } catch {
            #expect(error.kind == .request && error.code.hasPrefix("template."), "\(error)")
            return false
        }
    }

    @Test func `broken templates are refused or rendered`() throws {
        let golden = try GoldenTests.fixture("golden.json")
        let cases = (golden["cases"]?.array ?? []).compactMap { $0.array?[0].string }, input = try #require(golden["input"]?.object)
        let chats = try ["chatml", "llama2", "llama3", "mistral-tools", "zephyr", "reasoner", "hermes"].map { try GoldenTests.text("chats/\($0).jinja") }
        let talks = try #require(try GoldenTests.fixture("chats.json").array)
        var dice = Dice(41), rendered = 0
        for i in 0..<4000 {
            if i % 4 == 0 {
                rendered += run(FuzzTests.mutated(chats.randomElement(using: &dice) ?? "", &dice), talks.randomElement(using: &dice)?["input"]?.object ?? [:]) ? 1 : 0
            } else {
                rendered += run(FuzzTests.mutated((cases.randomElement(using: &dice) ?? "") + (cases.randomElement(using: &dice) ?? ""), &dice), input) ? 1 : 0
            }
        }
        #expect(rendered > 300)
    }

    @Test func `strange conversations are refused or rendered`() throws {
        var dice = Dice(43), rendered = 0
        for name in ["chatml", "llama2", "llama3", "mistral-tools", "zephyr", "reasoner", "hermes"] {
            let source = try GoldenTests.text("chats/\(name).jinja")
            for _ in 0..<200 {
                let messages: JSON = .array((0..<Int.random(in: 0...4, using: &dice)).map { _ in FuzzTests.junk(&dice, 0) })
                rendered += run(source, ["messages": messages, "tools": FuzzTests.junk(&dice, 0), "add_generation_prompt": .bool(Bool.random(using: &dice))]) ? 1 : 0
            }
        }
        #expect(rendered > 20)
    }
}
