import ForgeCore
import ForgeCrypto
import ForgeData
import ForgeModel
import ForgeOS
import ForgeQuant
import ForgeTensor
import ForgeTokenizer
@testable import ForgeTraining
import Testing

/// The fund's example (docs/examples/fund) at a smaller size: taught by examples, then by what its own answers are worth.
struct FundTests {
    private static let checkout = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

    private func shipped(_ name: String) throws -> Recipe { try Recipe(parsing: try File("\(FundTests.checkout)/recipes/\(name).yaml", .read).readAll(limit: .mib(1))) }

    private func tasks(_ split: QuantSplit, seed: UInt64, count: Int) throws -> [DrawnTask] {
        var draw = try TaskDraw(seed: seed, split: split, levels: [2, 3])
        return try (0..<count).map { _ in try draw.next() }
    }

    private func file(_ tasks: [DrawnTask], _ form: TaskForm) throws -> [UInt8] {
        try DocumentReader().read(path: "tasks.jsonl", bytes: Array(tasks.map { $0.line(form) }.joined(separator: "\n").utf8)).text
    }

    /// The share of tasks whose likeliest answer is right, as `forge eval` finds it.
    private func passRate(_ model: StoredModel, _ tasks: [DrawnTask]) throws -> Double {
        let device = try Device(threads: 2), parameters = try Parameters(ParameterTable(model.config), on: device)
        try parameters.load(model)
        var heldOut = HeldOut(for: model)
        try heldOut.take(try file(tasks, .prompts), .samples)
        let score = try #require(try heldOut.scoreTasks(parameters, on: device))
        // The quant judge gives all or nothing here.
        #expect(score.count == tasks.count && heldOut.count == 0 && score.reward == Double(score.right) / Double(score.count))
        return score.reward
    }

    @Test func `examples teach the language, and rewards teach more of it`() async throws {
        var recipe = try shipped("quant-sft")
        let taught = try file(try tasks(.train, seed: 1, count: 1000), .sft), heldOut = try tasks(.heldout, seed: 11, count: 200)
        var trainer = try BPETrainer(vocabularyCount: 512)
        for words in try Preparation.words(taught, .samples) { trainer.add(words) }
        let tokenizer = try trainer.train(), file = tokenizer.json
        var preparation = try Preparation(recipe, .tokenizer(tokenizer), tokenizerFile: .sha256(file))
        try preparation.take(taught, .samples)
        let samples = preparation.finish()
        let sft = try await scratch { folder in
            let run = try Bench.run(recipe, samples, .tokenizer(tokenizer), in: folder)
            while !run.isFinished { _ = try run.step() }
            return try Bench.stored(try run.finish(), file)
        }
        let before = try passRate(sft, heldOut)

        recipe = try shipped("quant-grpo")
        recipe.steps = 24
        preparation = try Preparation(recipe, .base(sft), tokenizerFile: .sha256(file))
        try preparation.take(try self.file(try tasks(.train, seed: 2, count: 3000), .prompts), .samples)
        let prompts = preparation.finish()
        var rewards: [Double] = []
        let grpo = try await scratch { folder in
            let run = try Bench.run(recipe, prompts, .base(sft), in: folder)
            while !run.isFinished { rewards.append(try #require(try run.step().measures["reward"])) }
            return try Bench.stored(try run.finish(), file)
        }
        let after = try passRate(grpo, heldOut)
        // A tenth of the shipped recipe's steps: what it draws improves at once; what it likes best must not get worse meanwhile.
        let early = rewards[..<6].reduce(0, +) / 6, late = rewards[18...].reduce(0, +) / 6
        #expect(before > 0.3 && late > early + 0.05 && after > before - 0.03, "\(before), \(after), \(rewards)")

        // The other way: of its own answers the better beside the worse.
        recipe = try shipped("quant-odpo")
        recipe.steps = 20
        rewards = []
        try await scratch { folder in
            let run = try Bench.run(recipe, prompts, .base(sft), in: folder)
            while !run.isFinished { rewards.append(try #require(try run.step().measures["reward"])) }
        }
        let first = rewards[..<5].reduce(0, +) / 5, last = rewards[15...].reduce(0, +) / 5
        #expect(last > first + 0.03, "\(rewards)")
    }
}
