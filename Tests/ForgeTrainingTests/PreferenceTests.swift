import ForgeCore
import ForgeCrypto
import ForgeData
import ForgeObjective
import ForgeTensor
@testable import ForgeTraining
import Testing

/// Learning from judged answers.
struct PreferenceTests {
    /// Whatever the file, part 3 is better than part 1.
    static let pairs = Array(
        (0..<7).map {
            #"{"prompt":[{"role":"user","content":"file \#($0)"}],"chosen":"part 3","rejected":"part 1","chosen_score":\#($0 + 3),"rejected_score":1}"#
        }.joined(separator: "\n").utf8)
    static let labelled = Array(
        (0..<10).map { #"{"prompt":[{"role":"user","content":"file \#($0 / 2)"}],"completion":"part \#($0 % 2 == 0 ? 3 : 1)","label":\#($0 % 2 == 0)}"# }.joined(separator: "\n").utf8)

    static func recipe(
        _ more: String = "", method: Recipe.Method = .dpo, steps: Int = 12, perStep: Int = 4, perPass: Int = 4, rate: Double = 0.001, precision: Precision = .f32
    ) throws -> Recipe { try LessonTests.recipe(more, method: method, steps: steps, perStep: perStep, perPass: perPass, rate: rate, precision: precision) }

    static func steps(_ recipe: Recipe, _ model: StoredModel, _ text: [UInt8]) async throws -> (steps: [StepMetrics], digest: Digest) {
        try await scratch { folder in
            let run = try Bench.run(recipe, try LessonTests.material(recipe, model, text), .base(model), in: folder)
            var steps: [StepMetrics] = []
            while !run.isFinished { steps.append(try run.step()) }
            return (steps, run.parameterDigest())
        }
    }

    @Test(arguments: [(Precision.f32, ""), (.bf16, ""), (.f32, "adapters: {rank: 8, alpha: 32}")])
    func `the better answer becomes likelier than the worse one, from exactly no difference on`(precision: Precision, adapters: String) async throws {
        let model = try await PolicyTests.speaker(), recipe = try PreferenceTests.recipe(adapters, rate: adapters.isEmpty ? 0.001 : 0.003, precision: precision)
        let (steps, _) = try await PreferenceTests.steps(recipe, model, PreferenceTests.pairs)
        // Policy and reference are one model at first, to the bit.
        #expect(abs(steps[0].loss - 0.693147180559945309) < 1e-12 && steps[0].measures["margin"] == 0 && steps[0].measures["accuracy"] == 0)
        let last = try #require(steps.last)
        #expect(last.loss < 0.5 && last.measures["accuracy"] == 1 && last.measures["margin"]! > 0.3, "\(steps.map(\.loss))")
    }

    @Test func `a good answer becomes likelier and a bad one less likely`() async throws {
        let model = try await PolicyTests.speaker(), recipe = try PreferenceTests.recipe("preference: {beta: 0.5}", method: .kto, steps: 16, perStep: 5, rate: 0.002)
        let (steps, _) = try await PreferenceTests.steps(recipe, model, PreferenceTests.labelled)
        #expect(abs(steps[0].loss - 0.5) < 1e-12 && steps[0].measures["divergence"] == 0)
        let last = try #require(steps.last)
        #expect(last.loss < 0.35 && last.measures["margin"]! > 1 && steps.contains { $0.measures["divergence"]! > 0 }, "\(steps.map(\.loss)) \(last.measures)")
    }

    @Test(arguments: [Recipe.Method.dpo, .kto, .odpo])
    func `threads and the size of a pass leave the digest alone, and so does a resume`(method: Recipe.Method) async throws {
        let model = try await PolicyTests.speaker(), text = method == .dpo ? PreferenceTests.pairs : method == .kto ? PreferenceTests.labelled : PolicyTests.tasks
        let more = method == .odpo ? "policy: {group: 4, answer_tokens: 8}" : ""
        var digests: Set<Digest> = []
        for perPass in [1, 3, 4] { digests.insert(try await PreferenceTests.steps(try PreferenceTests.recipe(more, method: method, steps: 3, perPass: perPass, precision: .bf16), model, text).digest) }
        let recipe = try PreferenceTests.recipe(more, method: method, steps: 3, precision: .bf16), material = try LessonTests.material(recipe, model, text)
        try await scratch { folder in
            let run = try Bench.run(recipe, material, .base(model), in: folder, threads: 1)
            _ = try run.step()
            _ = try run.step()
            try run.checkpoint()
            digests.insert(try Bench.finish(try Bench.run(recipe, material, .base(model), in: folder, threads: 3)))
        }
        #expect(digests.count == 1)
    }

    @Test(arguments: ["", "adapters: {rank: 8, alpha: 32}"])
    func `of its own answers the better ones become likelier`(adapters: String) async throws {
        let model = try await PolicyTests.speaker()
        let recipe = try PreferenceTests.recipe("policy: {group: 8, answer_tokens: 8, cut_reward: 0}\npreference: {beta: 0.2}\n" + adapters, method: .odpo, steps: 20, perStep: 3, rate: adapters.isEmpty ? 0.002 : 0.006)
        let (steps, _) = try await PreferenceTests.steps(recipe, model, PolicyTests.tasks), rewards = steps.compactMap { $0.measures["reward"] }
        // At first the weights are their own reference, to the bit, whatever was drawn.
        #expect(abs(steps[0].loss - 0.693147180559945309) < 1e-12 && steps[0].measures["margin"] == 0, "\(steps[0])")
        let early = rewards[..<4].reduce(0, +) / 4, late = rewards[16...].reduce(0, +) / 4
        #expect(rewards.count == 20 && late > early + 0.2, "\(rewards)")
        #expect(try Recipe(parsing: Array(recipe.yaml.utf8)) == recipe, "\(recipe.yaml)")
    }

    @Test func `a group gives its first best and its first worst answer, or none`() {
        let pairs = OnlinePairLesson.pairs([0, 1, 0.5, 1, 0, 0, 0, 0, 0.2, 0.2, 0.1, 0.1], group: 4)
        #expect(pairs.map(\.better) == [1, 8] && pairs.map(\.worse) == [0, 10])
    }

    @Test func `every loss takes a step, and its recipe reads as it was written`() async throws {
        let model = try await PolicyTests.speaker()
        for kind in PreferenceLoss.Kind.allCases where kind != .online {
            let recipe = try PreferenceTests.recipe("preference: {loss: \(kind.rawValue), nll: 0.1}", steps: 1), metrics = try #require(try await PreferenceTests.steps(recipe, model, PreferenceTests.pairs).steps.first)
            #expect(metrics.loss.isFinite && metrics.gradientNorm > 0, "\(kind)")
            #expect(try Recipe(parsing: Array(recipe.yaml.utf8)) == recipe, "\(recipe.yaml)")
        }
        for more in ["loss: kto", "loss: apo_zero_unpaired, desirable_weight: 2"] {
            let recipe = try PreferenceTests.recipe("preference: {\(more)}", method: .kto, steps: 1), metrics = try #require(try await PreferenceTests.steps(recipe, model, PreferenceTests.labelled).steps.first)
            #expect(metrics.loss.isFinite && metrics.gradientNorm > 0)
            #expect(try Recipe(parsing: Array(recipe.yaml.utf8)) == recipe)
        }
        // Where both answers are as long, what lies beyond the shorter one is nothing.
        func loss(_ more: String) async throws -> Double { try #require(try await PreferenceTests.steps(try PreferenceTests.recipe("preference: {\(more)}", steps: 2), model, PreferenceTests.pairs).steps.last?.loss) }
        #expect(abs(try await loss("ld_alpha: 0.5") - loss("loss: dpo")) < 1e-9)
        for more in ["divergence: js_divergence", "divergence: alpha_divergence, divergence_alpha: 0.3"] {
            let recipe = try PreferenceTests.recipe("preference: {\(more)}")
            #expect(try Recipe(parsing: Array(recipe.yaml.utf8)) == recipe)
        }
    }

    @Test func `settings that do not fit are refused by name`() throws {
        for (more, word) in [
            ("preference: {loss: odpo}", "odpo"), ("preference: {loss: dpo, simpo_gamma: 1}", "simpo_gamma"), ("preference: {loss: best}", "best"), ("preference: {beta: 0}", "beta"),
            ("preference: {loss: robust, label_smoothing: 0.5}", "label_smoothing"), ("preference: {divergence: none}", "divergence"), ("preference: {loss: hinge, label_smoothing: 0.1}", "label_smoothing"),
        ] {
            do {
                _ = try PreferenceTests.recipe(more)
                Issue.record("taken: \(more)")
            } catch let fault as Fault { #expect(fault.kind == .request && "\(fault)".contains(word), "\(fault)") }
        }
        for loss in ["simpo", "aot", "dpo_offset"] {
            #expect { try PreferenceTests.recipe("policy: {group: 4, answer_tokens: 8}\npreference: {loss: \(loss)}", method: .odpo) } throws: { "\($0)".contains(loss) }
        }
        #expect { try PreferenceTests.recipe("policy: {group: 4, answer_tokens: 8, advantage: grpo}", method: .odpo) } throws: { "\($0)".contains("advantage") }
        #expect { try PreferenceTests.recipe("preference: {loss: aot}", perPass: 2) } throws: { "\($0)".contains("one pass") }
        #expect { try LessonTests.recipe("preference: {loss: dpo}") } throws: { "\($0)".contains("preference") }
    }

    @Test func `samples that teach nothing are refused by their number, before any step`() async throws {
        let model = try await LessonTests.base(try Bench())
        func refuses(_ more: String, _ method: Recipe.Method, _ text: String, _ word: String) throws {
            do {
                _ = try LessonTests.material(try PreferenceTests.recipe(more, method: method), model, Array(text.utf8))
                Issue.record("taken: \(text)")
            } catch let fault as Fault { #expect(fault.kind == .request && fault.why.contains(word), "\(fault)") }
        }
        let good = #"{"prompt":"a","chosen":"b","rejected":"c"}"#
        try refuses("", .dpo, good + "\n" + #"{"prompt":"a","chosen":"b","rejected":"b"}"#, "sample 2: its two answers are the same")
        try refuses("preference: {loss: dpo_offset}", .dpo, good, "sample 1")
        try refuses("", .dpo, #"{"text":"a"}"#, "`text`")
        try refuses("", .kto, good, "`pair`")
    }

    @Test func `a mismatched answer belongs to another prompt and fits`() {
        func sample(_ prompt: [Int32], _ answer: [Int32]) -> LearntSequence { LearntSequence(prompt + answer, learnt: [prompt.count..<prompt.count + answer.count]) }
        let mixed = LabelledLesson.mismatch([sample([1, 5], [7, 2]), sample([1, 5], [8, 2]), sample([1, 6, 6], [9, 9, 9, 2])], rows: 6)
        #expect(mixed.map(\.tokens) == [[1, 5, 9, 9, 9, 2], [1, 5, 9, 9, 9, 2], [1, 6, 6, 7, 2]])
        #expect(mixed.map(\.learnt) == [[2..<6], [2..<6], [3..<5]])
        #expect(LabelledLesson.mismatch([sample([1, 5], [7, 2])], rows: 6).map(\.tokens) == [[1, 5, 7, 2]])
        #expect(LabelledLesson.mismatch([], rows: 6).isEmpty)
        // The last ones of a list share the prompt of each other, and of nobody else.
        let tail = LabelledLesson.mismatch([sample([1, 6], [9, 2]), sample([1, 5], [7, 2]), sample([1, 5], [8, 2])], rows: 4)
        #expect(tail.map(\.tokens) == [[1, 6, 7, 2], [1, 5, 9, 2], [1, 5, 9, 2]])
    }
}
