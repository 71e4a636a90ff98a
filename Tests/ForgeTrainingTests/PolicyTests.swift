import ForgeArtifact
import ForgeCore
import ForgeCrypto
import ForgeData
import ForgeObjective
import ForgeTensor
import ForgeTokenizer
@testable import ForgeTraining
import Testing

/// Learning from answers of one's own.
struct PolicyTests {
    /// A model that says `part N` to everything, with any of five N.
    static func speaker() async throws -> StoredModel {
        let base = try await LessonTests.base(try Bench()), recipe = try LessonTests.recipe(steps: 40)
        return try await scratch { folder in
            let run = try Bench.run(recipe, try LessonTests.material(recipe, base), .base(base), in: folder)
            _ = try Bench.finish(run)
            return try Bench.stored(try run.finish(), base.tokenizerFile)
        }
    }

    static func recipe(_ more: String = "", steps: Int = 8, perPass: Int = 16, rate: Double = 0.002, precision: Precision = .bf16) throws -> Recipe {
        try LessonTests.recipe("policy: {group: 8, answer_tokens: 8}\n" + more, method: .grpo, steps: steps, perStep: 3, perPass: perPass, rate: rate, precision: precision)
    }

    /// Whatever the file, part 3 is right.
    static let tasks = Array((0..<7).map { #"{"prompt":[{"role":"user","content":"file \#($0)"}],"reward":{"kind":"exact","answer":"part 3"}}"# }.joined(separator: "\n").utf8)

    static func rewards(_ recipe: Recipe, _ model: StoredModel) async throws -> (rewards: [Double], gaps: [Double], digest: Digest) {
        try await scratch { folder in
            let run = try Bench.run(recipe, try LessonTests.material(recipe, model, tasks), .base(model), in: folder)
            var rewards: [Double] = [], gaps: [Double] = []
            while !run.isFinished {
                let metrics = try run.step()
                rewards.append(try #require(metrics.measures["reward"]))
                gaps.append(try #require(metrics.measures["ratio_gap"]))
            }
            return (rewards, gaps, run.parameterDigest())
        }
    }

    @Test(arguments: [(Precision.f32, ""), (.bf16, ""), (.f32, "adapters: {rank: 8, alpha: 32}")])
    func `rewarded answers become likelier, and are learnt with the probability they were drawn with`(precision: Precision, adapters: String) async throws {
        let model = try await PolicyTests.speaker()
        let (rewards, gaps, _) = try await PolicyTests.rewards(try PolicyTests.recipe(adapters, steps: 20, rate: adapters.isEmpty ? 0.002 : 0.004, precision: precision), model)
        let late = rewards[15...].reduce(0, +) / 5
        #expect(rewards[0] < 0.5 && late > 0.8, "\(rewards)")
        // Adapters are merged for drawing, and lie beside their matrices for learning: other sums of the same terms.
        #expect(adapters.isEmpty ? gaps.allSatisfy { $0 == 0 } : gaps.allSatisfy { $0 < 1e-3 }, "\(gaps)")
    }

    @Test func `threads and the size of a pass leave the digest alone, and so does a resume`() async throws {
        let model = try await PolicyTests.speaker()
        var digests: Set<Digest> = []
        for perPass in [1, 5, 24] { digests.insert(try await PolicyTests.rewards(try PolicyTests.recipe(steps: 3, perPass: perPass), model).digest) }
        let recipe = try PolicyTests.recipe(steps: 3), material = try LessonTests.material(recipe, model, PolicyTests.tasks)
        try await scratch { folder in
            let run = try Bench.run(recipe, material, .base(model), in: folder, threads: 1)
            _ = try run.step()
            try run.checkpoint()
            digests.insert(try Bench.finish(try Bench.run(recipe, material, .base(model), in: folder, threads: 3)))
        }
        // The recipes differ in a number that plays no part.
        #expect(digests.count == 1)
    }

    @Test func `the divergence from what a run starts from is nothing at first, and holds it back`() async throws {
        let model = try await PolicyTests.speaker()
        func steps(_ kl: String) async throws -> [StepMetrics] {
            let recipe = try LessonTests.recipe("policy: {group: 8, answer_tokens: 8\(kl)}", method: .grpo, steps: 12, perStep: 3, perPass: 16, rate: 0.002, precision: .f32)
            #expect(try Recipe(parsing: Array(recipe.yaml.utf8)) == recipe)
            return try await scratch { folder in
                let run = try Bench.run(recipe, try LessonTests.material(recipe, model, PolicyTests.tasks), .base(model), in: folder)
                return try (0..<12).map { _ in try run.step() }
            }
        }
        let free = try await steps(", kl: 0.000001"), held = try await steps(", kl: 2"), other = try await steps(", kl: 2, kl_estimator: k2"), none = try await steps("")
        #expect(free[0].measures["divergence"] == 0 && held[0].measures["divergence"] == 0 && none[0].measures["divergence"] == nil)
        // The first step is the same with and without: where the two are one, the divergence has no slope.
        #expect(held[0].gradientNorm == none[0].gradientNorm)
        #expect(held[11].measures["divergence"]! < 0.5 * free[11].measures["divergence"]!, "\(held[11].measures) \(free[11].measures)")
        #expect(other[11].measures["divergence"]! > 0 && other[11].measures["divergence"] != held[11].measures["divergence"])
        #expect { try LessonTests.recipe("policy: {group: 8, answer_tokens: 8, kl: 1, kl_estimator: k1}", method: .grpo) } throws: { "\($0)".contains("k1") }
    }

    @Test func `every way to weigh an answer takes a step, and each divides in its own way`() async throws {
        let model = try await PolicyTests.speaker()
        func norm(_ more: String) async throws -> Double {
            let recipe = try LessonTests.recipe("policy: {group: 8, answer_tokens: 8, \(more)}", method: .grpo, steps: 1, perStep: 7, perPass: 16)
            return try await scratch { folder in
                let metrics = try Bench.run(recipe, try LessonTests.material(recipe, model, PolicyTests.tasks), .base(model), in: folder).step()
                #expect(metrics.loss.isFinite && metrics.gradientNorm > 0, "\(more)")
                return metrics.gradientNorm
            }
        }
        var norms: [String: Double] = [:]
        for loss in PolicyLoss.Kind.allCases where loss != .ppo { norms[loss.rawValue] = try await norm("loss: \(loss.rawValue)") }
        for advantage in Advantages.Kind.allCases where advantage != .grpo { norms[advantage.rawValue + " advantage"] = try await norm("advantage: \(advantage.rawValue)") }
        // At a ratio of 1 the mean over tokens is one thing by three names; sums over answers are larger than means.
        #expect(norms["dapo"] == norms["bnpo"] && norms["luspo"]! > norms["grpo"]! && norms["dr_grpo advantage"]! < norms["dapo"]!, "\(norms)")
        #expect(throws: Fault.self) { try LessonTests.recipe("policy: {group: 8, answer_tokens: 8, loss: ppo}", method: .grpo) }
    }

    @Test func `a reward judges any bytes, and an unknown one is refused by name`() throws {
        func reward(_ text: String) throws -> Reward { try Reward(try #require(try JSON.parse(text).object)) }
        let exact = try reward(#"{"kind":"exact","answer":" part 3\n"}"#)
        #expect(exact.judge(Array("part 3 ".utf8)) == 1 && exact.judge(Array("part 33".utf8)) == 0 && exact.judge([]) == 0 && exact.judge([0xff, 0]) == 0)
        for (text, word) in [(#"{"kind":"magic"}"#, "magic"), ("{}", "missing"), (#"{"kind":"exact"}"#, "answer"), (#"{"kind":"exact","answer":"a","tolerance":1}"#, "tolerance"), (#"{"kind":"quant","task":{}}"#, "members")] {
            do {
                _ = try reward(text)
                Issue.record("taken: \(text)")
            } catch let fault as Fault { #expect(fault.kind == .request && fault.why.contains(word), "\(fault)") }
        }
    }

    @Test func `a shard of tasks reads as it was written`() throws {
        var shard = TaskShard(tokenizer: .sha256([7]))
        shard.append([1, 70_000, 3], reward: ["kind": "exact", "answer": "é\n"])
        shard.append([1], reward: [:])
        let again = try TaskShard(parsing: shard.encoded())
        #expect(again.encoded() == shard.encoded() && again.count == 2 && again.rewards == shard.rewards && again.prompts.sequences == shard.prompts.sequences)
        for cut in 1..<shard.encoded().count { _ = try? TaskShard(parsing: Array(shard.encoded().dropLast(cut))) }
        #expect(throws: Fault.self) { try TaskShard(parsing: []) }
    }
}
