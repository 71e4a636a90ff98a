import ForgeAutograd
import ForgeCore
import ForgeModel
import ForgeNN
import ForgeTensor
import Glibc
import Testing

struct DecoderTests {
    static let small = MistralConfig(vocabulary: 31, width: 24, feedForward: 40, layers: 2, queryHeads: 3, kvHeads: 1, headDim: 8, contextMax: 64)

    func batch(_ lengths: [Int], seed: UInt64) -> TokenBatch {
        var random = SeededGenerator(seed: seed)
        return TokenBatch(sequences: lengths.map { length in (0...length).map { _ in Int32(random.next() % 31) } })
    }

    func trained(_ config: MistralConfig, seed: UInt64, on device: Device, rows: Int = 128) throws -> (Parameters, Parameters, Decoder) {
        let table = ParameterTable(config), parameters = try Parameters(table, on: device), gradients = try Parameters(table, on: device)
        parameters.initialise(seed: seed, embeddingDeviation: 0.5)
        return (parameters, gradients, try Decoder(parameters, gradients: gradients, rows: rows, on: device))
    }

    /// Along one random direction a tensor: (L(θ + hv) - L(θ - hv)) / 2h = ⟨g, v⟩ + O(h²); float32 log-probabilities add about
    /// 1e-6 · √rows / h of noise. With h = 1/512 both stay below 2 % of the slopes seen here plus 0.02.
    @Test(arguments: 0..<3 as Range<UInt64>)
    func `the gradient of every tensor agrees with the difference quotient`(seed: UInt64) throws {
        let device = try Device(threads: 2), (parameters, gradients, decoder) = try trained(DecoderTests.small, seed: seed, on: device)
        let batch = batch([20, 1, 33], seed: seed)
        _ = try decoder.forwardBackward(batch, weight: 1)
        let evaluator = try Decoder(parameters, rows: 128, on: device)
        try expectSlopes(parameters, gradients, seed: seed) { -(try evaluator.logProbabilities(batch).reduce(0) { $0 + Double($1) }) }
    }

    /// The likelihood said as any other objective has the likelihood's gradient, to the bit.
    @Test func `an objective's derivative is the weight of a row`() throws {
        let device = try Device(threads: 2), (_, gradients, decoder) = try trained(DecoderTests.small, seed: 5, on: device), batch = batch([20, 1, 33], seed: 5)
        decoder.beginStep()
        let sum = try decoder.forwardBackward(batch, weight: 0.25)
        let plain = gradients.flat.values()
        decoder.beginStep()
        var seen: [Float] = []
        try decoder.forwardBackward(batch, share: 0.25) { logp in
            seen = logp
            return logp.map { _ in -0.25 }
        }
        #expect(gradients.flat.values() == plain)
        #expect(seen.reduce(0.0) { $0 + Double($1) } == sum)
    }

    /// Two sequences against each other, as preference losses have them: -log σ(0.3·(log p₁ - log p₂)). Tolerance as above.
    @Test(arguments: 0..<2 as Range<UInt64>)
    func `an objective over several rows agrees with the difference quotient`(seed: UInt64) throws {
        let device = try Device(threads: 2), (parameters, gradients, decoder) = try trained(DecoderTests.small, seed: seed, on: device), batch = batch([14, 19], seed: seed)
        func margin(_ logp: [Float]) -> Double { 0.3 * (logp[..<14].reduce(0.0) { $0 + Double($1) } - logp[14...].reduce(0.0) { $0 + Double($1) }) }
        try decoder.forwardBackward(batch, share: 1) { logp in
            let slope = -0.3 / (1 + exp(margin(logp)))
            return logp.indices.map { Float($0 < 14 ? slope : -slope) }
        }
        let evaluator = try Decoder(parameters, rows: 128, on: device)
        try expectSlopes(parameters, gradients, seed: seed) { log1p(exp(-margin(try evaluator.logProbabilities(batch)))) }
    }

    private func expectSlopes(_ parameters: Parameters, _ gradients: Parameters, seed: UInt64, loss: () throws -> Double) throws {
        for (index, entry) in parameters.table.entries.enumerated() {
            let tensor = parameters.tensor(entry), before = tensor.values(), gradient = gradients.tensor(entry).values()
            var random = SeededGenerator(seed: seed, stream: UInt64(index))
            let direction = before.map { _ in random.symmetric() }, h: Float = 0x1p-9
            tensor.write(zip(before, direction).map { $0 + h * $1 })
            let up = try loss()
            tensor.write(zip(before, direction).map { $0 - h * $1 })
            let down = try loss()
            tensor.write(before)
            let slope = (up - down) / Double(2 * h), expected = zip(gradient, direction).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
            #expect(abs(slope - expected) <= 0.02 * abs(expected) + 0.02, "\(entry.name): \(slope) and \(expected)")
        }
    }

    @Test(arguments: Backend.present, Precision.allCases)
    func `layers computed again give the same bits and take less memory`(backend: Backend, precision: Precision) throws {
        let device = try Device(backend, threads: 2)
        var config = DecoderTests.small
        (config.layers, config.window, config.tiedEmbeddings) = (6, 9, true)
        let batch = batch([30, 5, 1, 64], seed: 4), weight = 1 / Float(batch.targetCount)
        func gradients(recompute: Bool) throws -> (Double, [UInt32], ByteCount) {
            let table = ParameterTable(config), parameters = try Parameters(table, on: device), gradients = try Parameters(table, on: device)
            parameters.initialise(seed: 2, embeddingDeviation: 0.5)
            let decoder = try Decoder(parameters, gradients: gradients, rows: 100, precision: precision, recompute: recompute, on: device)
            let logp = try decoder.forwardBackward(batch, weight: weight)
            try decoder.endStep()
            return (logp, gradients.flat.values().map(\.bitPattern), decoder.activationBytes)
        }
        let kept = try gradients(recompute: false), again = try gradients(recompute: true)
        #expect(kept.0 == again.0)
        #expect(kept.1 == again.1)
        #expect(again.2.count * 2 < kept.2.count, "\(again.2) of \(kept.2)")
    }

    @Test(arguments: Backend.present, [false, true])
    func `one pass of eight sequences and eight passes of one give the same bits`(backend: Backend, tied: Bool) throws {
        let device = try Device(backend, threads: 2)
        var config = DecoderTests.small
        config.tiedEmbeddings = tied
        let lengths = [16, 16, 5, 16, 30, 1, 16, 16], whole = batch(lengths, seed: 9), weight = 1 / Float(whole.targetCount)
        let (_, once, decoder) = try trained(config, seed: 1, on: device)
        _ = try decoder.forwardBackward(whole, weight: weight)
        try decoder.endStep()
        let (_, often, other) = try trained(config, seed: 1, on: device)
        for (start, end) in zip(whole.cumulativeLengths, whole.cumulativeLengths.dropFirst()) {
            let rows = Int(start)..<Int(end)
            _ = try other.forwardBackward(TokenBatch(ids: Array(whole.ids[rows]), targets: Array(whole.targets[rows]), cumulativeLengths: [0, end - start]), weight: weight)
        }
        try other.endStep()
        if backend.level == .reference {
            // The reference rounds its double sums to float after each pass, so only the vector levels promise bits.
            #expect(zip(once.flat.values(), often.flat.values()).allSatisfy { abs($0 - $1) <= 1e-6 })
        } else {
            #expect(once.flat.values().map(\.bitPattern) == often.flat.values().map(\.bitPattern))
        }
    }

    @Test(arguments: [1, 2, 3, 6], [1, 100])
    func `a training pass reports the loss that an evaluation finds`(layers: Int, vocabulary: Int) throws {
        let device = try Device(threads: 2)
        var config = DecoderTests.small
        (config.layers, config.vocabulary) = (layers, 31 * vocabulary)
        let (parameters, _, decoder) = try trained(config, seed: 2, on: device), batch = batch([40, 40, 20], seed: 5)
        let found = try Decoder(parameters, rows: 128, on: device).logProbabilities(batch).reduce(0) { $0 + Double($1) }
        #expect(try decoder.forwardBackward(batch, weight: 1) == found)
    }

    @Test func `the number of threads leaves every gradient's bits alone`() throws {
        var seen: Set<[UInt32]> = []
        for threads in 1...3 {
            let device = try Device(threads: threads), (_, gradients, decoder) = try trained(DecoderTests.small, seed: 4, on: device)
            _ = try decoder.forwardBackward(batch([40, 40, 7], seed: 2), weight: 0.01)
            seen.insert(gradients.flat.values().map(\.bitPattern))
        }
        #expect(seen.count == 1)
    }

    @Test func `memory is planned before it is taken, and shared`() throws {
        let device = try Device(threads: 1)
        var config = DecoderTests.small
        config.layers = 8
        let (_, _, decoder) = try trained(config, seed: 0, on: device)
        let evaluator = try Decoder(try Parameters(ParameterTable(config), on: device), rows: 128, on: device)
        #expect(decoder.activationBytes.count > 0)
        #expect(evaluator.activationBytes.count * 2 < decoder.activationBytes.count)
    }

    @Test(arguments: [1, 2], Precision.allCases)
    func `a step takes no memory once one has run`(threads: Int, precision: Precision) throws {
        let device = try Device(threads: threads), table = ParameterTable(DecoderTests.small)
        let parameters = try Parameters(table, on: device), gradients = try Parameters(table, on: device)
        let decoder = try Decoder(parameters, gradients: gradients, rows: 128, precision: precision, on: device)
        func step(_ lengths: [Int]) throws {
            decoder.beginStep()
            _ = try decoder.forwardBackward(batch(lengths, seed: 3), weight: 1)
            try decoder.endStep()
        }
        try step([20])
        let taken = device.storagesTaken
        #expect(taken > 0)
        for lengths in [[64, 64], [1], [30, 30, 30]] { try step(lengths) }
        #expect(device.storagesTaken == taken)
    }

    @Test func `buffers alive together never overlap`() {
        var random = SeededGenerator(seed: 3)
        for _ in 0..<50 {
            let sizes = (0..<20).map { _ in Int(random.next() % 100) + 1 }
            let tape = (0..<30).map { _ in Set((0..<3).map { _ in Int(random.next() % 20) }) }
            let plan = MemoryPlan(steps: tape.map { $0.map(Buffer.init(number:)) }, sizes: sizes)
            for a in 0..<20 {
                for b in 0..<a where plan.offsets[a] >= 0 && plan.offsets[b] >= 0 {
                    func life(_ x: Int) -> ClosedRange<Int> { tape.firstIndex { $0.contains(x) }!...tape.lastIndex { $0.contains(x) }! }
                    guard life(a).overlaps(life(b)) else { continue }
                    #expect(plan.offsets[a] + sizes[a] <= plan.offsets[b] || plan.offsets[b] + sizes[b] <= plan.offsets[a])
                }
            }
        }
    }

    @Test func `equal seeds give equal weights and different seeds do not`() throws {
        let device = try Device(threads: 1)
        func weights(_ seed: UInt64) throws -> [Float] {
            let parameters = try Parameters(ParameterTable(DecoderTests.small), on: device)
            parameters.initialise(seed: seed)
            return parameters.flat.values()
        }
        #expect(try weights(5) == weights(5))
        #expect(try weights(5) != weights(6))
    }

    @Test func `a token outside the vocabulary or a sequence over the context is refused`() throws {
        let device = try Device(threads: 1), parameters = try Parameters(ParameterTable(DecoderTests.small), on: device)
        let decoder = try Decoder(parameters, rows: 100, on: device)
        #expect(throws: Fault.self) { try decoder.logProbabilities(TokenBatch(ids: [31], targets: [0], cumulativeLengths: [0, 1])) }
        #expect(throws: Fault.self) { try decoder.logProbabilities(batch([65], seed: 0)) }
        #expect(throws: Fault.self) { try decoder.logProbabilities(batch([60, 60], seed: 0)) }
    }
}

struct ConfigTests {
    @Test func `config json survives a round trip and unknown architectures are refused by name`() throws {
        let config = MistralConfig(
            vocabulary: 4096, width: 256, feedForward: 704, layers: 4, queryHeads: 8, kvHeads: 4, contextMax: 512, ropeTheta: 50_000, window: 128, tiedEmbeddings: true, bos: 1,
            eos: 2)
        #expect(try MistralConfig(json: config.json) == config)
        #expect {
            try MistralConfig(json: ["model_type": "llama"])
        } throws: { ($0 as? Fault)?.why == "`model_type` is `llama`" }
        #expect(throws: Fault.self) { try MistralConfig(json: ["model_type": "mistral", "hidden_size": "wide"]) }
    }

    @Test func `latent attention survives a round trip, its scores are raised only where the file says so, and what no model has is refused by name`() throws {
        // Mistral Small 4 as its release's config.json has it, which does not say whether stretched positions raise scores.
        let release: JSON = [
            "model_type": "mistral4", "vocab_size": 131_072, "hidden_size": 4096, "intermediate_size": 12_288, "moe_intermediate_size": 2048, "num_hidden_layers": 36, "num_attention_heads": 32,
            "max_position_embeddings": 1_048_576, "q_lora_rank": 1024, "kv_lora_rank": 256, "rms_norm_eps": .double(1e-6),
            "rope_parameters": [
                "type": "yarn", "rope_theta": 10_000, "factor": 128, "original_max_position_embeddings": 8192, "beta_fast": 32, "beta_slow": 1, "mscale": 1, "mscale_all_dim": 1,
                "llama_4_scaling_beta": .double(0.1),
            ],
        ]
        var config = try MistralConfig(json: release)
        #expect(config.modelType == "mistral4" && config.feedForward == 2048 && config.experts == .init(count: 128, choices: 4, shared: 1))
        #expect(config.latent == LatentAttention(queryRank: 1024, rank: 256, plainDim: 64, turnedDim: 64, valueDim: 128) && config.yarn?.attentionFactor == 1)
        #expect(config.attention(of: 0).scale == 1 / Float(128).squareRoot() && config.attention(of: 0).headDim == 320)
        #expect(try MistralConfig(json: config.json) == config)
        config.latent?.raisesScores = true
        #expect(try MistralConfig(json: config.json) == config)
        #expect(abs(config.attention(of: 0).scale * Float(128).squareRoot() - Float(1.4852030263919618 * 1.4852030263919618)) < 1e-6)
        config.latent?.queryRank = nil
        config.experts?.scale = 2.5
        #expect(try MistralConfig(json: config.json) == config)
        for (key, value, why) in [
            ("n_group", 4, "`n_group`"), ("first_k_dense_replace", 1, "`first_k_dense_replace`"), ("kv_lora_rank", 513, "`kv_lora_rank`"), ("qk_rope_head_dim", 63, "`head_dim`"), ("qk_nope_head_dim", 0, "`qk_nope_head_dim`"),
            ("num_key_value_heads", 8, "`num_key_value_heads`"), ("v_head_dim", 0, "`v_head_dim`"), ("rope_interleave", false, "`rope_interleave`"), ("norm_topk_prob", false, "`norm_topk_prob`"),
        ] as [(String, JSON, String)] {
            var members = try #require(release.object)
            members[key] = value
            #expect { try MistralConfig(json: .object(members)) } throws: { ($0 as? Fault)?.why.hasPrefix(why) == true }
        }
    }

    /// A number with a point is no count, whatever its value; what is of another kind than it should be is not taken for left out.
    @Test func `members of the wrong kind, and numbers beyond any model, are refused by name`() throws {
        let good: JSON.Object = [
            "model_type": "mistral", "vocab_size": 100, "hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 8, "num_key_value_heads": 8, "max_position_embeddings": 16,
            "attention_bias": false, "mlp_bias": .null, "eos_token_id": [2, 7], "rope_scaling": .null,
        ]
        #expect(try MistralConfig(json: .object(good)).eos == 2)
        let counts = ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "max_position_embeddings", "head_dim", "sliding_window", "bos_token_id", "eos_token_id"]
        for key in counts {
            for text in ["1e6", "64.0", "9223372036854775807", "-9223372036854775808", "2147483648", "\"64\"", "true"] {
                var changed = good
                changed[key] = try JSON.parse(text)
                let fault = #expect(throws: Fault.self) { try MistralConfig(json: .object(changed)) }
                #expect(fault?.why == "`\(key)` is not a whole number below 2^31", "\(key) \(text)")
            }
        }
        #expect(throws: JSONError.self) { try JSON.parse("{\"vocab_size\": 9223372036854775808}") }
        for (key, value, word) in [
            ("attention_bias", true, "biases"), ("mlp_bias", true, "biases"), ("attention_bias", 1, "`attention_bias` is neither"), ("mlp_bias", "true", "`mlp_bias` is neither"), ("tie_word_embeddings", "yes", "`tie_word_embeddings`"),
            ("rms_norm_eps", "1e-5", "`rms_norm_eps` is not a number"), ("rope_theta", "1e6", "`rope_theta` is not a number"), ("rope_scaling", "yarn", "`rope_scaling` is not an object"), ("hidden_act", 3, "`hidden_act`"),
            ("rope_parameters", ["rope_theta": "1e6"], "`rope_theta`"), ("rope_parameters", ["original_max_position_embeddings": .double(16)], "`original_max_position_embeddings`"), ("bos_token_id", -1, "`bos_token_id` is -1"),
            ("eos_token_id", 100, "`eos_token_id` is 100, and there are 100 tokens"), ("eos_token_id", [], "`eos_token_id`"), ("eos_token_id", [.double(2)], "`eos_token_id`"), ("sliding_window", -3, "`sliding_window`"),
        ] as [(String, JSON, String)] {
            var changed = good
            changed[key] = value
            let fault = #expect(throws: Fault.self) { try MistralConfig(json: .object(changed)) }
            #expect(fault?.why.contains(word) == true, "\(key) \(value.text): \(fault?.why ?? "taken")")
        }
        // Two of the largest would overflow together.
        let latent: JSON.Object = [
            "model_type": "mistral4", "vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 8, "max_position_embeddings": 16, "qk_nope_head_dim": .int(.max), "qk_rope_head_dim": .int(.max),
        ]
        #expect { try MistralConfig(json: .object(latent)) } throws: { ($0 as? Fault)?.why == "`qk_nope_head_dim` is not a whole number below 2^31" }
    }

    @Test func `stretched positions survive a round trip, and what no model has is refused by name`() throws {
        let yarn = Yarn(factor: 16, originalContext: 16_384)
        var config = MistralConfig(
            vocabulary: 131_072, width: 4096, feedForward: 14_336, layers: 34, queryHeads: 32, kvHeads: 8, headDim: 128, contextMax: 262_144, ropeTheta: 1e6, yarn: yarn,
            bos: 1, eos: 2)
        #expect(try MistralConfig(json: config.json) == config && config.modelType == "mistral")
        // 0.1 ln 16 + 1, unless the file says that both magnitudes cancel.
        #expect(abs(yarn.attentionFactor - 1.2772588722) < 1e-9)
        config.yarn?.attentionFactor = 1
        config.queryScale = QueryScale(beta: 0.1, originalContext: 16_384)
        let written = try #require(config.json.object)
        #expect(try MistralConfig(json: .object(written)) == config && written["model_type"] == "ministral3" && written["architectures"] == ["Ministral3ForCausalLM"])
        // As Mistral's own files say it: the older key, `type`, and magnitudes that cancel.
        var older = written
        older["rope_parameters"] = nil
        older["rope_scaling"] = [
            "type": "yarn", "factor": 16, "original_max_position_embeddings": 16_384, "beta_fast": 32, "beta_slow": 1, "mscale": 1, "mscale_all_dim": 1,
            "llama_4_scaling_beta": .double(0.1),
        ]
        #expect(try MistralConfig(json: .object(older)) == config)
        for (key, value, why) in [
            ("rope_type", "longrope", "rotary scaling `longrope` is not supported"), ("factor", .null, "`factor` of the rotary parameters is missing"),
            ("factor", "four", "`factor` of the rotary parameters is not a number"), ("factor", .double(0.5), "`rope_parameters.factor` is 0.5; it must be at least 1"),
            ("truncate", false, "`truncate` is false: ramps between whole pairs are not supported"),
            ("original_max_position_embeddings", 524_288, "`rope_parameters.original_max_position_embeddings` is 524288; it must be 1 to max_position_embeddings (262144)"),
            ("llama_4_scaling_beta", .null, "`llama_4_scaling_beta` of the rotary parameters is missing"),
            ("beta_fast", .double(0.5), "`rope_parameters.beta_fast` is 0.5; it must be at least beta_slow (1.0), and that above 0"),
        ] as [(String, JSON, String)] {
            var wrong = written, rope = try #require(written["rope_parameters"]?.object)
            rope[key] = value
            wrong["rope_parameters"] = .object(rope)
            #expect { try MistralConfig(json: .object(wrong)) } throws: { ($0 as? Fault)?.why == why }
        }
    }

    @Test func `a mixture's config json survives a round trip and is written as transformers writes it`() throws {
        let config = MistralConfig(
            vocabulary: 4096, width: 256, feedForward: 704, layers: 4, queryHeads: 8, kvHeads: 4, contextMax: 512, ropeTheta: 50_000,
            experts: .init(count: 8, choices: 2, balance: 0.02, balances: true))
        #expect(try MistralConfig(json: config.json) == config)
        let written = try #require(config.json.object)
        #expect(written["architectures"] == ["MixtralForCausalLM"] && written["model_type"] == "mixtral" && written["num_local_experts"] == 8)
        #expect(written["num_experts_per_tok"] == 2 && written["router_aux_loss_coef"] == .double(0.02) && written["output_router_logits"] == true)
        // What transformers leaves out has its defaults.
        let sparse: JSON = ["model_type": "mixtral", "vocab_size": 100, "hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 8, "max_position_embeddings": 16]
        let read = try MistralConfig(json: sparse)
        #expect(read.experts == .init(count: 8, choices: 2, balance: 0.001, balances: false) && read.ropeTheta == 1e6 && read.kvHeads == 8 && read.window == nil)
        let mistral = try MistralConfig(json: ["vocab_size": 100, "hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 16, "max_position_embeddings": 16])
        #expect(mistral.window == 4096 && mistral.kvHeads == 8 && mistral.normEps == 1e-6, "they are those of the class, where a file leaves them out")
        var noisy = try #require(sparse.object)
        noisy["router_jitter_noise"] = .double(0.1)
        #expect(throws: Fault.self) { try MistralConfig(json: .object(noisy)) }
        for (key, value) in [("num_experts_per_tok", 9), ("num_experts_per_tok", 0), ("num_local_experts", 0), ("num_local_experts", 1_000_000)] as [(String, JSON)] {
            var wrong = try #require(sparse.object)
            wrong[key] = value
            #expect(throws: Fault.self, "\(key)") { try MistralConfig(json: .object(wrong)) }
        }
    }
}
