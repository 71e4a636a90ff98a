import ForgeArtifact
import ForgeAutograd
import ForgeCore
import ForgeModel
import ForgeNN
import ForgeTensor
import Testing

struct MixtureTests {
    static let names = ["mixtral-plain", "mixtral-packed", "mixtral-plain-balanced", "mixtral-packed-balanced"]
    static let small = MistralConfig(
        vocabulary: 31, width: 24, feedForward: 20, layers: 2, queryHeads: 3, kvHeads: 1, headDim: 8, contextMax: 64, experts: .init(count: 5, choices: 2))

    /// The loss of the batch as make.py forms it, and every gradient.
    func trained(_ golden: Golden, _ parameters: Parameters, routing: Routing? = nil, on device: Device) throws -> (loss: Double, gradients: Parameters, balance: Double) {
        let batch = try golden.batch, experts = try #require(parameters.table.config.experts)
        let gradients = try Parameters(parameters.table, on: device), weight = experts.balances ? 1 / Float(batch.targetCount) : 1
        let decoder = try Decoder(parameters, gradients: gradients, rows: batch.rows + 3, routing: routing, on: device)
        decoder.beginStep()
        let nll = -(try decoder.forwardBackward(batch, weight: weight)) * Double(weight), balance = try #require(decoder.balanceLoss)
        try decoder.endStep()
        return (nll + (experts.balances ? experts.balance * balance : 0), gradients, balance)
    }

    @Test(arguments: Backend.present, names)
    func `logits, loss and the gradient of every tensor equal those of transformers' Mixtral`(backend: Backend, name: String) throws {
        let golden = try Golden(name), device = try Device(backend, threads: 2), batch = try golden.batch, parameters = try golden.parameters(on: device)
        #expect(relative(try Decoder(parameters, rows: batch.rows, on: device).logits(batch), try golden.floats("logits")) <= 1e-5)
        let ours = try trained(golden, parameters, on: device), loss = Double(try golden.floats("loss")[0]), balance = Double(try golden.floats("balance")[0])
        #expect(abs(ours.loss - loss) <= 1e-5 * loss)
        #expect(abs(ours.balance - balance) <= 1e-5 * balance)
        for entry in parameters.table.entries {
            let off = relative(ours.gradients.tensor(entry).values(), try golden.floats("grad." + entry.name))
            #expect(off <= 1e-5, "\(entry.name) is off by \(off)")
        }
    }

    @Test(arguments: names)
    func `the table has the names and shapes of the files transformers writes, and no others`(name: String) throws {
        let golden = try Golden(name), table = ParameterTable(try golden.config)
        let stored = golden.table.entries.filter { $0.name.hasPrefix("param.") }
        #expect(Set(stored.map(\.name)) == Set(table.entries.map { "param." + $0.name }))
        for entry in table.entries { #expect(golden.table["param." + entry.name]?.shape == entry.shape) }
    }

    @Test func `a wrong mixture is caught by the same numbers`() throws {
        let golden = try Golden("mixtral-packed-balanced"), device = try Device(threads: 2), batch = try golden.batch, truth = try golden.floats("logits")
        let parameters = try golden.parameters(on: device), config = try golden.config, experts = try #require(config.experts)
        func off(routing: Routing? = nil) throws -> Double { relative(try Decoder(parameters, rows: batch.rows, routing: routing, on: device).logits(batch), truth) }
        func swapped(_ first: String, _ second: String) throws -> Double {
            let (a, b) = (parameters.tensor(first), parameters.tensor(second)), (before, other) = (a.values(), b.values())
            a.write(other)
            b.write(before)
            defer {
                a.write(before)
                b.write(other)
            }
            return try off()
        }
        #expect(try off() <= 1e-5)
        let prefix = "model.layers.1.block_sparse_moe.experts."
        // Gate and up exchanged in one expert; one expert's matrix split from another's.
        #expect(try swapped(prefix + "2.w1.weight", prefix + "2.w3.weight") > 1e-3)
        #expect(try swapped(prefix + "0.w1.weight", prefix + "1.w1.weight") > 1e-3)
        #expect(try swapped(prefix + "1.w2.weight", prefix + "3.w2.weight") > 1e-3)
        // Rows of a gate and an up taken in turns instead of one after the other.
        let (gate, up) = (parameters.tensor(prefix + "0.w1.weight"), parameters.tensor(prefix + "0.w3.weight")), (g, u) = (gate.values(), up.values()), width = config.width
        var inTurns: [Float] = []
        for row in 0..<config.feedForward {
            let range = (row * width)..<((row + 1) * width)
            inTurns += g[range]
            inTurns += u[range]
        }
        gate.write(Array(inTurns[..<g.count]))
        up.write(Array(inTurns[g.count...]))
        #expect(try off() > 1e-3)
        gate.write(g)
        up.write(u)
        // Weights that are not renormalised, scores of single experts, one choice too few.
        #expect(try off(routing: Routing(experts: experts.count, choices: experts.choices, renormalised: false)) > 1e-3)
        #expect(try off(routing: Routing(experts: experts.count, choices: experts.choices, score: .sigmoid)) > 1e-3)
        #expect(try off(routing: Routing(experts: experts.count, choices: 1)) > 1e-3)
        // A bias that chooses otherwise.
        let biased = try Decoder(parameters, rows: batch.rows, on: device)
        try #require(biased.routerBias).write([Float](repeating: 0, count: experts.count) + [10, 0, 0, 0])
        #expect(relative(try biased.logits(batch), truth) > 1e-3)
        #expect(try off() <= 1e-5)
        // The balancing loss left out: only gradients show it.
        var silent = config
        silent.experts?.balances = false
        let same = try Parameters(ParameterTable(silent), on: device)
        same.flat.write(parameters.flat.values())
        let gradients = try Parameters(same.table, on: device), decoder = try Decoder(same, gradients: gradients, rows: batch.rows, on: device)
        _ = try decoder.forwardBackward(batch, weight: 1 / Float(batch.targetCount))
        let router = "model.layers.0.block_sparse_moe.gate.weight"
        #expect(relative(gradients.tensor(router).values(), try golden.floats("grad." + router)) > 1e-3)
    }

    /// One layer with a shared expert under an output projection, its rows being looked up so that they are a weight with a gradient too.
    @Test(arguments: Backend.present, ["mixture-mistral4", "mixture-deepseek"])
    func `a layer with a shared expert equals Mistral 4's and DeepSeek's, the gradient of every tensor too`(backend: Backend, name: String) throws {
        let golden = try Golden(name), device = try Device(backend, threads: 2), deepseek = name.hasSuffix("deepseek")
        func matrix(_ names: String..., rows: Int) throws -> Weight {
            let values = try names.flatMap { try golden.floats("param." + $0) }
            return Weight(try device.tensor(values, rows: rows, columns: values.count / rows), gradient: try device.tensor(rows: rows, columns: values.count / rows))
        }
        func group(_ name: String, rows: Int) throws -> (all: Weight, each: WeightGroup) {
            let all = try matrix(name, rows: 6 * rows)
            func parts(_ tensor: Tensor) -> TensorGroup { TensorGroup(tensor.prefix(rows), count: 6, spacing: rows * tensor.columns) }
            return (all, WeightGroup(parts(all.value), gradient: parts(all.gradient!)))
        }
        let x = try matrix("x", rows: 30), head = try matrix("head", rows: 11), router = try matrix("gate.weight", rows: 6)
        let gateUp = try group("experts.gate_up_proj", rows: 18), down = try group("experts.down_proj", rows: 16)
        let sharedGateUp = try matrix("shared_experts.gate_proj.weight", "shared_experts.up_proj.weight", rows: 36)
        let sharedDown = try matrix("shared_experts.down_proj.weight", rows: 16)
        let bias = deepseek ? try device.tensor(try golden.floats("param.gate.e_score_correction_bias"), rows: 1, columns: 6) : nil
        let routing = Routing(experts: 6, choices: 3, score: deepseek ? .sigmoid : .softmax, scale: deepseek ? 2.5 : 1.7)

        let tape = try Tape(capacity: 32, on: device), loads = try ExpertLoads(layers: 1, routing, on: device)
        let weights = ExpertWeights(router: router, bias: bias, gateUp: gateUp.each, down: down.each, shared: (sharedGateUp, sharedDown))
        let out = tape.experts(tape.embed(x), weights, layer: 0, loads: loads)
        tape.balance(loads)
        let logp = tape.crossEntropy(out, head, mode: .train)
        tape.keep(logp)
        tape.plan(.train)
        tape.inputs.ids.write((0..<30).map(Int32.init))
        tape.inputs.targets.write(try golden.integers("targets"))
        (tape.inputs.rows, tape.inputs.objective) = (30, .likelihood(weight: 1))
        try tape.run(.train)

        let loss = Double(try golden.floats("loss")[0])
        #expect(abs(-tape[logp].values().reduce(0.0) { $0 + Double($1) } - loss) <= 1e-5 * loss)
        #expect(loads.counts[0].reduce(0, +) == 90)
        for (name, weight) in [
            ("x", x), ("head", head), ("gate.weight", router), ("experts.gate_up_proj", gateUp.all), ("experts.down_proj", down.all), ("shared_experts.down_proj.weight", sharedDown),
        ] {
            let off = relative(weight.gradient!.values(), try golden.floats("grad." + name))
            #expect(off <= 1e-5, "\(name) is off by \(off)")
        }
        let shared = try golden.floats("grad.shared_experts.gate_proj.weight") + golden.floats("grad.shared_experts.up_proj.weight")
        #expect(relative(sharedGateUp.gradient!.values(), shared) <= 1e-5)
    }

    func batch(_ lengths: [Int], seed: UInt64) -> TokenBatch {
        var random = SeededGenerator(seed: seed)
        return TokenBatch(sequences: lengths.map { length in (0...length).map { _ in Int32(random.next() % 31) } })
    }

    func decoder(
        _ config: MistralConfig = small, seed: UInt64 = 1, precision: Precision = .f32, recompute: Bool = false, training: Bool = true, on device: Device
    ) throws -> (decoder: Decoder, parameters: Parameters, gradients: Parameters) {
        let table = ParameterTable(config), parameters = try Parameters(table, on: device), gradients = try Parameters(table, on: device)
        parameters.initialise(seed: seed, embeddingDeviation: 0.5)
        return (try Decoder(parameters, gradients: training ? gradients : nil, rows: 160, precision: precision, recompute: recompute, on: device), parameters, gradients)
    }

    @Test(arguments: [Precision.f32, .bf16])
    func `threads and the width of the registers leave every bit of a step alone, balancing included`(precision: Precision) throws {
        var config = MixtureTests.small
        config.experts?.balances = true
        config.experts?.balance = 0.3
        var seen: Set<[UInt32]> = []
        for backend in Backend.present where backend.level != .reference {
            for threads in 1...3 {
                let model = try decoder(config, precision: precision, on: Device(backend, threads: threads))
                model.decoder.beginStep()
                _ = try model.decoder.forwardBackward(batch([40, 1, 40, 7], seed: 2), weight: 0.01)
                seen.insert(model.gradients.flat.values().map(\.bitPattern))
            }
        }
        #expect(seen.count <= 1)
    }

    @Test(arguments: [Precision.f32, .bf16])
    func `computing layers again changes no bit and no load, and takes less memory`(precision: Precision) throws {
        var config = MixtureTests.small
        (config.layers, config.experts) = (6, .init(count: 5, choices: 2, balance: 0.3, balances: true))
        let device = try Device(threads: 2), whole = batch([40, 1, 40, 7], seed: 2)
        let kept = try decoder(config, precision: precision, on: device), again = try decoder(config, precision: precision, recompute: true, on: device)
        for model in [kept, again] {
            model.decoder.beginStep()
            _ = try model.decoder.forwardBackward(whole, weight: 0.01)
        }
        #expect(kept.gradients.flat.values().map(\.bitPattern) == again.gradients.flat.values().map(\.bitPattern))
        #expect(kept.decoder.expertLoads == again.decoder.expertLoads && kept.decoder.balanceLoss == again.decoder.balanceLoss)
        #expect(again.decoder.activationBytes.count * 2 < kept.decoder.activationBytes.count)
    }

    @Test(arguments: Backend.present)
    func `one pass of many sequences and many passes of one give the same bits, and loads add up`(backend: Backend) throws {
        let device = try Device(backend, threads: 2), whole = batch([16, 5, 30, 1, 16, 50], seed: 9), weight = 1 / Float(whole.targetCount)
        let once = try decoder(on: device), often = try decoder(on: device)
        once.decoder.beginStep()
        often.decoder.beginStep()
        _ = try once.decoder.forwardBackward(whole, weight: weight)
        for (start, end) in zip(whole.cumulativeLengths, whole.cumulativeLengths.dropFirst()) {
            let rows = Int(start)..<Int(end)
            let part = TokenBatch(ids: Array(whole.ids[rows]), targets: Array(whole.targets[rows]), cumulativeLengths: [0, end - start])
            _ = try often.decoder.forwardBackward(part, weight: weight)
        }
        #expect(once.decoder.expertLoads == often.decoder.expertLoads)
        #expect(once.decoder.expertLoads.map { $0.reduce(0, +) } == [2 * whole.rows, 2 * whole.rows])
        let (one, many) = (once.gradients.flat.values(), often.gradients.flat.values())
        if backend.level == .reference {
            // The reference rounds its double sums to float after each pass, so only the vector levels promise bits.
            #expect(zip(one, many).allSatisfy { abs($0 - $1) <= 1e-6 })
        } else {
            #expect(one.map(\.bitPattern) == many.map(\.bitPattern))
        }
    }

    @Test(arguments: [Precision.f32, .bf16])
    func `a sequence has the same log-probabilities alone and among others`(precision: Precision) throws {
        let device = try Device(threads: 2), model = try decoder(precision: precision, training: false, on: device), whole = batch([16, 1, 40, 23], seed: 3)
        let together = try model.decoder.logProbabilities(whole)
        for (start, end) in zip(whole.cumulativeLengths, whole.cumulativeLengths.dropFirst()) {
            let rows = Int(start)..<Int(end)
            let part = TokenBatch(ids: Array(whole.ids[rows]), targets: Array(whole.targets[rows]), cumulativeLengths: [0, end - start])
            #expect(try model.decoder.logProbabilities(part).map(\.bitPattern) == together[rows].map(\.bitPattern))
        }
    }

    /// bfloat16 keeps eight bits: gradients of a small model stay within a few per cent, against the largest of each tensor.
    @Test func `a step in bfloat16 stays near the one in float32`() throws {
        let device = try Device(threads: 2), whole = batch([40, 40], seed: 4)
        let exact = try decoder(on: device), rounded = try decoder(precision: .bf16, on: device)
        let a = try exact.decoder.forwardBackward(whole, weight: 1), b = try rounded.decoder.forwardBackward(whole, weight: 1)
        #expect(a != b && abs(a - b) <= 0.01 * abs(a))
        for entry in exact.parameters.table.entries {
            let off = relative(rounded.gradients.tensor(entry).values(), exact.gradients.tensor(entry).values())
            #expect(off <= 0.2, "\(entry.name) is off by \(off)")
        }
    }

    @Test func `perfectly balanced, the loss is the number of choices`() throws {
        let device = try Device(threads: 2), batch = batch([33], seed: 1)
        for (experts, choices) in [(4, 1), (5, 2), (6, 6)] {
            var config = MixtureTests.small
            config.experts = .init(count: experts, choices: choices)
            let model = try decoder(config, training: false, on: device)
            for layer in 0..<config.layers { model.parameters.router(layer).fill(0) }
            _ = try model.decoder.logProbabilities(batch)
            #expect(abs(try #require(model.decoder.balanceLoss) - Double(choices)) <= 1e-6)
            let first = (0..<experts).map { $0 < choices ? 33 : 0 }  // of equal scores the lower index
            #expect(model.decoder.expertLoads == [first, first])
        }
    }

    /// Every row is the same, and its scores are all on the third expert: f and P are one there, so the loss is the number of experts.
    @Test func `with one expert for all tokens the loss is the number of experts`() throws {
        let device = try Device(threads: 1), routing = Routing(experts: 4, choices: 1)
        func zeros(_ rows: Int, _ columns: Int) throws -> Weight { Weight(try device.tensor(rows: rows, columns: columns), gradient: try device.tensor(rows: rows, columns: columns)) }
        func group(_ weight: Weight, _ rows: Int) -> WeightGroup {
            WeightGroup(
                TensorGroup(weight.value.prefix(rows), count: 4, spacing: rows * weight.value.columns),
                gradient: TensorGroup(weight.gradient!.prefix(rows), count: 4, spacing: rows * weight.value.columns))
        }
        let x = try zeros(1, 3), router = try zeros(4, 3)
        x.value.fill(1)
        router.value.write([0, 0, 0, 0, 0, 0, 100, 100, 100, 0, 0, 0])
        let tape = try Tape(capacity: 9, on: device), loads = try ExpertLoads(layers: 1, routing, on: device)
        let out = tape.experts(tape.embed(x), ExpertWeights(router: router, gateUp: group(try zeros(16, 3), 4), down: group(try zeros(12, 2), 3)), layer: 0, loads: loads)
        tape.balance(loads)
        tape.keep(out)
        tape.plan(.evaluate)
        tape.inputs.ids.write([Int32](repeating: 0, count: 9))
        tape.inputs.rows = 9
        try tape.run(.evaluate)
        #expect(loads.counts == [[0, 0, 9, 0]])
        #expect(loads.balanceLoss == 4)
    }

    @Test func `the bias moves by the sign of what an expert lacks`() {
        var bias: [Float] = [0.5, 0, -0.5, 1]
        ExpertBias.update(&bias, loads: [10, 2, 6, 6], rate: 0.25)
        #expect(bias == [0.25, 0.25, -0.5, 1])
        ExpertBias.update(&bias, loads: [0, 0, 0, 0], rate: 0.25)
        #expect(bias == [0.25, 0.25, -0.5, 1])
        ExpertBias.update(&bias, loads: [1, 0, 0, 0], rate: 0.25)
        #expect(bias == [0, 0.5, -0.25, 1.25])
    }

    @Test func `moving the bias evens the loads without a loss`() throws {
        let device = try Device(threads: 2), model = try decoder(seed: 8, on: device), bias = try #require(model.decoder.routerBias)
        let batch = batch([60, 60, 40], seed: 6)
        func spread() -> Int { model.decoder.expertLoads.map { $0.max()! - $0.min()! }.max()! }
        var first = 0
        for step in 0..<80 {
            model.decoder.beginStep()
            _ = try model.decoder.forwardBackward(batch, weight: 0.01)
            if step == 0 { first = spread() }
            let values = bias.values()
            bias.write(
                model.decoder.expertLoads.enumerated().flatMap { layer, loads in
                    var row = Array(values[(layer * loads.count)..<((layer + 1) * loads.count)])
                    ExpertBias.update(&row, loads: loads, rate: 0.01)
                    return row
                })
        }
        #expect(first > 40)
        #expect(spread() * 3 < first)
    }

    @Test func `a token multiplies with the experts it goes to, not with all`() {
        let dense = ParameterTable(DecoderTests.small), mixture = ParameterTable(MixtureTests.small)
        #expect(dense.multiplied == dense.count - 31 * 24)
        let expert = 3 * 20 * 24
        #expect(mixture.count - mixture.multiplied == 31 * 24 + 2 * 3 * expert)
    }

    @Test func `the dense table is laid out as it always was`() {
        let names = ParameterTable(DecoderTests.small).entries.map(\.name)
        let parts = [
            "input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj",
            "mlp.down_proj",
        ]
        let layer = parts.map { "model.layers.0.\($0).weight" }
        #expect(names.first == "model.embed_tokens.weight")
        #expect(Array(names[1..<10]) == layer)
        #expect(names.suffix(2) == ["model.norm.weight", "lm_head.weight"])
    }
}
