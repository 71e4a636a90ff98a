import ForgeArtifact
import ForgeCore
import ForgeCrypto
import ForgeData
import ForgeModel
import ForgeNN
import ForgeTensor
import ForgeTokenizer
import ForgeTraining
import Testing

/// Runs that start from a model.
struct LessonTests {
    /// A model that has seen a little, as a run of another recipe made it.
    static func base(_ bench: Bench) async throws -> StoredModel {
        try await scratch { folder in
            var recipe = bench.recipe
            (recipe.steps, recipe.chatTemplate) = (10, "mistral-v3-tekken")
            // Embeddings far enough apart that a frozen head can tell them.
            if case .architecture(var model) = recipe.start {
                model.embeddingDeviation = 0.5
                recipe.start = .architecture(model)
            }
            let run = try bench.run(in: folder, recipe: recipe)
            _ = try Bench.finish(run)
            return try Bench.stored(try run.finish(), bench.tokenizer.json)
        }
    }

    static func recipe(
        _ more: String = "", method: Recipe.Method = .sft, steps: Int = 12, perStep: Int = 4, perPass: Int = 2, rate: Double = 0.005, precision: Precision = .bf16
    ) throws -> Recipe {
        try Recipe(
            parsing: Array(
                """
                format: forge-recipe/v1
                name: taught
                method: \(method.rawValue)
                base: small@1
                training: {steps: \(steps), sequence_length: 32, sequences_per_step: \(perStep), sequences_per_pass: \(perPass), checkpoint_every: 1, precision: \(precision.rawValue)}
                optimizer: {learning_rate: \(rate), weight_decay: 0}
                schedule: {kind: constant}
                \(more)
                """.utf8))
    }

    static func lines(_ count: Int) -> [UInt8] {
        Array((0..<count).map { #"{"messages":[{"role":"user","content":"file \#($0 % 7)"},{"role":"assistant","content":"part \#($0 % 5)"}]}"# }.joined(separator: "\n").utf8)
    }

    static func material(_ recipe: Recipe, _ base: StoredModel, _ text: [UInt8] = lines(40)) throws -> TrainingMaterial {
        var preparation = try Preparation(recipe, .base(base), tokenizerFile: .sha256(base.tokenizerFile))
        try preparation.take(text, .samples)
        return preparation.finish()
    }

    @Test(arguments: ["", "adapters: {rank: 4, alpha: 16}"])
    func `what the assistant says is learnt, and the model that comes of it knows it`(adapters: String) async throws {
        let bench = try Bench(), base = try await LessonTests.base(bench), recipe = try LessonTests.recipe(adapters, steps: 30, rate: adapters.isEmpty ? 0.005 : 0.03), material = try LessonTests.material(recipe, base)
        try await scratch { folder in
            let run = try Bench.run(recipe, material, .base(base), in: folder)
            var losses: [Double] = []
            while !run.isFinished { losses.append(try run.step().loss) }
            #expect(losses.last! < 0.6 * losses[0], "\(losses)")

            // The file that is written scores what the run's own weights scored.
            let model = try Bench.stored(try run.finish(), base.tokenizerFile), device = try Device(threads: 2)
            let parameters = try Parameters(ParameterTable(model.config), on: device)
            try parameters.load(model)
            guard case .samples(let shard) = material else { return }
            let scorer = try Scorer(parameters, tokenizer: model.tokenizer, on: device), score = try scorer.score(shard.sequences)
            #expect(score.bits / Double(score.tokens) < 1.45 * losses.last! / 0.6931 && score.tokens == shard.targetCount)
            #expect(model.generation.chatTemplate == "mistral-v3-tekken" && model.generation.contextLength == base.generation.contextLength)
        }
    }

    @Test(arguments: ["", "adapters: {rank: 4, format: q8}"])
    func `a run from a model that is left and resumed ends in the same bits`(adapters: String) async throws {
        let bench = try Bench(), base = try await LessonTests.base(bench), recipe = try LessonTests.recipe(adapters, steps: 6), material = try LessonTests.material(recipe, base)
        let whole = try await scratch { try Bench.finish(try Bench.run(recipe, material, .base(base), in: $0)) }
        for (stop, threads) in [(1, 1), (4, 3)] {
            try await scratch { folder in
                let run = try Bench.run(recipe, material, .base(base), in: folder, threads: threads)
                for _ in 0..<stop { _ = try run.step() }
                try run.checkpoint()
                let again = try Bench.run(recipe, material, .base(base), in: folder)
                #expect(again.resumedFrom == stop)
                #expect(try Bench.finish(again) == whole)
            }
        }
    }

    @Test func `eight passes of one sample and one pass of eight learn the same`() async throws {
        let bench = try Bench(), base = try await LessonTests.base(bench)
        var digests: Set<Digest> = [], losses: [Double] = []
        for perPass in [1, 2, 8] {
            let recipe = try LessonTests.recipe(steps: 3, perStep: 8, perPass: perPass), material = try LessonTests.material(recipe, base)
            try await scratch { folder in
                let run = try Bench.run(recipe, material, .base(base), in: folder)
                while !run.isFinished { losses.append(try run.step().loss) }
                digests.insert(run.parameterDigest())
            }
        }
        #expect(digests.count == 1 && Set(losses).count == 3)
    }

    /// Samples that share a bin are blind to each other: the same samples, one a bin, give the same loss.
    @Test func `packed samples have the loss of samples apart`() async throws {
        let bench = try Bench(), base = try await LessonTests.base(bench)
        func first(_ more: String, perStep: Int) async throws -> Double {
            let recipe = try LessonTests.recipe(more, steps: 1, perStep: perStep, perPass: 1), material = try LessonTests.material(recipe, base, LessonTests.lines(6))
            return try await scratch { try Bench.run(recipe, material, .base(base), in: $0).step().loss }
        }
        guard case .samples(let shard) = try LessonTests.material(try LessonTests.recipe(), base, LessonTests.lines(6)) else { return }
        let bins = try SampleCursor(shard, length: 32, packs: true, seed: 1).unitsPerEpoch
        #expect(bins < 6)
        let packed = try await first("", perStep: bins), apart = try await first("samples: {packing: false}", perStep: 6)
        #expect(abs(packed - apart) <= 1e-6 * apart)
    }

    @Test func `merged adapters keep the type and the bytes of what they do not touch`() async throws {
        let bench = try Bench(), base = try await LessonTests.base(bench), recipe = try LessonTests.recipe("adapters: {rank: 2, targets: [q_proj, down_proj]}", steps: 2)
        try await scratch { folder in
            let run = try Bench.run(recipe, try LessonTests.material(recipe, base), .base(base), in: folder)
            _ = try Bench.finish(run)
            let model = try Bench.stored(try run.finish(), base.tokenizerFile)
            for entry in ParameterTable(base.config).entries {
                let changed = entry.name.contains("q_proj") || entry.name.contains("down_proj")
                #expect(try (model.values(entry) != base.values(entry)) == changed, "\(entry.name)")
            }
        }
    }

    @Test func `samples that do not fit are refused by number, or dropped where the recipe says so`() async throws {
        let bench = try Bench(), base = try await LessonTests.base(bench), long = String(repeating: "daemon ", count: 60)
        let text = LessonTests.lines(2) + Array("\n{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":\"\(long)\"}]}".utf8)
        #expect { try LessonTests.material(try LessonTests.recipe(), base, text) } throws: {
            ($0 as? Fault)?.code == "train.too_long" && ($0 as? Fault)?.why.contains("sample 3 has") == true
        }
        var preparation = try Preparation(try LessonTests.recipe("samples: {too_long: drop}"), .base(base), tokenizerFile: .sha256(base.tokenizerFile))
        try preparation.take(text, .samples)
        #expect(preparation.dropped == 1)
        guard case .samples(let shard) = preparation.finish() else { return }
        #expect(shard.count == 2)
        #expect { try LessonTests.material(try LessonTests.recipe(), base, Array(#"{"prompt":"a","chosen":"b","rejected":"c"}"#.utf8)) } throws: { ($0 as? Fault)?.code == "samples.form" }
    }

    @Test func `a recipe from a model says what it must, and nothing else`() throws {
        let recipe = try LessonTests.recipe("adapters: {rank: 4, targets: [o_proj, q_proj]}")
        #expect(recipe.yaml.contains("base: \"small@1\"\n") && recipe.yaml.contains("targets: [q_proj, o_proj]") && !recipe.yaml.contains("model:"))
        #expect(try Recipe(parsing: Array(recipe.yaml.utf8)) == recipe)
        for (change, code) in [
            ("base: small@1", "base: small"), ("base: small@1", "base: small@1\nmodel: {width: 8}"), ("method: sft", "method: sftt"), ("sequence_length: 32, ", ""),
            ("optimizer: {", "adapters: {rank: 2}\noptimizer: {kind: muon, "), ("method: sft", "method: sft\nadapters: {rank: 2, targets: [x_proj]}"),
        ] {
            let text = String(decoding: Array(LessonTests.text.utf8), as: UTF8.self).replacing(change, with: code)
            #expect(throws: Fault.self, "\(code)") { try Recipe(parsing: Array(text.utf8)) }
        }
        #expect(throws: Never.self) { try Recipe(parsing: Array(LessonTests.text.utf8)) }
    }

    private static let text = """
        format: forge-recipe/v1
        name: taught
        method: sft
        base: small@1
        training: {steps: 2, sequence_length: 32, sequences_per_step: 4}
        optimizer: {learning_rate: 0.005}
        schedule: {kind: constant}
        """
}
