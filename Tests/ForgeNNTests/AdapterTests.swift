import ForgeArtifact
import ForgeAutograd
import ForgeCore
import ForgeModel
import ForgeNN
import ForgeTensor
import Testing

struct AdapterTests {
    static let cases: [(String, AdapterConfig)] = [
        ("adapter-lora", AdapterConfig(rank: 3, alpha: 6)), ("adapter-rslora", AdapterConfig(rank: 5, alpha: 4, stabilised: true, targets: [.query, .value, .up])),
        ("adapter-mixtral", AdapterConfig(rank: 3, alpha: 6)), ("adapter-mistral4", AdapterConfig(rank: 4, alpha: 4, targets: Set(AdapterConfig.Target.allCases))),
        ("adapter-mistral4-some", AdapterConfig(rank: 2, alpha: 3, targets: [.query, .latentDown])),
    ]

    func adapters(_ golden: Golden, _ config: AdapterConfig, on device: Device) throws -> Parameters {
        let made = try Parameters(ParameterTable(try golden.config, adapters: config), on: device)
        for entry in made.table.entries { made.tensor(entry).write(try golden.floats("param." + entry.name)) }
        return made
    }

    @Test(arguments: Backend.present, cases)
    func `logits, loss and the gradient of every adapter equal PEFT's`(backend: Backend, what: (name: String, config: AdapterConfig)) throws {
        let golden = try Golden(what.name), device = try Device(backend, threads: 2), batch = try golden.batch
        let adapters = try adapters(golden, what.config, on: device), frozen = try PackedWeights(try golden.parameters(on: device), on: device)
        let evaluator = try Decoder(frozen, adapters: adapters, rows: batch.rows, on: device)
        #expect(relative(try evaluator.logits(batch), try golden.floats("logits")) <= 1e-5)
        let loss = Double(try golden.floats("loss")[0])
        #expect(abs(-(try evaluator.logProbabilities(batch).reduce(0) { $0 + Double($1) }) - loss) <= 1e-5 * loss)
        for recompute in [false, true] {
            let gradients = try Parameters(adapters.table, on: device)
            let trainer = try Decoder(frozen, adapters: adapters, gradients: gradients, rows: batch.rows + 3, recompute: recompute, on: device)
            trainer.beginStep()
            #expect(abs(-(try trainer.forwardBackward(batch, weight: 1)) - loss) <= 1e-5 * loss)
            try trainer.endStep()
            for entry in adapters.table.entries {
                let off = relative(gradients.tensor(entry).values(), try golden.floats("grad." + entry.name))
                #expect(off <= 1e-5, "\(entry.name) is off by \(off)")
            }
        }
    }

    @Test(arguments: cases)
    func `the table has the names and shapes of the files PEFT writes, and no others`(name: String, config: AdapterConfig) throws {
        let golden = try Golden(name), table = ParameterTable(try golden.config, adapters: config)
        let stored = golden.table.entries.filter { $0.name.hasPrefix("param.base_model") }
        #expect(Set(stored.map(\.name)) == Set(table.entries.map { "param." + $0.name }))
        for entry in table.entries { #expect(golden.table["param." + entry.name]?.shape == entry.shape) }
    }

    @Test func `a wrong adapter is caught by the same numbers`() throws {
        let golden = try Golden("adapter-lora"), device = try Device(threads: 2), batch = try golden.batch, truth = try golden.floats("logits")
        let right = AdapterConfig(rank: 3, alpha: 6), adapters = try adapters(golden, right, on: device), frozen = try PackedWeights(try golden.parameters(on: device), on: device)
        func off(_ config: AdapterConfig) throws -> Double {
            let same = try Parameters(ParameterTable(try golden.config, adapters: config), on: device)
            same.flat.write(adapters.flat.values())
            return relative(try Decoder(frozen, adapters: same, rows: batch.rows, on: device).logits(batch), truth)
        }
        #expect(try off(right) <= 1e-5)
        #expect(try off(AdapterConfig(rank: 3, alpha: 6, stabilised: true)) > 1e-3)
        #expect(try off(AdapterConfig(rank: 3, alpha: 3)) > 1e-3)
        let down = try #require(adapters.adapter(0, .down)), before = down.up.values()
        down.up.fill(0)
        #expect(try off(right) > 1e-3)
        down.up.write(before)
        #expect(try off(right) <= 1e-5)
        // Key and value have matrices of one shape: each must meet its own outputs.
        let (key, value) = (try #require(adapters.adapter(1, .key)), try #require(adapters.adapter(1, .value))), (k, v) = (key.up.values(), value.up.values())
        key.up.write(v)
        value.up.write(k)
        #expect(try off(right) > 1e-3)
    }

    /// What a step of adapters gives beside weights of `config`, in one pass or a pass a sequence.
    func step(
        _ format: WeightFormat, _ precision: Precision, backend: Backend = .best, threads: Int = 2, apart: Bool = false, recompute: Bool = false
    ) throws -> (loss: Double, bits: [UInt32], bytes: ByteCount) {
        let device = try Device(backend, threads: threads), parameters = try Parameters(ParameterTable(DecoderTests.small), on: device)
        parameters.initialise(seed: 3, embeddingDeviation: 0.5)
        let table = ParameterTable(DecoderTests.small, adapters: AdapterConfig(rank: 4, alpha: 8))
        let adapters = try Parameters(table, on: device), gradients = try Parameters(table, on: device)
        // B is not zero here, or A would learn nothing.
        var random = SeededGenerator(seed: 4)
        adapters.flat.write((0..<table.count).map { _ in random.symmetric() * 0.5 })
        let decoder = try Decoder(
            PackedWeights(parameters, as: format, on: device), adapters: adapters, gradients: gradients, rows: 130, precision: precision, recompute: recompute, on: device)
        let sequences = [30, 16, 1, 64].map { length in (0...length).map { Int32(($0 * length + 7) % 31) } }, whole = TokenBatch(sequences: sequences)
        let passes = apart ? sequences.map { TokenBatch(sequences: [$0]) } : [whole]
        decoder.beginStep()
        let loss = try passes.reduce(0.0) { $0 + (try decoder.forwardBackward($1, weight: 1 / Float(whole.targetCount))) }
        try decoder.endStep()
        return (loss, gradients.flat.values().map(\.bitPattern), decoder.activationBytes)
    }

    @Test(arguments: WeightFormat.allCases, Precision.allCases)
    func `threads, register width and layers computed again leave an adapter's bits alone`(format: WeightFormat, precision: Precision) throws {
        let one = try step(format, precision, threads: 1)
        for backend in Backend.present where backend.level != .reference {
            let other = try step(format, precision, backend: backend, threads: 3)
            #expect(other.bits == one.bits && other.loss == one.loss)
        }
        let again = try step(format, precision, recompute: true)
        #expect(again.bits == one.bits && again.loss == one.loss)
        #expect(again.bytes.count < one.bytes.count)
    }

    @Test func `one pass of four sequences and four passes of one give an adapter the same bits`() throws {
        #expect(try step(.f32, .f32).bits == step(.f32, .f32, apart: true).bits)
    }

    /// A small random decoder magnifies what rounding does to its activations some thirtyfold, so the direction is what can be asked for.
    @Test(arguments: [(WeightFormat.bf16, 0.99), (.q8, 0.9)])
    func `beside rounded weights an adapter learns in the direction it learns beside exact ones`(format: WeightFormat, least: Double) throws {
        let exact = try step(.f32, .f32).bits.map { Double(Float(bitPattern: $0)) }, rounded = try step(format, .f32).bits.map { Double(Float(bitPattern: $0)) }
        func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
        let cosine = dot(exact, rounded) / (dot(exact, exact) * dot(rounded, rounded)).squareRoot()
        #expect(cosine > least, "\(cosine)")
    }

    @Test func `fresh adapters change nothing`() throws {
        let device = try Device(threads: 2), parameters = try Parameters(ParameterTable(DecoderTests.small), on: device)
        parameters.initialise(seed: 3, embeddingDeviation: 0.5)
        let adapters = try Parameters(ParameterTable(DecoderTests.small, adapters: AdapterConfig(rank: 4, alpha: 8)), on: device)
        adapters.initialise(seed: 1)
        let batch = TokenBatch(sequences: [(0...40).map { Int32($0 * 3 % 31) }])
        let plain = try Decoder(parameters, rows: 64, on: device).logits(batch)
        #expect(try Decoder(PackedWeights(parameters, on: device), adapters: adapters, rows: 64, on: device).logits(batch) == plain)
        let down = try #require(adapters.adapter(0, .gate)).down.values(), reach = 1 / Float(DecoderTests.small.width).squareRoot()
        #expect(down.contains { abs($0) > reach / 2 } && down.allSatisfy { abs($0) <= reach })
    }
}
