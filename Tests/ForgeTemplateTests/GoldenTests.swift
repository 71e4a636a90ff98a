import FoundationEssentials
import ForgeCore
import ForgeTemplate
import Testing

/// Templates rendered by Jinja2 as `transformers` sets it up: Tests/Fixtures/template/make-golden.py.
@Suite struct GoldenTests {
    /// 2026-03-07 14:05:09 UTC, a Saturday.
    static let now = Timestamp(seconds: 1_772_892_309)

    static func text(_ name: String, file: String = #filePath) throws -> String {
        let folder = file.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
        let bytes = try #require(FileManager.default.contents(atPath: "\(folder)/Fixtures/template/\(name)"))
        return String(decoding: bytes, as: UTF8.self)
    }

    static func fixture(_ name: String) throws -> JSON { try JSON.parse(try text(name)) }

    /// Nil where the template or its values are refused.
    static func render(_ source: String, _ input: JSON.Object) -> String? {
        do throws(Fault) {
            return try Template(parsing: source).render(input, now: now).map(\.text).joined()
        } catch {
            #expect(error.kind == .request && error.code.hasPrefix("template.") && !error.remedy.isEmpty)
            return nil
        }
    }

    @Test func `every construct renders as the reference renders it`() throws {
        let golden = try GoldenTests.fixture("golden.json")
        let input = try #require(golden["input"]?.object), cases = golden["cases"]?.array ?? []
        #expect(cases.count > 900)
        for item in cases {
            let source = try #require(item.array?[0].string), output = item.array?[1].string
            #expect(GoldenTests.render(source, input).map { Array($0.utf8) } == output.map { Array($0.utf8) }, "\(source)")
        }
    }

    @Test func `conversations are laid out as the reference lays them out, and control tokens come from the template alone`() throws {
        let talks = try #require(try GoldenTests.fixture("chats.json").array)
        #expect(talks.count > 180)
        var templates: [String: Template] = [:]
        for talk in talks {
            let name = try #require(talk["template"]?.string), input = try #require(talk["input"]?.object)
            let template = try templates[name] ?? Template(parsing: GoldenTests.text("chats/\(name)"))
            templates[name] = template
            do throws(Fault) {
                let spans = try template.render(input, constants: ["bos_token": "<s>", "eos_token": "</s>"], now: GoldenTests.now)
                #expect(spans.map(\.text).joined() == talk["output"]?.string, "\(name) \(input.keys)")
                #expect(zip(spans, spans.dropFirst()).allSatisfy { $0.isInput != $1.isInput } && spans.allSatisfy { !$0.text.isEmpty })
                let words = Set((input["messages"]?.array ?? []).compactMap { $0["content"]?.string }.filter { $0.contains("[INST]") })
                for word in words where talk["output"]?.string?.contains(word) ?? false {
                    #expect(spans.contains { $0.isInput && $0.text.contains(word) } && !spans.contains { !$0.isInput && $0.text.contains(word) })
                }
            } catch {
                #expect(talk["output"] == .null, "\(name): \(error)")
            }
        }
    }

    /// For Tests/Peers/test_jinja.py: what we make of the programs it wrote.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["FORGE_PEERS_JINJA"] != nil, "set by Tests/Peers/test_jinja.py"))
    func `renderings are written out for the peers test`() throws {
        let folder = try #require(ProcessInfo.processInfo.environment["FORGE_PEERS_JINJA"])
        let bytes = try #require(FileManager.default.contents(atPath: "\(folder)/programs.json"))
        let programs = try #require(try JSON.parse(Array(bytes), limits: .init(bytes: 256 << 20)).array)
        let outputs: [JSON] = programs.map { item in
            do throws(Fault) {
                let spans = try Template(parsing: item["template"]?.string ?? "").render(item["input"]?.object ?? [:], now: GoldenTests.now)
                return .object(["output": .string(spans.map(\.text).joined())])
            } catch {
                return .object(["error": .string("\(error.code) \(error.why)")])
            }
        }
        try Data(JSON.array(outputs).text.utf8).write(to: URL(filePath: "\(folder)/outputs.json"))
    }
}
