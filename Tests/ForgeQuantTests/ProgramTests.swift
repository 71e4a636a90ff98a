import ForgeCore
import ForgeOS
import Glibc
import Testing

/// The program itself, beside these tests: drawn tasks, answers to them, verdicts and pairs, as the examples call it.
struct ProgramTests {
    private func run(_ words: [String], into path: String) async throws -> ChildProcess.Exit {
        let program = Path.join(Path.parent(try Path.executable()), "forge-quant")
        let out = try File(path, .replace)
        return await (try ChildProcess(.init(program, words, environment: [:], descriptors: [1: out.descriptor, 2: out.descriptor]))).wait()
    }

    private func lines(_ path: String) throws -> [JSON] {
        try File(path, .read).readAll(limit: .mib(16)).split(separator: UInt8(ascii: "\n")).map { try JSON.parse($0) }
    }

    @Test func `tasks are drawn, answered, judged and paired`() async throws {
        let folder = "/tmp/forge-quant-\(getpid())"
        try Durable.makeDirectory(folder)
        defer { try? Path.removeTree(folder) }
        let tasks = Path.join(folder, "tasks"), taught = Path.join(folder, "sft"), answers = Path.join(folder, "answers"), out = Path.join(folder, "out")
        let draw = ["generate", "--seed", "8", "--split", "heldout", "--count", "30", "--level", "2-3", "--form"]
        #expect(try await run(draw + ["tasks"], into: tasks) == .code(0))
        #expect(try await run(draw + ["sft"], into: taught) == .code(0))

        // Every third answer is another field, every third none at all.
        let ids = try lines(tasks).map { $0["id"]?.string ?? "" }
        let references = try lines(taught).map { $0["messages"]?.array?.last?["content"]?.string ?? "" }
        var said: [JSON] = []
        for (number, (id, reference)) in zip(ids, references).enumerated() where number % 3 != 2 {
            said.append(["id": .string(id), "answer": .string(number % 3 == 0 ? reference : "open")])
        }
        try Durable.replace(answers, with: Array(said.map(\.text).joined(separator: "\n").utf8))
        #expect(try await run(["check", "--tasks", tasks, "--answers", answers], into: out) == .code(0))
        let judged = try lines(out)
        #expect(judged.dropLast().map { $0["verdict"]?.string } == (0..<30).map { ["right", "wrong", "malformed"][$0 % 3] })
        #expect(judged.last?["all"]?["right"]?.int == 10 && judged.last?["all"]?["count"]?.int == 30)
        #expect(judged.last?["levels"]?.object?.keys == ["2", "3"])

        // A second try at the first task: its failure stands beside the first try's success.
        try Durable.replace(answers, with: Array((said + [["id": .string(ids[0]), "answer": "open"]]).map(\.text).joined(separator: "\n").utf8))
        #expect(try await run(["check", "--tasks", tasks, "--answers", answers], into: out) == .code(1))
        #expect(try await run(["pairs", "--tasks", tasks, "--answers", answers], into: out) == .code(0))
        let pairs = try lines(out)
        #expect(pairs.count == 1 && pairs[0]["chosen"]?.array?[0]["content"]?.string == references[0] && pairs[0]["rejected"]?.array?[0]["content"]?.string == "open")
    }

    @Test(arguments: [
        [], ["generate"], ["generate", "--seed", "1"], ["generate", "--seed", "-1", "--count", "1", "--level", "1", "--form", "sft"],
        ["generate", "--seed", "1", "--seed", "1", "--count", "1", "--level", "1", "--form", "sft"], ["generate", "--seed", "1", "--count", "1", "--level", "3-2", "--form", "sft"],
        ["generate", "--seed", "1", "--count", "1", "--level", "", "--form", "sft"], ["generate", "--seed", "1", "--count", "1", "--level", "7", "--form", "sft"],
        ["generate", "--seed", "1", "--count", "1", "--level", "1", "--form", "poem"], ["check", "--tasks"], ["check", "--answers", "/dev/null"], ["judge"],
    ] as [[String]])
    func `words that make no command are refused`(words: [String]) async throws {
        #expect(try await run(words, into: "/dev/null") == .code(1))
    }
}
